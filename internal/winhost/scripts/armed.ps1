# The dead-man switch: armed before the services stop and disarmed once they run again. While it is armed, the task
# \octopatch\deadman looks every few minutes whether anybody still works on this host.

$DeadmanPath = Join-Path $FolderPath 'deadman.json'

# Read-Deadman is what the switch was armed with, or $null.
function Read-Deadman {
    if (-not (Test-Path -LiteralPath $DeadmanPath)) { return $null }
    try { return ConvertFrom-Json -InputObject (Read-TextFile $DeadmanPath) } catch { return $null }
}

# Set-Deadman arms or disarms the switch. Order: off, or script (its text), after (seconds without a renewal of the
# lease), until (Unix time, for a phase that runs alone and leaves nobody to renew; 0: none).
function Set-Deadman([object]$Order) {
    if ($null -eq $Order) { return }
    if ([bool](Read-Property $Order 'off' $false)) { Disable-Deadman; return }
    Write-TextFile -Path (Join-Path $FolderPath 'deadman.ps1') -Text $Order.script
    Write-TextFile -Path $DeadmanPath -Text (ConvertTo-Line ([ordered]@{ after = [int64]$Order.after; until = [int64]$Order.until; armed = ConvertTo-UnixTime (Get-Date) }))
    # A begin in the past and no duration: it repeats for ever, after a restart of Windows too.
    $triggers = '<TimeTrigger><Repetition><Interval>PT5M</Interval><StopAtDurationEnd>false</StopAtDurationEnd></Repetition><StartBoundary>2020-01-01T00:00:00</StartBoundary><Enabled>true</Enabled></TimeTrigger>'
    Register-OurTask (Connect-Scheduler) 'deadman' (Get-TaskText 'deadman' 'starts Octopus again when nobody else does' $triggers) | Out-Null
}

function Disable-Deadman {
    Remove-OurTask (Connect-Scheduler) 'deadman'
    foreach ($name in 'deadman.json', 'deadman.ps1') {
        $path = Join-Path $FolderPath $name
        if (Test-Path -LiteralPath $path) { Remove-Item -LiteralPath $path -Force }
    }
}
