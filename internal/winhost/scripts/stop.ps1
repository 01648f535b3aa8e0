# Stop: records the host as it is, then holds watchdogs and start types and stops the services. Asked again,
# it finds its work done and answers the same.
# Request: change, services (names), ran (names of those that ran when the run began), limit (seconds for each
# service), deadman (or null).

# Test-Ran is true for the state of a service that ran, or was about to.
function Test-Ran([object]$State) { return [string]$State -in 'Running', 'Start Pending', 'Continue Pending' }

# Get-Lost lists the services that the journal recorded as dependents of this one and that do not run any more.
function Get-Lost([object[]]$Before, [string]$Name, [object[]]$Dependents, [object[]]$All) {
    foreach ($one in @($Before | Where-Object { $_.name -eq $Name } | ForEach-Object { $_.dependents })) {
        if ($Dependents -notcontains $one -and @($All | Where-Object { [string]$_.Name -eq $one }).Count) { [string]$one }
    }
}

# Get-HostPrior is the host as it is before anything is changed. What the journal recorded before stands:
# by now it may be our own change that shows. Once all was put back, start types and watchdogs are as people want them
# now. A service that ran when this run began, and has fallen over since, is to run again. Windows is what it was when
# the precaution was taken, for a revert is measured by it.
function Get-HostPrior([object]$Recorded, [object[]]$All, [object[]]$Controllers) {
    $services = @(); $watchdogs = @(); $before = @()
    $system = Get-CimInstance -ClassName Win32_OperatingSystem
    $facts = Get-WindowsFacts $system
    $prior = [pscustomobject][ordered]@{ services = @(); watchdogs = @(); boot = $facts.boot; build = $facts.build; ubr = $facts.ubr; restored = $false }
    if ($null -ne $Recorded) {
        $before = @($Recorded.services)
        if (-not (Read-Property $Recorded 'restored' $false)) {
            $prior = $Recorded
            $services = $before; $watchdogs = @($Recorded.watchdogs)
        } elseif ((Read-Property (Read-Property $Request.change 'precaution') 'state') -eq 'taken') {
            foreach ($name in 'boot', 'build', 'ubr') { Set-Property $prior $name $Recorded.$name }
        }
    }
    foreach ($name in @($Request.services)) {
        $dependents = @(Get-RunningDependents (Find-Service $Controllers $name) $Controllers)
        $dependents += @(Get-Lost $before $name $dependents $All)
        # A dependent that starts by itself at boot would start this service too: it is held as well.
        foreach ($one in @($name) + $dependents) {
            if (@($services | ForEach-Object { $_.name }) -contains $one) { continue }
            $of = @(); if ($one -eq $name) { $of = $dependents }
            $service = [pscustomobject](Get-ServiceFacts (Find-Service $All $one) $of)
            $ran = @($Request.ran) -contains $one -or @($before | Where-Object { $_.name -eq $one -and (Test-Ran $_.state) }).Count
            if ($ran) { $service.state = 'Running' }
            $services += $service
        }
    }
    foreach ($task in @(Get-Watchdogs)) {
        $watchdog = [pscustomobject](Get-WatchdogFacts $task)
        if (@($watchdogs | ForEach-Object { $_.name }) -notcontains $watchdog.name) { $watchdogs += $watchdog }
    }
    Set-Property $prior 'services' @($services)
    Set-Property $prior 'watchdogs' @($watchdogs)
    return $prior
}

# Wait-Watchdogs lets a watchdog that is at work finish: it would start what we stop.
function Wait-Watchdogs {
    $deadline = (Get-Now).AddSeconds(90)
    while (@(Get-Watchdogs | Where-Object { [string]$_.State -eq 'Running' }).Count) {
        if ((Get-Now) -ge $deadline) { Stop-WithError -Kind 'service' -Message 'a watchdog task is still running after 90 s' }
        Start-Sleep -Seconds 2
    }
}

Assert-Unclaimed
Open-Folder
$journal = Read-Journal
Test-Change $journal $Request.change
$all = @(Get-CimInstance -ClassName Win32_Service)
$controllers = @(Get-Service)
$prior = Get-HostPrior (Read-Property $journal 'host') $all $controllers
$journal = Update-Journal $Request.change $prior
# Armed before anything stops: from here on somebody must start it again.
Set-Deadman (Read-Property $Request 'deadman')

foreach ($task in @(Get-Watchdogs)) {
    if ([string]$task.State -ne 'Disabled') { Disable-ScheduledTask -TaskPath $task.TaskPath -TaskName $task.TaskName | Out-Null }
}
Wait-Watchdogs

foreach ($service in @($prior.services)) {
    if ([string](Find-Service $all $service.name).StartMode -eq 'Auto') { Set-StartType (Find-Service $controllers $service.name) 'Manual' $false }
}
foreach ($name in @($Request.services)) {
    $controller = Find-Service $controllers $name
    foreach ($dependent in @(Get-RunningDependents $controller $controllers)) { Stop-OneService (Find-Service $controllers $dependent) $Request.limit }
    Stop-OneService $controller $Request.limit
}

# Believe Windows, not ourselves: stopped, and held.
Start-Sleep -Seconds 1
$all = @(Get-CimInstance -ClassName Win32_Service)
foreach ($name in @($Request.services)) {
    $service = Find-Service $all $name
    if ([string]$service.State -ne 'Stopped') { Stop-WithError -Kind 'service' -Message ('service {0} is {1} again: something starts it' -f $name, $service.State) }
    if ([string]$service.StartMode -eq 'Auto') { Stop-WithError -Kind 'service' -Message ('service {0} still starts at boot' -f $name) }
}
Write-Answer ([ordered]@{ journal = $journal })
