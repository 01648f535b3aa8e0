# Services, CIM objects, processes, and the programs that scripts call.

function Get-CimInstance {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$ClassName, [string]$Filter, [string]$Namespace)
    foreach ($instance in @(Invoke-Machine 'cim' @{ class = $ClassName; namespace = $Namespace })) {
        if ($null -ne $instance.PSObject.Properties['LastBootUpTime']) {
            $instance.LastBootUpTime = [DateTime]::FromFileTimeUtc([long]$instance.LastBootUpTime).ToLocalTime()
        }
        if ($Filter) {
            if ($Filter -notmatch '^\s*(?<name>\w+)\s*=\s*[''"](?<value>.*)[''"]\s*$') { throw [NotSupportedException]::new('the filter ' + $Filter) }
            if ([string]$instance.($Matches['name']) -ne $Matches['value']) { continue }
        }
        $instance
    }
}

function Invoke-CimMethod {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$ClassName, [Parameter(Position = 1)][System.Collections.IDictionary]$Arguments = @{}, [Parameter(Position = 2)][string]$MethodName, [string]$Namespace)
    return Invoke-Machine 'cim method' @{ class = $ClassName; method = $MethodName; arguments = $Arguments }
}

function New-Controller([object]$Service) {
    $one = [pscustomobject]@{ Name = $Service.name; ServiceName = $Service.name; DisplayName = $Service.name; Status = $Service.status; _Dependents = @($Service.dependents) }
    $one.PSObject.Members.Add([System.Management.Automation.PSScriptProperty]::new('DependentServices', {
        $names = @($this._Dependents)
        if (-not $names.Count) { return , @() }
        return , @(Get-Service -Name $names)
    }))
    Add-Method $one 'Refresh' { $this.Status = (Get-Service -Name $this.Name).Status }
    Add-Method $one 'Start' { Invoke-Machine 'service start' @{ name = $this.Name } | Out-Null }
    Add-Method $one 'Stop' { Invoke-Machine 'service stop' @{ name = $this.Name } | Out-Null }
    Add-Method $one 'Continue' { throw [InvalidOperationException]::new('Cannot resume service.') }
    Add-Method $one 'Close' { }
    Add-Method $one 'WaitForStatus' {
        param($Status, $Limit)
        $since = Get-Date
        while ($true) {
            $this.Refresh()
            if ($this.Status -eq [string]$Status) { return }
            if ($null -ne $Limit -and (Get-Date) - $since -ge [TimeSpan]$Limit) { throw [TimeoutException]::new('Time out has expired and the operation has not been completed.') }
            Start-Sleep -Milliseconds 250
        }
    }
    return $one
}

function Get-Service {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string[]]$Name)
    $all = @(Invoke-Machine 'services')
    if (-not $Name) { foreach ($service in $all) { New-Controller $service }; return }
    foreach ($wanted in $Name) {
        $found = @($all | Where-Object { $_.name -eq $wanted })
        if (-not $found.Count) { Write-Error -Message ('Cannot find any service with service name ''{0}''.' -f $wanted) -Category ObjectNotFound }
        foreach ($service in $found) { New-Controller $service }
    }
}

function Set-Service {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$Name, [object]$InputObject, [string]$StartupType)
    if ($null -ne $InputObject) { $Name = $InputObject.Name }
    $types = @{ Automatic = 'Auto'; Manual = 'Manual'; Disabled = 'Disabled' }
    if (-not $types.ContainsKey($StartupType)) { throw [ArgumentException]::new('Cannot bind parameter ''StartupType''.') }
    Invoke-Machine 'service configure' @{ name = $Name; start = $types[$StartupType]; delayed = $false } | Out-Null
}

# _ServiceControl is sc.exe, which knows the delayed start.
function _ServiceControl {
    $types = @{ 'auto' = 'Auto'; 'delayed-auto' = 'Auto'; 'demand' = 'Manual'; 'disabled' = 'Disabled' }
    $global:LASTEXITCODE = 87
    if ($args.Count -ne 4 -or $args[0] -ne 'config' -or $args[2] -ne 'start=' -or -not $types.ContainsKey([string]$args[3])) { return '[SC] the parameter is incorrect' }
    try {
        Invoke-Machine 'service configure' @{ name = [string]$args[1]; start = $types[[string]$args[3]]; delayed = $args[3] -eq 'delayed-auto' } | Out-Null
        $global:LASTEXITCODE = 0
        return '[SC] ChangeServiceConfig SUCCESS'
    } catch {
        $global:LASTEXITCODE = 1060
        return '[SC] OpenService FAILED 1060:'
    }
}

function Get-Process {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string[]]$Name)
    $all = @(Invoke-Machine 'processes')
    foreach ($process in $all) {
        if (-not $Name -or $Name -contains $process.name) { [pscustomobject]@{ Name = $process.name; ProcessName = $process.name; Id = $process.id; CPU = [double]$process.cpu } }
    }
    foreach ($wanted in $Name) {
        if (@($all | Where-Object { $_.name -eq $wanted }).Count -eq 0) {
            Write-Error -Message ('Cannot find a process with the name "{0}". Verify the process name and call the cmdlet again.' -f $wanted) -Category ObjectNotFound
        }
    }
}

# Invoke-Program runs a program of the machine: its output, line by line, and its exit code.
function Invoke-Program([string]$Call, [object[]]$Arguments) {
    $ended = Invoke-Machine $Call @{ args = @($Arguments | ForEach-Object { [string]$_ }) }
    $global:LASTEXITCODE = [int]$ended.exit
    if ($ended.output) { $ended.output -replace "`r?`n$" -split "`r?`n" }
}

function _Shutdown { Invoke-Program 'shutdown' $args }

function _Schtasks { Invoke-Program 'schtasks' $args }

function _Icacls { Invoke-Program 'icacls' $args }

function _Octopus { Invoke-Program 'octopus' $args }
