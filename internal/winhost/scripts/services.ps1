# Waiting for services with a deadline of our own: Stop-Service and Start-Service may wait for ever.

# Wait-Service is true once the service has the state, false when the deadline came first.
function Wait-Service([object]$Controller, [string]$State, [DateTime]$Deadline) {
    while ($true) {
        $Controller.Refresh()
        if ([string]$Controller.Status -eq $State) { return $true }
        if ((Get-Now) -ge $Deadline) { return $false }
        Start-Sleep -Milliseconds 500
    }
}

# Stop-OneService asks until the service takes it: one that is just starting refuses the control.
function Stop-OneService([object]$Controller, [int]$Seconds) {
    Update-Lease (Read-Property $Request 'lease')
    $deadline = (Get-Now).AddSeconds($Seconds)
    while ($true) {
        $Controller.Refresh()
        $state = [string]$Controller.Status
        if ($state -eq 'Stopped') { return }
        if ((Get-Now) -ge $deadline) {
            Stop-WithError -Kind 'service' -Message ('service {0} is {1} after {2} s instead of Stopped' -f $Controller.Name, $state, $Seconds)
        }
        if ($state -eq 'Running' -or $state -eq 'Paused') {
            $refused = $null
            try { $Controller.Stop() } catch { $refused = $_ }
            $Controller.Refresh()
            # It may have begun to stop in between, which is what was asked for.
            if ($null -ne $refused -and [string]$Controller.Status -eq $state -and (Get-Now).AddSeconds(1) -ge $deadline) { throw $refused }
        }
        Start-Sleep -Milliseconds 500
    }
}

# Start-OneService starts the service, again if it falls back: Octopus Server ends when its database is not
# up yet. The answer is empty, or says why the service does not run.
function Start-OneService([object]$Controller, [int]$Seconds) {
    Update-Lease (Read-Property $Request 'lease')
    $deadline = (Get-Now).AddSeconds($Seconds)
    $refused = ''
    while ($true) {
        $Controller.Refresh()
        $state = [string]$Controller.Status
        if ($state -eq 'Running') { return '' }
        if ((Get-Now) -ge $deadline) {
            return ('service {0} is {1} after {2} s instead of Running {3}' -f $Controller.Name, $state, $Seconds, $refused).Trim()
        }
        if ($state -eq 'Paused') { $Controller.Continue() }
        if ($state -eq 'Stopped') {
            try { $Controller.Start() } catch {
                $refused = Get-ErrorText $_
                Start-Sleep -Seconds 5
            }
        }
        Start-Sleep -Milliseconds 500
    }
}

# Set-StartType sets what Windows should do with the service at boot. 5.1's Set-Service knows no delayed
# start, and a change of type forgets it.
function Set-StartType([object]$Controller, [string]$Start, [bool]$Delayed) {
    if ($Start -eq 'Auto' -and $Delayed) {
        & sc.exe config $Controller.Name start= delayed-auto | Out-Null
        if ($LASTEXITCODE -ne 0) { throw ('sc.exe config {0} start= delayed-auto ended with {1}' -f $Controller.Name, $LASTEXITCODE) }
        return
    }
    $types = @{ Auto = 'Automatic'; Manual = 'Manual'; Disabled = 'Disabled' }
    if (-not $types.ContainsKey($Start)) { throw ('service {0} has the start type {1}, which is not ours to set' -f $Controller.Name, $Start) }
    Set-Service -InputObject $Controller -StartupType $types[$Start]
}

# Test-StartType is true when the service has that start type. Delayed counts for automatic start only.
function Test-StartType([object]$Full, [string]$Start, [bool]$Delayed) {
    if ([string]$Full.StartMode -ne $Start) { return $false }
    return $Start -ne 'Auto' -or [bool](Read-Property $Full 'DelayedAutoStart' $false) -eq $Delayed
}

# Restore-Services puts start types, services, dependents and watchdogs back as they were recorded, and lists what
# did not come back: one that an update has removed, or whose start type somebody guards, keeps no other one down.
# A service that did not run before is not started.
function Restore-Services([object]$Prior, [int]$Seconds) {
    $all = @(Get-CimInstance -ClassName Win32_Service)
    $controllers = @(Get-Service)
    $there = @(); $faults = @()
    foreach ($service in @($Prior.services)) {
        if (@($controllers | Where-Object { [string]$_.Name -eq $service.name }).Count) { $there += $service }
        else { $faults += 'service {0} is gone' -f $service.name }
    }
    foreach ($service in $there) {
        if (Test-StartType (Find-Service $all $service.name) $service.start $service.delayed) { continue }
        try { Set-StartType (Find-Service $controllers $service.name) $service.start $service.delayed }
        catch { $faults += Get-ErrorText $_ }
    }
    # The services come first and in their order; the dependents were recorded as they had to stop.
    $held = @(foreach ($service in $there) { $service.dependents })
    $order = @(foreach ($service in $there) { if ($held -notcontains $service.name) { $service.name } })
    $dependents = @(foreach ($service in $there) { if ($held -contains $service.name) { $service.name } })
    [array]::Reverse($dependents)
    foreach ($name in $order + $dependents) {
        $was = Find-Service $there $name
        if ([string]$was.state -notin 'Running', 'Start Pending', 'Continue Pending') { continue }
        $fault = Start-OneService (Find-Service $controllers $name) $Seconds
        if ($fault) { $faults += $fault }
    }
    # The watchdog goes back even if a service did not start: looking after that is its work.
    foreach ($watchdog in @($Prior.watchdogs)) {
        if (-not $watchdog.enabled) { continue }
        $task = @(Get-Watchdogs | Where-Object { (Get-WatchdogFacts $_).name -eq $watchdog.name })
        if (-not $task.Count) { $faults += 'the scheduled task {0} is gone' -f $watchdog.name; continue }
        if ([string]$task[0].State -eq 'Disabled') { Enable-ScheduledTask -TaskPath $task[0].TaskPath -TaskName $task[0].TaskName | Out-Null }
    }

    $all = @(Get-CimInstance -ClassName Win32_Service)
    foreach ($service in $there) {
        $full = Find-Service $all $service.name
        if (-not (Test-StartType $full $service.start $service.delayed)) {
            $faults += 'service {0} has the start type {1} instead of {2}' -f $service.name, $full.StartMode, $service.start
        }
    }
    return $faults
}
