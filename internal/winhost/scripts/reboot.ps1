# Reboot: asks Windows to restart. Request: change, comment. Answer: state (issued, restarting).

Update-Journal $Request.change | Out-Null
$scheduler = Connect-Scheduler
if ((Test-WorkerRuns $scheduler) -and (Read-Property (Read-WorkFile 'work.json') 'mode' 'install') -eq 'install') {
    Stop-WithError -Kind 'busy' -Message 'the worker is still installing'
}
Write-Answer ([ordered]@{ state = Restart-Host ([string]$Request.comment) })
