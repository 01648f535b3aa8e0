# Restore points of System Restore, which Windows Server does not have.
# Request: action (check, take, find, revert, restored), name, comment (of the restart).
# Answer: found (a point of that name), boot (by which a restart is known), status (of the last restore: 0 failed,
# 1 succeeded, 2 interrupted; $null when it was not asked for).

$Class = @{ Namespace = 'root\default'; ClassName = 'SystemRestore' }

# Get-Points lists the restore points, oldest first.
function Get-Points { return @(Get-CimInstance @Class | Sort-Object -Property { [int64]$_.SequenceNumber }) }

# Find-Point is the newest of that name, or $null.
function Find-Point {
    $found = @(Get-Points | Where-Object { [string]$_.Description -ceq [string]$Request.name })
    if ($found.Count) { return $found[-1] }
    return $null
}

# Invoke-Restore calls a method of System Restore, which answers 0 or a code of Windows.
function Invoke-Restore([string]$Method, [hashtable]$Arguments) {
    $code = [uint32](Invoke-CimMethod @Class -MethodName $Method -Arguments $Arguments).ReturnValue
    if ($code -ne 0) { Stop-WithError -Kind 'restore' -Message ('{0} ended with 0x{1:X8}' -f $Method, $code) -Code ('0x{0:X8}' -f $code) }
}

# Assert-Possible refuses where Windows would make no restore point, or would leave it out and call that a success.
function Assert-Possible([object]$System) {
    if ([int]$System.ProductType -ne 1) {
        Stop-WithError -Kind 'unfit' -Message ('System Restore is in client editions of Windows only, and this is {0}' -f ([string]$System.Caption).Trim())
    }
    if ([int](Get-RegistryValue 'HKLM:\SOFTWARE\Policies\Microsoft\Windows NT\SystemRestore' 'DisableSR') -eq 1) {
        Stop-WithError -Kind 'unfit' -Message 'a policy turns System Restore off (DisableSR)'
    }
    $settings = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\SystemRestore'
    if ([int](Get-RegistryValue $settings 'RPSessionInterval') -eq 0) {
        Stop-WithError -Kind 'unfit' -Message ('System Protection is off; Enable-ComputerRestore -Drive {0}\ turns it on' -f $env:SystemDrive)
    }
    $minutes = Get-RegistryValue $settings 'SystemRestorePointCreationFrequency'
    if ($null -eq $minutes) { $minutes = 1440 }
    $points = @(Get-Points)
    if (-not $points.Count) { return }
    # A time of CIM as text, of which this class gives UTC: 20261213020000.000000-000
    $made = [DateTime]::SpecifyKind([DateTime]::ParseExact(([string]$points[-1].CreationTime).Substring(0, 14), 'yyyyMMddHHmmss', [Globalization.CultureInfo]::InvariantCulture), [DateTimeKind]::Utc)
    if ((ConvertTo-UnixTime (Get-Date)) - (ConvertTo-UnixTime $made) -lt 60 * [int64]$minutes) {
        Stop-WithError -Kind 'unfit' -Message ('Windows makes no restore point within {0} minutes of another one (SystemRestorePointCreationFrequency), and {1} is younger' -f $minutes, $points[-1].Description)
    }
}

$system = Get-CimInstance -ClassName Win32_OperatingSystem
$status = $null
switch ([string]$Request.action) {
    'check' { Assert-Possible $system }
    'take' {
        Assert-Unclaimed
        # 12: features were added or removed; 100: a change of the system begins
        if ($null -eq (Find-Point)) { Invoke-Restore 'CreateRestorePoint' @{ Description = [string]$Request.name; RestorePointType = [uint32]12; EventType = [uint32]100 } }
    }
    'find' { }
    'revert' {
        Assert-Unclaimed
        $point = Find-Point
        if ($null -eq $point) { Stop-WithError -Kind 'restore' -Message ('there is no restore point {0}' -f $Request.name) }
        Invoke-Restore 'Restore' @{ SequenceNumber = [uint32]$point.SequenceNumber }
        Restart-Host ([string]$Request.comment) | Out-Null
    }
    'restored' { $status = [int](Invoke-CimMethod @Class -MethodName GetLastRestoreStatus).ReturnValue }
    default { Stop-WithError -Kind 'script' -Message ('there is no action {0}' -f $Request.action) }
}
$found = $false
if ([int]$system.ProductType -eq 1) { $found = $null -ne (Find-Point) }
Write-Answer ([ordered]@{ found = $found; boot = Get-BootTime $system; status = $status })
