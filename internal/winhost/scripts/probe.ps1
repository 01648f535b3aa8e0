# Probe: everything that preflight and plan need to know of this host, in one call. Changes nothing.
# Request: agents (services that update hosts by themselves).

$system = Get-CimInstance -ClassName Win32_OperatingSystem
$computer = Get-CimInstance -ClassName Win32_ComputerSystem
$services = @(Get-CimInstance -ClassName Win32_Service)
$controllers = @(Get-Service)

$fqdn = [string]$computer.DNSHostName
if ([string]$computer.Domain -like '*.*') { $fqdn = '{0}.{1}' -f $fqdn, $computer.Domain }
$ownNames = '.', '(local)', '(localdb)', 'localhost', '127.0.0.1', '::1', '[::1]', [string]$computer.Name, [string]$computer.DNSHostName, $fqdn

$disk = Get-CimInstance -ClassName Win32_LogicalDisk | Where-Object { $_.DeviceID -eq $env:SystemDrive }

# The machine is named by a hash: the GUID itself is nobody's business.
$guid = [string](Get-RegistryValue 'HKLM:\SOFTWARE\Microsoft\Cryptography' 'MachineGuid')
$machine = ''
if ($guid) {
    $sha = [System.Security.Cryptography.SHA256CryptoServiceProvider]::new() # the one that a FIPS policy allows
    $hash = $sha.ComputeHash([System.Text.Encoding]::UTF8.GetBytes($guid.Trim().ToLowerInvariant()))
    $machine = [BitConverter]::ToString($hash).Replace('-', '').ToLowerInvariant()
}

$instances = @(foreach ($service in @(Get-ServerServices $services)) {
    $running = @(Get-RunningDependents (Find-Service $controllers $service.Name) $controllers)
    Get-InstanceFacts $service $running $ownNames
})

$folder = Get-FolderState
$journal = $null; $copy = $null; $lease = $null; $deadman = $null
if ($folder -eq 'ours') { $journal = Read-Journal; $copy = Read-JournalFile $CopyPath; $lease = Read-Lease; $deadman = Read-Deadman }

Write-Answer ([ordered]@{
    computer   = [string]$computer.Name
    fqdn       = $fqdn
    machineId  = $machine
    powershell = [string]$PSVersionTable.PSVersion
    time       = ConvertTo-UnixTime (Get-Date)
    windows    = Get-WindowsFacts $system
    freeBytes  = [int64](Read-Property $disk 'FreeSpace' -1)
    pending    = @(Get-HardPending)
    soft       = @(Get-SoftPending)
    busy       = Get-Busy
    policy     = Get-UpdatePolicy
    agents     = @(Get-RunningAgents $services @($Request.agents))
    instances  = @($instances)
    watchdogs  = @(Get-Watchdogs | ForEach-Object { Get-WatchdogFacts $_ })
    folder     = $folder
    journal    = $journal
    copy       = $copy
    lease      = $lease
    deadman    = $deadman
})
