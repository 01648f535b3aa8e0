# Reboot: asks Windows to restart in five seconds, so that this answer still arrives. Never asked twice.
# Request: change, comment. Answer: state (issued, restarting).

function Invoke-Shutdown([string[]]$Arguments) {
    $ErrorActionPreference = 'Continue'
    & "$env:SystemRoot\System32\shutdown.exe" @Arguments 2>$null | Out-Null
    return [int]$LASTEXITCODE
}

Update-Journal $Request.change | Out-Null
$scheduler = Connect-Scheduler
if ((Test-WorkerRuns $scheduler) -and (Read-Property (Read-WorkFile 'work.json') 'mode' 'install') -eq 'install') {
    Stop-WithError -Kind 'busy' -Message 'the worker is still installing'
}

# p:2:17 is "operating system: hot fix (planned)"
$restart = '/r', '/t', '5', '/d', 'p:2:17', '/c', [string]$Request.comment
$code = Invoke-Shutdown $restart
if ($code -eq 1190) {
    # Somebody's shutdown is scheduled, who knows for when: ours takes its place.
    Invoke-Shutdown @('/a') | Out-Null
    $code = Invoke-Shutdown $restart
}
# 1115: a shutdown is in progress; 1717: the service behind it is already gone
if ($code -in 1115, 1717) { Write-Answer ([ordered]@{ state = 'restarting' }); exit 0 }
if ($code -ne 0) { Stop-WithError -Kind 'reboot' -Message ('shutdown.exe ended with {0}' -f $code) -Code ('0x{0:X8}' -f (0x80070000 -bor $code)) }
Write-Answer ([ordered]@{ state = 'issued' })
