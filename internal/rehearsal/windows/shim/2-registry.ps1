# Registry, files and their access lists.

function Test-Registry([object]$Path) { return [string]$Path -match '^(?:Registry::)?HKLM:?\\' -or [string]$Path -match '^Registry::HKEY_LOCAL_MACHINE\\' }

function Get-Key([string]$Path) {
    return Invoke-Machine 'key' @{ path = $Path -replace '^Registry::', '' -replace '^(?:HKEY_LOCAL_MACHINE|HKLM):?\\', 'HKLM:\' }
}

# Find-Path is what a cmdlet is asked about, whichever of its two parameters was used.
function Find-Path([object]$Bound) {
    foreach ($name in 'LiteralPath', 'Path') { if ($Bound.ContainsKey($name)) { return @($Bound[$name])[0] } }
    return ''
}

function Stop-Missing([string]$Path) {
    throw [System.Management.Automation.ItemNotFoundException]::new(('Cannot find path ''{0}'' because it does not exist.' -f $Path))
}

function Test-Path {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string[]]$Path, [string[]]$LiteralPath, [string]$PathType, [switch]$IsValid)
    $asked = Find-Path $PSBoundParameters
    if (Test-Registry $asked) { return [bool](Get-Key $asked).exists }
    if ($null -eq (Find-Away $asked)) { return $false }
    Set-Away $PSBoundParameters
    return Microsoft.PowerShell.Management\Test-Path @PSBoundParameters
}

function Get-ItemProperty {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string[]]$Path, [Parameter(Position = 1)][string[]]$Name, [string[]]$LiteralPath)
    $asked = Find-Path $PSBoundParameters
    if (-not (Test-Registry $asked)) { return Microsoft.PowerShell.Management\Get-ItemProperty @PSBoundParameters }
    $key = Get-Key $asked
    if (-not $key.exists) { Stop-Missing $asked }
    foreach ($one in @($Name | Where-Object { $_ })) {
        if ($null -eq $key.values.PSObject.Properties[$one]) {
            throw [System.Management.Automation.PSArgumentException]::new(('Property {0} does not exist at path {1}.' -f $one, $asked))
        }
    }
    return $key.values
}

function Get-ItemPropertyValue {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string[]]$Path, [Parameter(Position = 1)][string[]]$Name, [string[]]$LiteralPath)
    $values = Get-ItemProperty @PSBoundParameters
    foreach ($one in $Name) { $values.$one }
}

function Get-Item {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string[]]$Path, [string[]]$LiteralPath, [switch]$Force)
    $asked = Find-Path $PSBoundParameters
    if (Test-Registry $asked) {
        $key = Get-Key $asked
        if (-not $key.exists) { Stop-Missing $asked }
        return [pscustomobject]@{ Name = $asked; PSChildName = @($asked -split '\\')[-1]; PSIsContainer = $true; Property = @($key.values.PSObject.Properties | ForEach-Object { $_.Name }) }
    }
    if ($asked -eq $Machine.Program) {
        # An empty file stands for the program, so its version comes from the machine.
        $file = [IO.FileInfo]::new($asked)
        $version = [pscustomobject]@{ FileName = $asked; FileVersion = $Machine.Version; ProductVersion = $Machine.Version }
        return [pscustomobject]@{ FullName = $asked; Name = $file.Name; Length = $file.Length; Attributes = $file.Attributes; PSIsContainer = $false; VersionInfo = $version }
    }
    return Microsoft.PowerShell.Management\Get-Item @PSBoundParameters
}

function Get-ChildItem {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string[]]$Path, [Parameter(Position = 1)][string]$Filter, [string[]]$LiteralPath, [switch]$Recurse, [switch]$Force, [switch]$File, [switch]$Directory)
    $asked = Find-Path $PSBoundParameters
    if (-not (Test-Registry $asked)) { Set-Away $PSBoundParameters; return Microsoft.PowerShell.Management\Get-ChildItem @PSBoundParameters }
    $key = Get-Key $asked
    if (-not $key.exists) { Stop-Missing $asked }
    foreach ($child in @($key.children)) { if ($child) { [pscustomobject]@{ Name = "$asked\$child"; PSChildName = $child; PSIsContainer = $true } } }
}

# ---- access lists ----

function Get-Acl {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$Path, [string]$LiteralPath)
    $asked = [string](Find-Path $PSBoundParameters)
    $sddl = [string](Invoke-Machine 'access list' @{ path = $asked })
    return [pscustomobject]@{ Path = $asked; Sddl = $sddl; Owner = ($sddl -replace '^O:', '' -replace 'G:.*$', '') }
}

function New-DirectorySecurity {
    $security = [pscustomobject]@{ Sddl = '' }
    Add-Method $security 'SetSecurityDescriptorSddlForm' { param($Form) $this.Sddl = [string]$Form }
    Add-Method $security 'GetSecurityDescriptorSddlForm' { return $this.Sddl }
    return $security
}

function New-DirectoryInfo([string]$Path) {
    $directory = [pscustomobject]@{ FullName = $Path; Name = [IO.Path]::GetFileName($Path) }
    Add-Method $directory 'Create' {
        param($Security)
        $form = ''
        if ($null -ne $Security) { $form = $Security.Sddl }
        Invoke-Machine 'make directory' @{ path = $this.FullName; sddl = $form } | Out-Null
    }
    return $directory
}
