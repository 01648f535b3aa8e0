# Windows Server Backup, and what lies on a share or on another volume.

# Find-Away is where the machine keeps what a path on a share or another volume means; $null when it cannot get there.
function Find-Away([string]$Path) {
    if ($Path -notmatch '^(\\\\|[D-Z]:)') { return $Path }
    return Invoke-Machine 'away' @{ path = $Path }
}

# Set-Away replaces the path that a cmdlet was given; one that cannot be reached is what Windows says it is.
function Set-Away([object]$Bound) {
    foreach ($name in 'LiteralPath', 'Path') {
        if (-not $Bound.ContainsKey($name)) { continue }
        $there = Find-Away ([string]@($Bound[$name])[0])
        if ($null -eq $there) { throw [IO.IOException]::new('The network path was not found.') }
        $Bound[$name] = $there
    }
}

function New-Item {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string[]]$Path, [string]$ItemType, [switch]$Force)
    Set-Away $PSBoundParameters
    return Microsoft.PowerShell.Management\New-Item @PSBoundParameters
}

function Remove-Item {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string[]]$Path, [string[]]$LiteralPath, [switch]$Recurse, [switch]$Force)
    Set-Away $PSBoundParameters
    Microsoft.PowerShell.Management\Remove-Item @PSBoundParameters
}

function Get-Content {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string[]]$Path, [string[]]$LiteralPath, [switch]$Raw)
    Set-Away $PSBoundParameters
    return Microsoft.PowerShell.Management\Get-Content @PSBoundParameters
}

function Set-Content {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string[]]$Path, [string[]]$LiteralPath, [object[]]$Value, [object]$Encoding)
    Set-Away $PSBoundParameters
    Microsoft.PowerShell.Management\Set-Content @PSBoundParameters
}

function New-FileSystem {
    $system = [pscustomobject]@{ Drives = $null }
    Add-Method $system 'GetDrive' {
        param($Name)
        return [pscustomobject]@{ AvailableSpace = [double](Invoke-Machine 'share' @{ path = [string]$Name }) }
    }
    return $system
}

function Get-WBVolume {
    [CmdletBinding()]
    param([switch]$AllVolumes, [switch]$CriticalVolumes)
    foreach ($volume in @(Invoke-Machine 'backup volumes')) {
        if ($CriticalVolumes -and -not $volume.critical) { continue }
        [pscustomobject]@{ MountPath = $volume.path; FreeSpace = [long]$volume.free; TotalSpace = [long]$volume.total }
    }
}

function Get-WBJob {
    [CmdletBinding()]
    param([Parameter(Position = 0)][uint32]$Previous)
    $job = Invoke-Machine 'backup job'
    if ($null -ne $job) { return [pscustomobject]@{ JobState = $job.state; CurrentOperation = $job.operation } }
}

function New-WBBackupTarget {
    [CmdletBinding()]
    param([string]$NetworkPath, [string]$VolumePath)
    return [pscustomobject]@{ Path = $NetworkPath + $VolumePath }
}

function Get-WBBackupSet {
    [CmdletBinding()]
    param([Parameter(Position = 0)][object]$BackupTarget)
    $epoch = [DateTime]::new(1970, 1, 1, 0, 0, 0, [DateTimeKind]::Utc)
    foreach ($set in @(Invoke-Machine 'backup sets' @{ path = [string]$BackupTarget.Path })) {
        [pscustomobject]@{ VersionId = $set.version; BackupTime = $epoch.AddSeconds([long]$set.time).ToLocalTime(); RecoverableItems = $set.items }
    }
}

function _Backup { Invoke-Program 'wbadmin' $args }
