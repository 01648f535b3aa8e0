# Deadman: what the scheduled task \octopatch\deadman runs as SYSTEM. When nobody has renewed this host's lease for
# as long as the switch was armed with, it puts services, start types and watchdogs back and writes why. It never
# touches drain or Maintenance Mode, so the node comes back closed.

# Get-Reason says why it fires, or nothing. The time counts from the last renewal or from boot, whichever is later.
function Get-Reason([object]$Lease) {
    $now = ConvertTo-UnixTime (Get-Date)
    if ([int64]$armed.until -gt 0) {
        if ($now -lt [int64]$armed.until -or ($null -ne $Lease -and (Test-LeaseLive $Lease))) { return '' }
        return 'a phase was run alone, and no other had followed by the hour that was set'
    }
    $since = ConvertTo-UnixTime (Get-CimInstance -ClassName Win32_OperatingSystem).LastBootUpTime
    if ($null -ne $Lease -and [int64]$Lease.renewed -gt $since) { $since = [int64]$Lease.renewed }
    if ($now - $since -lt [int64]$armed.after) { return '' }
    return 'nothing was heard of the run for {0} min' -f [Math]::Floor(($now - $since) / 60)
}

if ((Get-FolderState) -ne 'ours') { exit 0 }
$armed = Read-Deadman
if ($null -eq $armed) { exit 0 }
# An installation is never cut short, not even by starting a service.
if (Test-WorkerRuns (Connect-Scheduler)) { exit 0 }
if (Get-Busy) { exit 0 }

$lock = Open-Lock
try {
    $lease = Read-Lease
    $reason = Get-Reason $lease
    if (-not $reason) { exit 0 }
    $journal = Read-Journal
    $prior = Read-Property $journal 'host'
    if ($null -eq $prior -or [bool](Read-Property $prior 'restored' $false)) { exit 0 }
    # Whoever comes back late finds that the lease is not his any more.
    if ($null -ne $lease) { Set-Property $lease 'nonce' 'deadman'; Write-Lease $lease }
} finally { $lock.Dispose() }

$faults = @(Restore-Services $prior 300)
$lock = Open-Lock
try {
    # Services start slowly: a run that has taken the lease meanwhile writes the journal and arms the switch itself.
    $lease = Read-Lease
    if ($null -ne $lease -and [string]$lease.nonce -cne 'deadman') { exit 0 }
    $journal = Read-Journal
    $prior = Read-Property $journal 'host'
    if ($null -eq $prior) { exit 0 }
    Set-Property $prior 'restored' ($faults.Count -eq 0)
    Set-Property $journal 'counter' ([int64](Read-Property $journal 'counter' 0) + 1)
    Set-Property $journal 'updated' (ConvertTo-UnixTime (Get-Date))
    Set-Property $journal 'deadman' ([pscustomobject][ordered]@{ at = ConvertTo-UnixTime (Get-Date); why = $reason; faults = [string]($faults -join '; ') })
    Write-Journal $journal
    # What did not start is tried again; what is done is done.
    if ($faults.Count -eq 0) { Disable-Deadman }
} finally { $lock.Dispose() }
