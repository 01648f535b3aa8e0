# Octopus Server on this host, found through its Windows services.

# Get-ServerServices lists the services whose program is Octopus.Server.exe, whatever they are called.
function Get-ServerServices([object[]]$All) {
    return @($All | Where-Object { (Get-ServerProgram $_) })
}

# Get-ServerProgram is the full path of Octopus.Server.exe in a service's command line, or empty.
function Get-ServerProgram([object]$Service) {
    $line = [string](Read-Property $Service 'PathName' '')
    if ($line -match '^\s*"(?<program>[^"]*[\\/]Octopus\.Server\.exe)"') { return $Matches['program'] }
    if ($line -match '^\s*(?<program>[^"]*?[\\/]Octopus\.Server\.exe)(\s|$)') { return $Matches['program'] }
    return ''
}

# Get-InstanceName: the command line says it; otherwise the service is called "OctopusDeploy" for the default
# instance and "OctopusDeploy: <instance>" for any other.
function Get-InstanceName([object]$Service) {
    if ([string]$Service.PathName -match '--?instance[= ]"(?<name>[^"]+)"') { return $Matches['name'] }
    if ([string]$Service.PathName -match '--?instance[= ](?<name>[^" ]+)') { return $Matches['name'] }
    if ([string]$Service.Name -match '^OctopusDeploy: (?<name>.+)$') { return $Matches['name'] }
    return 'OctopusServer'
}

# Invoke-Server runs Octopus.Server.exe and returns its output. With "Stop", 5.1 takes the first line on a
# redirected stderr for an error, so that is off here; the exit code decides.
function Invoke-Server([string]$Program, [string[]]$Arguments) {
    $ErrorActionPreference = 'Continue'
    $lines = & $Program @Arguments 2>$null
    return ($lines -join "`n")
}

# Find-Setting reads a setting from the flat form of show-configuration, or from the nested one.
function Find-Setting([object]$Configuration, [string]$Key) {
    $flat = Read-Property $Configuration $Key
    if ($null -ne $flat) { return [string]$flat }
    $at = $Configuration
    foreach ($step in $Key -split '\.') { $at = Read-Property $at $step }
    return [string]$at
}

# Get-AllValues lists every text in the configuration.
function Get-AllValues([object]$Configuration) {
    foreach ($field in @($Configuration.PSObject.Properties)) {
        if ($field.Value -is [System.Management.Automation.PSCustomObject]) { Get-AllValues $field.Value }
        elseif ($null -ne $field.Value) { [string]$field.Value }
    }
}

# Test-LocalData: does the database or a share of the installation live on this computer? Yes if the data
# source of any connection string names this computer, or any path is a share of this computer.
# Only that yes or no leaves the host, never the text itself.
function Test-LocalData([object]$Configuration, [string[]]$OwnNames) {
    foreach ($value in @(Get-AllValues $Configuration)) {
        if ($value -match '(?:^|;)\s*(?:Data Source|Server|Address|Addr|Network Address)\s*=\s*(?<source>[^;]+)') {
            $source = ($Matches['source'].Trim() -replace '^(?:tcp|np|lpc|admin):', '') -replace '[\\,].*$', ''
            if ($OwnNames -contains $source.Trim()) { return $true }
        }
        if ($value -match '^\\\\(?<computer>[^\\]+)\\' -and $OwnNames -contains $Matches['computer']) { return $true }
    }
    return $false
}

# Get-DataPlaces lists the settings that say where data lies: connection strings, shares and paths, each with
# whether that is on this computer. The values stay here.
function Get-DataPlaces([object]$Configuration, [string[]]$OwnNames, [string]$Under = '') {
    foreach ($field in @($Configuration.PSObject.Properties)) {
        $name = $Under + $field.Name
        if ($field.Value -is [System.Management.Automation.PSCustomObject]) { Get-DataPlaces $field.Value $OwnNames ($name + '.'); continue }
        $value = [string]$field.Value
        $kind = 'path'; $local = $true
        if (Test-DataSource $value) { $kind = 'source'; $local = Test-LocalData ([pscustomobject]@{ it = $value }) $OwnNames }
        elseif ($value.StartsWith('\\')) { $local = Test-LocalData ([pscustomobject]@{ it = $value }) $OwnNames }
        elseif ($value -notmatch '^[A-Za-z]:[\\/]') { continue }
        @{ name = $name; kind = $kind; local = $local }
    }
}

# Test-DataSource is true for a connection string.
function Test-DataSource([string]$Value) {
    return $Value -match '(?:^|;)\s*(?:Data Source|Server|Address|Addr|Network Address)\s*=\s*[^;]'
}

# Get-DataOnDisks names the settings whose data a revert of this computer's disks would rewind. What cannot be
# told counts as well.
function Get-DataOnDisks([object]$Configuration, [string[]]$OwnNames) {
    $places = @(Get-DataPlaces $Configuration $OwnNames)
    $names = [string[]]@($places | Where-Object { $_.local } | ForEach-Object { $_.name })
    [Array]::Sort($names, [StringComparer]::Ordinal)
    foreach ($kind in 'source', 'path') {
        if (@($places | Where-Object { $_.kind -eq $kind }).Count -eq 0) { $names += 'unknown ' + $kind }
    }
    return $names
}

# Get-InstanceFacts describes the instance behind a service. A configuration that cannot be read leaves the
# node name empty, and then nothing maps to it.
function Get-InstanceFacts([object]$Service, [string[]]$Dependents, [string[]]$OwnNames) {
    $program = Get-ServerProgram $Service
    $name = Get-InstanceName $Service
    $facts = [ordered]@{
        service   = Get-ServiceFacts $Service $Dependents
        name      = $name
        node      = ''
        prefixes  = @()
        version   = ''
        localData = $false
        onDisks   = @('unknown source', 'unknown path')
    }
    if (-not (Test-Path -LiteralPath $program)) { return $facts }
    $facts.version = [string](Get-Item -LiteralPath $program).VersionInfo.FileVersion
    $configuration = $null
    try {
        $text = Invoke-Server $program 'show-configuration', '--format=JSON', '--noconsolelogging', "--instance=$name"
        $start = $text.IndexOf('{'); $end = $text.LastIndexOf('}')
        if ($start -ge 0 -and $end -gt $start) { $configuration = ConvertFrom-Json -InputObject $text.Substring($start, $end - $start + 1) }
    } catch {
        # Its message could quote the configuration, so it is dropped.
        $configuration = $null
    }
    if ($null -eq $configuration) { return $facts }
    foreach ($key in 'Octopus.Server.NodeName', 'Octopus.Storage.NodeName') {
        if (-not $facts.node) { $facts.node = Find-Setting $configuration $key }
    }
    $facts.prefixes = @((Find-Setting $configuration 'Octopus.WebPortal.ListenPrefixes') -split '[,;]' | ForEach-Object { $_.Trim() } | Where-Object { $_ })
    $facts.localData = Test-LocalData $configuration $OwnNames
    $facts.onDisks = @(Get-DataOnDisks $configuration $OwnNames)
    return $facts
}
