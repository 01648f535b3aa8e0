# Deadman: what the scheduled task \octopatch\deadman runs as SYSTEM. When nobody has renewed this host's lease for
# as long as the switch was armed with, it puts services, start types and watchdogs back and writes why. It never
# touches drain or Maintenance Mode, so the node comes back closed.

# Repair-Clock: a clock that was set back makes what was noted before look as if it were still to come. That is no sign
# of life, and no reason to fire at once either, for the run may live: the time counts from the moment at which it is
# noticed, and the hour that was set moves with the clock.
function Repair-Clock([object]$Lease) {
    $now = ConvertTo-UnixTime (Get-Date)
    $latest = [Math]::Max([int64](Read-Property $armed 'armed' 0), [int64](Read-Property $Lease 'renewed' 0))
    if ($latest - $now -le 300 -or [int64](Read-Property $armed 'ahead' 0) -eq $latest) { return }
    if ([int64]$armed.until -gt 0) { Set-Property $armed 'until' ([int64]$armed.until - ($latest - $now)) }
    Set-Property $armed 'ahead' $latest
    Set-Property $armed 'since' $now
    Write-TextFile -Path $DeadmanPath -Text (ConvertTo-Line $armed)
}

# Get-Reason says why it fires, or nothing. The time counts from the last renewal or from boot, whichever is later.
function Get-Reason([object]$Lease) {
    $now = ConvertTo-UnixTime (Get-Date)
    if ([int64]$armed.until -gt 0) {
        if ($now -lt [int64]$armed.until -or ($null -ne $Lease -and (Test-LeaseLive $Lease))) { return '' }
        return 'a phase was run alone, and no other had followed by the hour that was set'
    }
    $boot = ConvertTo-UnixTime (Get-CimInstance -ClassName Win32_OperatingSystem).LastBootUpTime
    $since = [int64](Read-Property $armed 'since' 0)
    foreach ($sign in $boot, [int64](Read-Property $Lease 'renewed' 0)) {
        if ($sign -gt $since -and $sign -le $now + 300) { $since = $sign }
    }
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
    Repair-Clock $lease
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
