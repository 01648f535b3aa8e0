# Start: puts start types, services, dependents and watchdogs back as the journal recorded them. A service
# that did not run before is not started. The dead-man switch has nothing left to do and goes. Asked again, it finds its work done and answers the same.
# Request: change, limit (seconds for each service).

# An installation that is still at work, although nobody waits for it any more, would run into the service's start.
$scheduler = Connect-Scheduler
if ((Test-WorkerRuns $scheduler) -and (Read-Property (Read-WorkFile 'work.json') 'mode' 'install') -eq 'install') {
    Stop-WithError -Kind 'busy' -Message 'the worker is still installing'
}
$journal = Update-Journal $Request.change
$prior = Read-Property $journal 'host'
if ($null -eq $prior) {
    # Nothing on this host was changed by this run.
    Write-Answer ([ordered]@{ journal = $journal })
    exit 0
}

$faults = @(Restore-Services $prior $Request.limit)
if ($faults.Count) { Stop-WithError -Kind 'service' -Message ($faults -join '; ') }

Set-Property $prior 'restored' $true
Write-Journal $journal
Disable-Deadman
Write-Answer ([ordered]@{ journal = $journal })
