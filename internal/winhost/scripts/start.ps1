# Start: puts start types, services, dependents and watchdogs back as the journal recorded them. A service
# that did not run before is not started. Asked again, it finds its work done and answers the same.
# Request: change, limit (seconds for each service).

$journal = Update-Journal $Request.change
$prior = Read-Property $journal 'host'
if ($null -eq $prior) {
    # Nothing on this host was changed by this run.
    Write-Answer ([ordered]@{ journal = $journal })
    exit 0
}

$all = @(Get-CimInstance -ClassName Win32_Service)
$controllers = @(Get-Service)
$faults = @()

foreach ($service in @($prior.services)) {
    if (Test-StartType (Find-Service $all $service.name) $service.start $service.delayed) { continue }
    Set-StartType (Find-Service $controllers $service.name) $service.start $service.delayed
}
# The services come first and in their order; the dependents were recorded as they had to stop.
$held = @(foreach ($service in @($prior.services)) { $service.dependents })
$order = @(foreach ($service in @($prior.services)) { if ($held -notcontains $service.name) { $service.name } })
$dependents = @(foreach ($service in @($prior.services)) { if ($held -contains $service.name) { $service.name } })
[array]::Reverse($dependents)
foreach ($name in $order + $dependents) {
    $was = Find-Service @($prior.services) $name
    if ([string]$was.state -notin 'Running', 'Start Pending', 'Continue Pending') { continue }
    $fault = Start-OneService (Find-Service $controllers $name) $Request.limit
    if ($fault) { $faults += $fault }
}
# The watchdog goes back even if a service did not start: looking after that is its work.
foreach ($watchdog in @($prior.watchdogs)) {
    if (-not $watchdog.enabled) { continue }
    $task = @(Get-Watchdogs | Where-Object { (Get-WatchdogFacts $_).name -eq $watchdog.name })
    if (-not $task.Count) { $faults += 'the scheduled task {0} is gone' -f $watchdog.name; continue }
    if ([string]$task[0].State -eq 'Disabled') { Enable-ScheduledTask -TaskPath $task[0].TaskPath -TaskName $task[0].TaskName | Out-Null }
}

$all = @(Get-CimInstance -ClassName Win32_Service)
foreach ($service in @($prior.services)) {
    $full = Find-Service $all $service.name
    if (-not (Test-StartType $full $service.start $service.delayed)) {
        $faults += 'service {0} has the start type {1} instead of {2}' -f $service.name, $full.StartMode, $service.start
    }
}
if ($faults.Count) { Stop-WithError -Kind 'service' -Message ($faults -join '; ') }

Set-Property $prior 'restored' $true
Write-Journal $journal
Write-Answer ([ordered]@{ journal = $journal })
