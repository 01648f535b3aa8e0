# What Windows says about itself: services, watchdogs, version, pending reboots. Nothing here changes anything.

# Before .NET 4.7 the default is too old for many servers; 0 means that Windows chooses.
$protocols = [System.Net.ServicePointManager]::SecurityProtocol
if ([int]$protocols -ne 0) { [System.Net.ServicePointManager]::SecurityProtocol = $protocols -bor [System.Net.SecurityProtocolType]::Tls12 }

# Get-RegistryValue is one value, or $null when the key or the value is absent.
function Get-RegistryValue([string]$Path, [string]$Name) {
    if (-not (Test-Path -LiteralPath $Path)) { return $null }
    return Read-Property (Get-ItemProperty -LiteralPath $Path) $Name
}

# Get-BootTime is the boot time as FILETIME digits. It is compared for equality only, so no clock matters.
function Get-BootTime([object]$System) {
    return ([DateTime]$System.LastBootUpTime).ToFileTimeUtc().ToString()
}

function Get-WindowsFacts([object]$System) {
    return [ordered]@{
        boot     = Get-BootTime $System
        bootTime = ConvertTo-UnixTime $System.LastBootUpTime
        caption  = ([string]$System.Caption).Trim()
        build    = [string]$System.BuildNumber
        ubr      = [int](Get-RegistryValue 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion' 'UBR')
    }
}

# Get-ServiceFacts describes a Win32_Service. Delayed auto-start is a flag of its own: StartMode says Auto.
function Get-ServiceFacts([object]$Service, [string[]]$Dependents = @()) {
    return [ordered]@{
        name       = [string]$Service.Name
        state      = [string]$Service.State
        start      = [string]$Service.StartMode
        delayed    = [bool](Read-Property $Service 'DelayedAutoStart' $false)
        dependents = @($Dependents)
    }
}

# Find-Service compares names itself: a name may hold characters that filters and wildcards read as theirs.
function Find-Service([object[]]$All, [string]$Name) {
    foreach ($service in $All) { if ([string]$service.Name -eq $Name) { return $service } }
    Stop-WithError -Kind 'service' -Message ('there is no service {0}' -f $Name)
}

# Get-RunningDependents lists every service that depends on this one, directly or not, and runs: those first
# that must stop first.
function Get-RunningDependents([object]$Controller, [object[]]$All) {
    $names = @()
    foreach ($dependent in @($Controller.DependentServices)) {
        $full = Find-Service $All $dependent.Name
        foreach ($name in @(Get-RunningDependents $full $All) + [string]$full.Name) {
            if ([string](Find-Service $All $name).Status -ne 'Stopped' -and $names -notcontains $name) { $names += $name }
        }
    }
    return $names
}

# Get-Watchdogs lists the tasks that `Octopus.Server.exe watchdog` creates; they start a stopped server again.
function Get-Watchdogs {
    return @(Get-ScheduledTask | Where-Object { $_.TaskName -like 'Octopus Watchdog *' })
}

function Get-WatchdogFacts([object]$Task) {
    return [ordered]@{
        name    = ([string]$Task.TaskPath + [string]$Task.TaskName).TrimStart('\')
        enabled = [string]$Task.State -ne 'Disabled'
    }
}

$ComponentServicing = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing'
$WindowsUpdate = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate'

# Get-ServicingState: absent or 0 idle, 1 idle and waiting for a reboot, 2 at work.
function Get-ServicingState {
    return [int](Get-RegistryValue "$ComponentServicing\Interface" 'ServicingInProgress')
}

# Get-HardPending names the signs that updates wait for a reboot.
function Get-HardPending {
    $found = @()
    if (Test-Path -LiteralPath "$WindowsUpdate\Auto Update\RebootRequired") { $found += 'Windows Update: RebootRequired' }
    if (Test-Path -LiteralPath "$ComponentServicing\RebootPending") { $found += 'component servicing: RebootPending' }
    $servicing = Get-ServicingState
    if ($servicing -ne 0) { $found += 'component servicing: ServicingInProgress {0}' -f $servicing }
    return $found
}

# Get-SoftPending names the signs that are stale or foreign too often to act on.
function Get-SoftPending {
    $found = @()
    $manager = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager'
    foreach ($name in 'PendingFileRenameOperations', 'PendingFileRenameOperations2') {
        if (@(Get-RegistryValue $manager $name | Where-Object { $_ }).Count) { $found += 'Session Manager: ' + $name }
    }
    $names = 'HKLM:\SYSTEM\CurrentControlSet\Control\ComputerName'
    $active = Get-RegistryValue "$names\ActiveComputerName" 'ComputerName'
    $wanted = Get-RegistryValue "$names\ComputerName" 'ComputerName'
    if ($active -ne $wanted) { $found += 'computer rename' }
    foreach ($name in 'JoinDomain', 'AvoidSpnSet') {
        if ($null -ne (Get-RegistryValue 'HKLM:\SYSTEM\CurrentControlSet\Services\Netlogon' $name)) { $found += 'Netlogon: ' + $name }
    }
    # The key may stay behind empty, so its children count.
    $packages = "$ComponentServicing\PackagesPending"
    if ((Test-Path -LiteralPath $packages) -and @(Get-ChildItem -LiteralPath $packages).Count) { $found += 'component servicing: PackagesPending' }
    return $found
}

# Get-Busy names what installs right now, or is empty.
function Get-Busy {
    if ((Get-ServicingState) -eq 2) { return 'component servicing (TiWorker)' }
    if (Test-Path -LiteralPath "$ComponentServicing\RebootInProgress") { return 'component servicing (RebootInProgress)' }
    # An installation that was cut off leaves the key behind for good, and no process.
    if (Test-Path -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Installer\InProgress') {
        if (@(Get-Process -Name 'msiexec' -ErrorAction SilentlyContinue).Count) { return 'Windows Installer' }
    }
    return ''
}
