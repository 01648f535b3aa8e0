# Who works on this host: lease.json in the folder. Every call of the process that holds the lease renews it,
# and is refused once another process holds it.

$LeasePath = Join-Path $FolderPath 'lease.json'
$LockPath = Join-Path $FolderPath 'lock'
$CopyPath = Join-Path $FolderPath 'copy.json' # of another node's journal; see copy.ps1

# Open-Lock keeps every other process of octopatch from the lease until the answer is disposed of. The file is
# open exclusively, so a process that dies lets it go.
function Open-Lock {
    $deadline = (Get-Now).AddSeconds(60)
    while ($true) {
        Open-Folder
        try { return [IO.File]::Open($LockPath, [IO.FileMode]::OpenOrCreate, [IO.FileAccess]::ReadWrite, [IO.FileShare]::None) }
        catch {
            # Another process has it, or has just removed the folder.
            if ((Get-Now) -ge $deadline) { throw }
            Start-Sleep -Milliseconds 200
        }
    }
}

# Read-Lease is the lease, or $null when there is none. One that cannot be understood belongs to somebody.
function Read-Lease {
    if (-not (Test-Path -LiteralPath $LeasePath)) { return $null }
    $lease = $null
    try { $lease = ConvertFrom-Json -InputObject (Read-TextFile $LeasePath) }
    catch { Stop-WithError -Kind 'journal' -Message ('{0} cannot be read: {1}' -f $LeasePath, (Get-RootError $_).Message) }
    if ($lease -isnot [System.Management.Automation.PSCustomObject]) { Stop-WithError -Kind 'journal' -Message ('{0} is not a lease' -f $LeasePath) }
    if ((Read-Property $lease 'format') -ne 1) { Stop-WithError -Kind 'newer' -Message ('{0} has the format {1}' -f $LeasePath, (Read-Property $lease 'format' 'of nobody')) }
    return $lease
}

function Write-Lease([object]$Lease) { Write-TextFile -Path $LeasePath -Text (ConvertTo-Line $Lease) }

# Test-LeaseLive is true until three renewals were missed by this host's own clock, or the holder let it go. A renewal
# that is still to come was noted before the clock was set back, and would keep the lease for as long as that: it counts
# as missed. A holder that lives renews by the new clock with its next call, and one that lost the lease is refused.
function Test-LeaseLive([object]$Lease) {
    if ([bool](Read-Property $Lease 'released' $false)) { return $false }
    $age = (ConvertTo-UnixTime (Get-Date)) - [int64]$Lease.renewed
    return $age -ge -300 -and $age -lt 3 * [int64]$Lease.every
}

function Stop-NotOurs([object]$Lease) {
    if ($null -eq $Lease) { Stop-WithError -Kind 'lease' -Message 'the lease of this process is no longer there' }
    Stop-WithError -Kind 'lease' -Message ('run {0} of {1} holds the lease now' -f $Lease.run, $Lease.owner)
}

# Update-Lease renews the lease of the process that asks. Without one a live lease of somebody else is the end of
# every call that would change something.
function Update-Lease([object]$Mine) {
    if ($null -eq $Mine) { return }
    if ((Get-FolderState) -eq 'absent') { Stop-NotOurs $null }
    $lock = Open-Lock
    try {
        $lease = Read-Lease
        if ($null -eq $lease -or [string]$lease.nonce -cne [string]$Mine.nonce) { Stop-NotOurs $lease }
        Set-Property $lease 'renewed' (ConvertTo-UnixTime (Get-Date))
        Set-Property $lease 'every' $Mine.every
        Set-Property $lease 'released' $false
        Write-Lease $lease
    } finally { $lock.Dispose() }
}

# Assert-Unclaimed ends a call of a process without a lease while another one works on this host.
function Assert-Unclaimed {
    if ($null -ne (Read-Property $Request 'lease') -or (Get-FolderState) -ne 'ours') { return }
    $lease = Read-Lease
    if ($null -ne $lease -and (Test-LeaseLive $lease)) { Stop-NotOurs $lease }
}

# Remove-OurFolder removes the folder with everything in it, if it is ours. The holder of the lease keeps the
# lease; otherwise whoever comes for one in between finds the folder as he left it. A copy of another node's journal
# stays until it is dropped.
function Remove-OurFolder([bool]$KeepLease = $false) {
    $state = Get-FolderState
    if ($state -eq 'absent') { return }
    if ($state -ne 'ours') { Stop-WithError -Kind 'folder' -Message ('{0} {1}' -f $FolderPath, $state) }
    $lock = Open-Lock
    try {
        $lease = Read-Lease
        if (-not $KeepLease -and $null -ne $lease -and (Test-LeaseLive $lease) -and [string]$lease.nonce -cne [string](Read-Property $Request 'nonce' '')) { return }
        $keep = @('lock', 'copy.json')
        if ($KeepLease) { $keep += 'lease.json' }
        Get-ChildItem -LiteralPath $FolderPath -Force | Where-Object { $keep -notcontains $_.Name } | ForEach-Object { Remove-Item -LiteralPath $_.FullName -Recurse -Force }
    } finally { $lock.Dispose() }
    if ($KeepLease -or (Test-Path -LiteralPath $CopyPath)) { return }
    try {
        [IO.File]::Delete($LockPath)
        # Not recursive: it fails, and is left, when somebody has come in the meantime.
        [IO.Directory]::Delete($FolderPath)
    } catch { return }
}

Update-Lease (Read-Property $Request 'lease')
