# The beginning of every script: how it answers, and the folder that it may use.
# Windows PowerShell 5.1, full language mode. The request comes as JSON, the answer goes out as one JSON
# line that carries the nonce; whatever else reaches the streams is diagnostics.
param([string]$Nonce, [string]$Json)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

trap {
    Write-Fault -Kind 'script' -Message (Get-ErrorText $_) -Code (Get-ErrorCode $_)
    exit 1
}

# ConvertTo-Line writes a value as one line of ASCII, so that no code page between here and there matters.
function ConvertTo-Line([object]$Value) {
    $text = ConvertTo-Json -InputObject $Value -Compress -Depth 20
    return [regex]::Replace($text, '[^\x20-\x7e]', { param($found) '\u{0:x4}' -f [int][char]$found.Value })
}

# Write-Line bypasses the formatting of PowerShell's own output, which may wrap or delay lines.
function Write-Line([object]$Value) {
    [Console]::Out.WriteLine((ConvertTo-Line $Value))
    [Console]::Out.Flush()
}

function Write-Answer([object]$Answer) {
    Write-Line ([ordered]@{ nonce = $Nonce; answer = $Answer })
}

function Write-Sign([object]$Sign) {
    Write-Line ([ordered]@{ nonce = $Nonce; progress = $Sign })
}

function Write-Fault([string]$Kind, [string]$Message, [string]$Code = '') {
    Write-Line ([ordered]@{ nonce = $Nonce; error = [ordered]@{ kind = $Kind; message = $Message; code = $Code } })
}

# Stop-WithError ends the script with an error line instead of an answer.
function Stop-WithError([string]$Kind, [string]$Message, [string]$Code = '') {
    Write-Fault -Kind $Kind -Message $Message -Code $Code
    exit 1
}

# Get-RootError is the innermost exception: COM errors arrive wrapped in invocation errors.
function Get-RootError([System.Management.Automation.ErrorRecord]$Record) {
    $inner = $Record.Exception
    while ($null -ne $inner.InnerException) { $inner = $inner.InnerException }
    return $inner
}

# Test-OwnError is true for what a script threw itself: it has words, but no code and no interesting line.
# A wrapped error that is thrown on counts as thrown too, and keeps its code.
function Test-OwnError([System.Management.Automation.ErrorRecord]$Record) {
    $thrown = $Record.Exception
    return $thrown -is [System.Management.Automation.RuntimeException] -and $thrown.WasThrownFromThrowStatement -and $null -eq $thrown.InnerException
}

function Get-ErrorCode([System.Management.Automation.ErrorRecord]$Record) {
    if (Test-OwnError $Record) { return '' }
    return '0x{0:X8}' -f (Get-RootError $Record).HResult
}

function Get-ErrorText([System.Management.Automation.ErrorRecord]$Record) {
    $text = (Get-RootError $Record).Message
    if (Test-OwnError $Record) { return $text }
    return '{0} (line {1})' -f $text, $Record.InvocationInfo.ScriptLineNumber
}

# Read-Property reads a property that may be absent.
function Read-Property([object]$Object, [string]$Name, [object]$Default = $null) {
    if ($null -eq $Object) { return $Default }
    $property = $Object.PSObject.Properties[$Name]
    if ($null -eq $property -or $null -eq $property.Value) { return $Default }
    return $property.Value
}

function Set-Property([object]$Object, [string]$Name, [object]$Value) {
    $property = $Object.PSObject.Properties[$Name]
    if ($null -ne $property) { $property.Value = $Value; return }
    $Object.PSObject.Properties.Add([System.Management.Automation.PSNoteProperty]::new($Name, $Value))
}

# Get-Now is for deadlines and durations: local time leaps by an hour when summer time begins or ends, which is at an
# hour at which people patch.
function Get-Now { return (Get-Date).ToUniversalTime() }

# ConvertTo-UnixTime turns a date into whole seconds since 1970; no ISO date crosses PowerShell, because
# Windows PowerShell and PowerShell 7 read them differently.
function ConvertTo-UnixTime([DateTime]$Time) {
    $epoch = [DateTime]::new(1970, 1, 1, 0, 0, 0, [DateTimeKind]::Utc)
    return [int64][Math]::Floor(($Time.ToUniversalTime() - $epoch).TotalSeconds)
}

# ---- the folder ----

$FolderPath = Join-Path $env:ProgramData 'octopatch'
$FolderSecurity = 'O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'

# Get-FolderState is 'absent', 'ours', or why the folder cannot be trusted. A folder that somebody else owns
# or may write to could make SYSTEM run their script; it is refused and never repaired.
function Get-FolderState {
    if (-not (Test-Path -LiteralPath $FolderPath)) { return 'absent' }
    $item = Get-Item -LiteralPath $FolderPath -Force
    if (-not $item.PSIsContainer) { return 'is a file' }
    if ($item.Attributes -band [IO.FileAttributes]::ReparsePoint) { return 'is a reparse point' }
    $sddl = [string](Get-Acl -LiteralPath $FolderPath).Sddl
    if ($sddl -cnotmatch '^O:(?<owner>[A-Z]{2}|S-[0-9-]+)G:(?:[A-Z]{2}|S-[0-9-]+)?D:(?<flags>[A-Z]*)(?<entries>(?:\([^()]*\))+)$') {
        return 'has an access list that cannot be read: ' + $sddl
    }
    $trusted = 'BA', 'SY', 'S-1-5-32-544', 'S-1-5-18'
    $owner = $Matches['owner']; $flags = $Matches['flags']; $entries = $Matches['entries']
    if ($trusted -cnotcontains $owner) { return 'is owned by ' + $owner }
    if ($flags -cnotmatch '^(?:AI|AR)*P') { return 'inherits access from its parent' }
    foreach ($entry in $entries.Trim('(', ')') -split '\)\(') {
        $field = $entry -split ';'
        if ($field[0] -cne 'A' -or $trusted -cnotcontains $field[-1]) { return 'grants access beyond SYSTEM and Administrators: ' + $entry }
    }
    return 'ours'
}

# Open-Folder makes sure that the folder exists and is ours. Owner and access list are there from its first
# moment; the check afterwards catches whoever was quicker.
function Open-Folder {
    if (-not (Test-Path -LiteralPath $FolderPath)) {
        $security = New-Object -TypeName System.Security.AccessControl.DirectorySecurity
        $security.SetSecurityDescriptorSddlForm($FolderSecurity)
        $folder = New-Object -TypeName System.IO.DirectoryInfo -ArgumentList $FolderPath
        $folder.Create($security)
    }
    $state = Get-FolderState
    if ($state -ne 'ours') { Stop-WithError -Kind 'folder' -Message ('{0} {1}' -f $FolderPath, $state) }
}

# Write-TextFile replaces a file as a whole: a reader sees the old text or the new one, also after a crash.
function Write-TextFile([string]$Path, [string]$Text) {
    $bytes = [System.Text.UTF8Encoding]::new($false).GetBytes($Text)
    $stream = [IO.File]::Open($Path + '.new', [IO.FileMode]::Create, [IO.FileAccess]::Write, [IO.FileShare]::None)
    try {
        $stream.Write($bytes, 0, $bytes.Length)
        $stream.Flush($true)
    } finally {
        $stream.Dispose()
    }
    for ($try = 1; ; $try++) {
        try {
            if ([IO.File]::Exists($Path)) { [IO.File]::Replace($Path + '.new', $Path, [NullString]::Value) }
            else { [IO.File]::Move($Path + '.new', $Path) }
            return
        } catch {
            # Antivirus holds new files for a moment.
            if ($try -ge 5) { throw }
            Start-Sleep -Milliseconds 200
        }
    }
}

function Read-TextFile([string]$Path) {
    for ($try = 1; ; $try++) {
        try { return [IO.File]::ReadAllText($Path, [System.Text.Encoding]::UTF8) }
        catch {
            # Antivirus has it for a moment, or another process is replacing it.
            if ($try -ge 5) { throw }
            Start-Sleep -Milliseconds 100
        }
    }
}

$Request = $null
if ($Json) { $Request = ConvertFrom-Json -InputObject $Json }
