# Ready: waits until the host is back after a reboot and has been quiet for a while, or until the time for
# one command is over. Changes nothing.
# Request: bootBefore (FILETIME digits or empty), quiet (seconds), limit (seconds).
# Answer: ready, waiting, windows.

# Get-Awaited names what is still missing, or nothing. WinRM answers before Windows is done with its updates.
function Get-Awaited([string]$Boot) {
    if ($Request.bootBefore -and $Boot -eq $Request.bootBefore) { return 'the restart to begin' }
    # Made by the logon screen and gone with every shutdown.
    if (-not (Test-Path -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon\AutoLogonChecked')) { return 'the logon screen' }
    if ((Get-ServicingState) -notin 0, 1) { return 'component servicing (TiWorker) to finish' }
    if (@(Get-Service).Count -eq 0) { return 'the service manager' }
    return ''
}

$deadline = (Get-Now).AddSeconds($Request.limit)
$boot = ''; $said = ''; $last = Get-Now; $since = Get-Now; $facts = $null
while ($true) {
    try {
        $facts = Get-WindowsFacts (Get-CimInstance -ClassName Win32_OperatingSystem)
        $awaited = Get-Awaited $facts.boot
    } catch {
        $awaited = 'Windows to answer: ' + (Get-ErrorText $_)
    }
    # Whatever is missing, or another restart, begins the quiet period anew.
    if ($awaited -or ($null -ne $facts -and $facts.boot -ne $boot)) { $since = Get-Now }
    if ($null -ne $facts) { $boot = $facts.boot }
    if (-not $awaited) {
        if (((Get-Now) - $since).TotalSeconds -ge $Request.quiet) { break }
        $awaited = 'a quiet period of {0} s' -f $Request.quiet
    }
    # Said again now and then, so that the runner can tell a host that went down from one that waits.
    if ($awaited -ne $said -or ((Get-Now) - $last).TotalSeconds -ge 15) {
        Write-Sign ([ordered]@{ waiting = $awaited })
        $said = $awaited; $last = Get-Now
    }
    if ((Get-Now) -ge $deadline) {
        Write-Answer ([ordered]@{ ready = $false; waiting = $awaited; windows = $facts })
        exit 0
    }
    Start-Sleep -Seconds 3
}
Write-Answer ([ordered]@{ ready = $true; waiting = ''; windows = $facts })
