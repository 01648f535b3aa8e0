# Who else updates this host: policies, the update server that they name, other agents. Changes nothing.

$UpdatePolicy = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate'

# Get-PolicyNumber is a number of a policy, -1 when it is not set.
function Get-PolicyNumber([string]$Path, [string]$Name) {
    $value = Get-RegistryValue $Path $Name
    if ($null -eq $value) { return -1 }
    return [int]$value
}

function Get-UpdatePolicy {
    $server = ''
    if ((Get-PolicyNumber "$UpdatePolicy\AU" 'UseWUServer') -eq 1) { $server = ([string](Get-RegistryValue $UpdatePolicy 'WUServer')).Trim() }
    return [ordered]@{
        noAutoUpdate = Get-PolicyNumber "$UpdatePolicy\AU" 'NoAutoUpdate'
        auOptions    = Get-PolicyNumber "$UpdatePolicy\AU" 'AUOptions'
        day          = Get-PolicyNumber "$UpdatePolicy\AU" 'ScheduledInstallDay'
        hour         = Get-PolicyNumber "$UpdatePolicy\AU" 'ScheduledInstallTime'
        alwaysReboot = Get-PolicyNumber "$UpdatePolicy\AU" 'AlwaysAutoRebootAtScheduledTime'
        deadline     = Get-PolicyNumber $UpdatePolicy 'SetComplianceDeadline'
        noInternet   = Get-PolicyNumber $UpdatePolicy 'DoNotConnectToWindowsUpdateInternetLocations'
        server       = $server
        serverError  = Get-ServerError $server
    }
}

# Get-ServerError asks the update server from here; any status is an answer. The service asks as SYSTEM and
# perhaps through a proxy, so this is a hint and no proof.
function Get-ServerError([string]$Server) {
    if (-not $Server) { return '' }
    try {
        $ask = [System.Net.WebRequest]::Create($Server.TrimEnd('/') + '/ClientWebService/client.asmx')
        $ask.Timeout = 15000
        $ask.Proxy = $null
        $ask.GetResponse().Dispose()
    } catch {
        $fault = $_.Exception
        while ($null -ne $fault -and $fault -isnot [System.Net.WebException]) { $fault = $fault.InnerException }
        if ($null -eq $fault -or $null -eq $fault.Response) { return (Get-RootError $_).Message }
        $fault.Response.Dispose()
    }
    return ''
}

# Get-RunningAgents lists those of the named services that run.
function Get-RunningAgents([object[]]$All, [string[]]$Names) {
    return @($All | Where-Object { $Names -contains [string]$_.Name -and [string]$_.State -eq 'Running' } | ForEach-Object { [string]$_.Name })
}
