# Windows, as a script on this simulated machine finds it: the connection, the clock, the environment.
# Functions come before cmdlets and programs of the same name; what is not about Windows goes to the cmdlet.
# All of this is loaded as a module, so that no variable or function of a script gets in between.

$Machine = @{ Reader = $null; Writer = $null; Token = [string]$env:MACHINE_TOKEN; Epoch = 0.0; Speed = 1.0; Skew = 0.0; Program = ''; Version = ''; HyperV = $false }

# Invoke-Machine asks the machine: one line out, one line back.
function Invoke-Machine([string]$Call, [object]$With = @{}) {
    $Machine.Writer.WriteLine((ConvertTo-Json -InputObject @{ token = $Machine.Token; call = $Call; with = $With } -Compress -Depth 6))
    $line = $Machine.Reader.ReadLine()
    if ($null -eq $line) { throw [InvalidOperationException]::new('the machine is shutting down') }
    $reply = ConvertFrom-Json -InputObject $line
    $wrong = $reply.PSObject.Properties['error']
    if ($null -eq $wrong) { return $reply.value }
    $wrong = $wrong.Value
    if ($wrong.kind -eq 'com') { throw [System.Runtime.InteropServices.COMException]::new($wrong.message, [int]$wrong.code) }
    if ($wrong.kind -eq 'win32') {
        $inner = [System.ComponentModel.Win32Exception]::new([int]$wrong.code, $wrong.message)
        throw [InvalidOperationException]::new(('The request {0} was refused on computer ''.''.' -f $Call), $inner)
    }
    throw [InvalidOperationException]::new($wrong.message)
}

function Connect-Machine([string]$Address) {
    $name, $port = $Address -split ':'
    $client = [System.Net.Sockets.TcpClient]::new($name, [int]$port)
    $client.NoDelay = $true
    $plain = [System.Text.UTF8Encoding]::new($false)
    $Machine.Reader = [IO.StreamReader]::new($client.GetStream(), $plain)
    $Machine.Writer = [IO.StreamWriter]::new($client.GetStream(), $plain)
    $Machine.Writer.NewLine = "`n"
    $Machine.Writer.AutoFlush = $true
    $hello = Invoke-Machine 'hello'
    $Machine.Program = $hello.program
    $Machine.Version = $hello.version
    $Machine.HyperV = [bool]$hello.hyperv
    $Machine.Skew = [double]$hello.skew
    if ($hello.clock -ne 'wall') {
        $epoch, $speed = $hello.clock -split ','
        $invariant = [Globalization.CultureInfo]::InvariantCulture
        $Machine.Epoch = [double]::Parse($epoch, $invariant)
        $Machine.Speed = [double]::Parse($speed, $invariant)
    }
    # Only now: on Windows the sockets themselves need the real SystemRoot.
    foreach ($variable in $hello.environment.PSObject.Properties) {
        [Environment]::SetEnvironmentVariable($variable.Name, [string]$variable.Value)
    }
    [Environment]::SetEnvironmentVariable('MACHINE_TOKEN', $null)
    [Environment]::SetEnvironmentVariable('MACHINE_ADDRESS', $null)
}

# ---- time ----

function Get-Date {
    if ($args.Count) { return Microsoft.PowerShell.Utility\Get-Date @args }
    $wall = [DateTime]::UtcNow
    $epoch = [DateTime]::new(1970, 1, 1, 0, 0, 0, [DateTimeKind]::Utc).AddTicks([long]($Machine.Epoch * 1e7))
    return $epoch.AddTicks([long](($wall - $epoch).Ticks * $Machine.Speed)).AddSeconds($Machine.Skew).ToLocalTime()
}

function Start-Sleep([double]$Seconds = 0, [int]$Milliseconds = 0) {
    [System.Threading.Thread]::Sleep([Math]::Max(1, [int](($Seconds * 1000 + $Milliseconds) / $Machine.Speed)))
}

# ---- objects ----

# Add-Method gives an object a method; $this is the object.
function Add-Method([object]$Object, [string]$Name, [scriptblock]$Body) {
    $Object.PSObject.Members.Add([System.Management.Automation.PSScriptMethod]::new($Name, $Body))
}

function Add-Property([object]$Object, [string]$Name, [object]$Value) {
    $Object.PSObject.Members.Add([System.Management.Automation.PSNoteProperty]::new($Name, $Value))
}

# New-Object makes the COM and .NET objects that only Windows has.
function New-Object {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$TypeName, [Parameter(Position = 1)][object[]]$ArgumentList, [string]$ComObject, [switch]$Strict, [System.Collections.IDictionary]$Property)
    switch ($ComObject) {
        'Scripting.FileSystemObject' { return New-FileSystem }
        'Schedule.Service' { return New-TaskService }
        'Microsoft.Update.Session' { return New-UpdateSession }
        'Microsoft.Update.UpdateColl' { return New-UpdateList @() }
        'Microsoft.Update.SystemInfo' { return New-UpdateInfo }
        'Microsoft.Update.ServiceManager' { return New-UpdateServices }
    }
    if ($ComObject) {
        throw [System.Runtime.InteropServices.COMException]::new(('Retrieving the COM class factory for component {0} failed due to the following error: 80040154 Class not registered' -f $ComObject), [int]-2147221164)
    }
    switch ($TypeName) {
        'System.Security.AccessControl.DirectorySecurity' { return New-DirectorySecurity }
        'System.IO.DirectoryInfo' { return New-DirectoryInfo ([string]$ArgumentList[0]) }
    }
    return Microsoft.PowerShell.Utility\New-Object @PSBoundParameters
}
