# Lease: takes this host's lease for a process, or lets it go. Taking is a comparison and an exchange under the
# lock: of many processes that ask at once, one is told that it has it.
# Request: action (take, release), run, owner, attempt, nonce, every (seconds between two renewals), expect (the
# nonce of the stale lease that may be taken over, or empty).
# Answer: held, lease (as it stands now, or null), live, journal (of an unfinished run, or null).

function Request-Lease {
    $now = ConvertTo-UnixTime (Get-Date)
    $lease = Read-Lease
    $live = $false
    if ($null -ne $lease) { $live = Test-LeaseLive $lease }
    $ours = $null -ne $lease -and [string]$lease.nonce -ceq [string]$Request.nonce
    $stale = $null -ne $lease -and -not $live -and $Request.expect -and [string]$lease.nonce -ceq [string]$Request.expect
    if ($null -ne $lease -and -not $ours -and -not $stale) { return [ordered]@{ held = $false; lease = $lease; live = $live; journal = (Read-Journal) } }
    $lease = [pscustomobject][ordered]@{
        format = 1; run = [string]$Request.run; owner = [string]$Request.owner; attempt = [string]$Request.attempt; nonce = [string]$Request.nonce
        every = [int64]$Request.every; taken = $now; renewed = $now; released = $false
    }
    Write-Lease $lease
    return [ordered]@{ held = $true; lease = $lease; live = $true; journal = (Read-Journal) }
}

# Revoke-Lease lets go of a lease that is ours. Without a journal nothing is left to go on with, so everything goes;
# with one, or with the copy of another node's, the moment of the last renewal stays, for the dead-man switch counts from there.
function Revoke-Lease {
    if ((Get-FolderState) -ne 'ours') { return [ordered]@{ held = $false; lease = $null; live = $false; journal = $null } }
    $open = (Test-Path -LiteralPath $JournalPath) -or (Test-Path -LiteralPath $CopyPath)
    $lock = Open-Lock
    try {
        $lease = Read-Lease
        if ($null -ne $lease -and [string]$lease.nonce -cne [string]$Request.nonce) { return [ordered]@{ held = $false; lease = $lease; live = (Test-LeaseLive $lease); journal = $null } }
        if ($open -and $null -ne $lease) { Set-Property $lease 'released' $true; Write-Lease $lease }
    } finally { $lock.Dispose() }
    if ($open) { return [ordered]@{ held = $false; lease = $lease; live = $false; journal = $null } }
    $scheduler = Connect-Scheduler
    Stop-Worker $scheduler
    Remove-OurTasks $scheduler
    Remove-OurFolder
    return [ordered]@{ held = $false; lease = $null; live = $false; journal = $null }
}

if ($Request.action -eq 'release') { Write-Answer (Revoke-Lease); exit 0 }
# An unfinished run that cannot be read belongs to somebody all the same: then nothing is taken.
if ((Get-FolderState) -eq 'ours') { Read-Journal | Out-Null }
$lock = Open-Lock
try { $answer = Request-Lease } finally { $lock.Dispose() }
Write-Answer $answer
