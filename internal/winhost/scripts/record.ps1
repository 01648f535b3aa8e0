# Record: merges a change into run.json, and arms or disarms the dead-man switch. Request: change, deadman (or null).

$journal = Update-Journal $Request.change
Set-Deadman (Read-Property $Request 'deadman')
Write-Answer ([ordered]@{ journal = $journal })
