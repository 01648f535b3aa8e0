# Imager: what the task of image.ps1 runs as SYSTEM. Reads image.json, does what it says with Windows Server Backup, and
# writes image-result.json. An image lies where its marker does, in the folder of its name at the target; wbadmin has no
# names of its own. A share holds one image in each folder, a volume one after the other beside the folders.

$order = ConvertFrom-Json -InputObject (Read-TextFile (Join-Path $FolderPath 'image.json'))
$Wbadmin = "$env:SystemRoot\System32\wbadmin.exe"
$Share = ([string]$order.target).StartsWith('\\')
$Folder = '{0}\{1}' -f $order.target, $order.name
$Where = [string]$order.target
if ($Share) { $Where = $Folder }

# Stop-Unfit ends the work where no image can be taken.
function Stop-Unfit([string]$Problem) {
    $work.unfit = $true
    throw $Problem
}

# ---- the target ----

function Get-TargetVolume {
    foreach ($volume in @(Get-WBVolume -AllVolumes)) {
        if (([string]$volume.MountPath).TrimEnd('\') -eq [string]$order.target) { return $volume }
    }
    Stop-Unfit ('there is no volume {0}' -f $order.target)
}

# Get-FreeBytes is what the target has room for; a share may give this computer less than it has.
function Get-FreeBytes {
    if (-not $Share) { return [int64](Get-TargetVolume).FreeSpace }
    $server, $name = ([string]$order.target).TrimStart('\') -split '\\'
    $root = '\\{0}\{1}' -f $server, @($name)[0]
    return [int64](New-Object -ComObject Scripting.FileSystemObject).GetDrive($root).AvailableSpace
}

# Assert-Target proves that SYSTEM can write there and remove again, that it is none of the volumes that the image is
# of, and that there is room for what they hold.
function Assert-Target {
    $critical = @(Get-WBVolume -CriticalVolumes)
    $need = [int64]0
    foreach ($volume in $critical) {
        if (([string]$volume.MountPath).TrimEnd('\') -eq [string]$order.target) { Stop-Unfit ('{0} is one of the volumes that the image is of' -f $order.target) }
        $need += [int64]$volume.TotalSpace - [int64]$volume.FreeSpace
    }
    if (-not $Share) { Get-TargetVolume | Out-Null }
    $probe = '{0}\octopatch-preflight-{1}' -f $order.target, $env:COMPUTERNAME
    try {
        New-Item -ItemType Directory -Path $probe -Force | Out-Null
        Remove-Item -LiteralPath $probe -Recurse -Force
        $free = Get-FreeBytes
    } catch {
        $who = ''
        if ($Share) { $who = '; the share and its folder must let the computer account {0}$ write and delete' -f $env:COMPUTERNAME }
        Stop-Unfit ('SYSTEM cannot use {0}: {1}{2}' -f $order.target, (Get-RootError $_).Message, $who)
    }
    if ($need -le 0) { Stop-Unfit 'Windows does not tell how much the critical volumes hold' }
    if ($free -lt $need) { Stop-Unfit ('{0} has {1} GB free, and the critical volumes hold {2} GB' -f $order.target, [Math]::Floor($free / 1GB), [Math]::Ceiling($need / 1GB)) }
}

# Assert-Free refuses while Windows Server Backup is at work, for it does one thing at a time.
function Assert-Free {
    $job = Get-WBJob
    if ([string](Read-Property $job 'JobState' '') -eq 'Running') { Stop-Unfit ('Windows Server Backup is at work already: {0}' -f (Read-Property $job 'CurrentOperation' '')) }
}

# ---- markers and versions ----

# Read-Marker is the marker in a folder, or $null where there is none of this computer.
function Read-Marker([string]$Path) {
    $path = $Path + '\octopatch.json'
    if (-not (Test-Path -LiteralPath $path)) { return $null }
    $marker = ConvertFrom-Json -InputObject (Get-Content -LiteralPath $path -Raw)
    if ([string](Read-Property $marker 'computer' '') -ne $env:COMPUTERNAME) { return $null }
    return $marker
}

function Write-Marker([string]$State, [string]$Version) {
    $marker = [ordered]@{ name = [string]$order.name; description = [string]$order.description; computer = $env:COMPUTERNAME; state = $State; version = $Version }
    Set-Content -LiteralPath ($Folder + '\octopatch.json') -Value (ConvertTo-Line $marker) -Encoding ASCII
}

# Get-Versions lists the images at the target that a machine can be restored from, oldest first.
function Get-Versions {
    if ($Share) { $target = New-WBBackupTarget -NetworkPath $Where } else { $target = New-WBBackupTarget -VolumePath $Where }
    return @(Get-WBBackupSet -BackupTarget $target | Where-Object { [string]$_.RecoverableItems -match 'BareMetalRecovery' } | Sort-Object -Property BackupTime)
}

# Find-Image is true when the marker says that the image is complete and the target has that very version.
function Find-Image {
    $marker = Read-Marker $Folder
    if ($null -eq $marker -or [string]$marker.state -ne 'complete') { return $false }
    $work.versionId = [string]$marker.version
    return @(Get-Versions | Where-Object { [string]$_.VersionId -eq $work.versionId }).Count -gt 0
}

# Get-Left lists the markers of this computer at the target.
function Get-Left {
    foreach ($item in @(Get-ChildItem -LiteralPath ([string]$order.target + '\') -Directory | Where-Object { $_.Name -like 'octopatch-*' } | Sort-Object -Property Name)) {
        $marker = Read-Marker ('{0}\{1}' -f $order.target, $item.Name)
        if ($null -ne $marker) { [ordered]@{ name = [string]$marker.name; description = [string]$marker.description } }
    }
}

# ---- take and remove ----

function Remove-Folder {
    if (-not (Test-Path -LiteralPath $Folder)) { return }
    if ($null -eq (Read-Marker $Folder)) { throw '{0} holds no marker of this computer, so it is left alone' -f $Folder }
    Remove-Item -LiteralPath $Folder -Recurse -Force
}

function New-Image {
    Assert-Free
    if (-not (Test-Path -LiteralPath $Folder)) { New-Item -ItemType Directory -Path $Folder -Force | Out-Null }
    elseif ($null -eq (Read-Marker $Folder)) { throw '{0} is there already, and is not of this computer' -f $Folder }
    Write-Marker 'taking' ''
    $began = Get-Date
    # -allCritical is what a machine can be restored from; -vssCopy leaves other products' backups their history.
    $words = @(& $Wbadmin 'start' 'backup' ('-backupTarget:{0}' -f $Where) '-allCritical' '-vssCopy' '-quiet' | ForEach-Object { ([string]$_).Trim() } | Where-Object { $_ })
    $code = [int]$LASTEXITCODE
    $said = 'wbadmin ended with {0}' -f $code
    if ($words.Count) { $said = '{0}: {1}' -f $said, $words[-1].TrimEnd('.') }
    # A version is named by the minute.
    $new = @()
    try { $new = @(Get-Versions | Where-Object { $_.BackupTime -ge $began.AddMinutes(-1) }) }
    catch { $said = '{0}; {1}' -f $said, (Get-RootError $_).Message }
    if (-not $new.Count) {
        Remove-Folder
        throw '{0}, and left no image that a machine can be restored from' -f $said
    }
    if ($code -ne 0) { $work.warning = $said }
    $work.versionId = [string]$new[-1].VersionId
    Write-Marker 'complete' $work.versionId
}

function Invoke-Work {
    # The cmdlets come with the feature; wbadmin.exe alone is there without it.
    if (-not (Test-Path -LiteralPath ([IO.Path]::Combine($env:SystemRoot, 'System32', 'WindowsPowerShell', 'v1.0', 'Modules', 'WindowsServerBackup')))) {
        Stop-Unfit 'the feature Windows Server Backup is not installed; Install-WindowsFeature Windows-Server-Backup installs it'
    }
    # What cannot be reached is not gone.
    if ($order.action -ne 'check' -and -not (Test-Path -LiteralPath ([string]$order.target + '\'))) { throw 'SYSTEM cannot reach {0}' -f $order.target }
    switch ([string]$order.action) {
        'check' { Assert-Free; Assert-Target; $work.left = @(Get-Left) }
        'find' { $work.found = Find-Image }
        'take' {
            if (-not (Find-Image)) { New-Image }
            $work.found = $true
        }
        'remove' { Remove-Folder }
        default { throw 'there is no action {0}' -f $order.action }
    }
}

$work = [ordered]@{ job = [string]$order.job; found = $false; versionId = ''; warning = ''; problem = ''; unfit = $false; left = @() }
try { Invoke-Work } catch { $work.problem = Get-ErrorText $_ }
Write-TextFile -Path (Join-Path $FolderPath 'image-result.json') -Text (ConvertTo-Line $work)
