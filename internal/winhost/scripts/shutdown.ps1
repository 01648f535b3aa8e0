# The restart of this host in five seconds, so that the answer that says so still arrives. Never asked twice.

function Invoke-Shutdown([string[]]$Arguments) {
    $ErrorActionPreference = 'Continue'
    & "$env:SystemRoot\System32\shutdown.exe" @Arguments 2>$null | Out-Null
    return [int]$LASTEXITCODE
}

# Restart-Host answers issued, or restarting where a restart is under way already.
function Restart-Host([string]$Comment) {
    # p:2:17 is "operating system: hot fix (planned)"
    $restart = '/r', '/t', '5', '/d', 'p:2:17', '/c', $Comment
    $code = Invoke-Shutdown $restart
    if ($code -eq 1190) {
        # Somebody's shutdown is scheduled, who knows for when: ours takes its place.
        Invoke-Shutdown @('/a') | Out-Null
        $code = Invoke-Shutdown $restart
    }
    # 1115: a shutdown is in progress; 1717: the service behind it is already gone
    if ($code -in 1115, 1717) { return 'restarting' }
    if ($code -ne 0) { Stop-WithError -Kind 'reboot' -Message ('shutdown.exe ended with {0}' -f $code) -Code ('0x{0:X8}' -f (0x80070000 -bor $code)) }
    return 'issued'
}
