# Follow: streams the worker's progress from a line on, until it ends or the time for one command is over.
# Request: job, line (lines that the runner has seen), follow (seconds), keep.
# Answer: state (done, running, died, gone), line, result, code.

# Get-Downloaded counts the bytes of what Windows Update has fetched. That the folder grows during a download is
# unverified on a real host; if it does not, a download that is longer than the limit counts as stuck.
function Get-Downloaded {
    $bytes = 0
    $folder = [IO.Path]::Combine($env:SystemRoot, 'SoftwareDistribution', 'Download')
    foreach ($file in @(Get-ChildItem -LiteralPath $folder -Recurse -File -Force -ErrorAction SilentlyContinue)) {
        # A directory tells the length of a file in use late, the file itself does not; and it may be gone by now.
        try { $file.Refresh(); $bytes += $file.Length } catch { continue }
    }
    return $bytes
}

# Get-Activity changes as long as Windows downloads or its own installer does something, even if the worker is silent.
function Get-Activity {
    $size = 0
    # One look at the file: Windows renames it when it is full.
    $log = [IO.FileInfo]::new([IO.Path]::Combine($env:SystemRoot, 'Logs', 'CBS', 'CBS.log'))
    if ($log.Exists) { $size = $log.Length }
    $seconds = 0
    foreach ($process in @(Get-Process -Name 'TiWorker', 'TrustedInstaller' -ErrorAction SilentlyContinue)) {
        try { $seconds += [Math]::Floor([double](Read-Property $process 'CPU' 0)) } catch { continue } # it has just ended
    }
    return '{0} bytes downloaded, {1} bytes in CBS.log, {2} s of processor time' -f (Get-Downloaded), $size, $seconds
}

# Read-Progress hands on the lines that are whole and new. The file stays open between reads, so that its
# beginning is read once.
function Read-Progress {
    $path = Join-Path $FolderPath 'progress.jsonl'
    if ($null -eq $state.reader) {
        if (-not (Test-Path -LiteralPath $path)) { return }
        $share = [IO.FileShare]::ReadWrite -bor [IO.FileShare]::Delete
        $stream = [IO.FileStream]::new($path, [IO.FileMode]::Open, [IO.FileAccess]::Read, $share)
        $state.reader = [IO.StreamReader]::new($stream, [System.Text.Encoding]::UTF8)
    }
    $state.rest += $state.reader.ReadToEnd()
    while (($end = $state.rest.IndexOf([char]10)) -ge 0) {
        $text = $state.rest.Substring(0, $end); $state.rest = $state.rest.Substring($end + 1)
        $state.read++
        if ($state.read -le $state.line) { continue }
        $state.line = $state.read
        $work = $null
        try { $work = ConvertFrom-Json -InputObject $text } catch { continue }
        Write-Sign ([ordered]@{ line = $state.line; work = $work })
    }
}

# Complete-Follow answers; where nothing claims what the worker left behind, it goes first.
function Complete-Follow([string]$End, [object]$Result = $null, [string]$Code = '') {
    if ($null -ne $state.reader) { $state.reader.Dispose() }
    $claimed = @('run.json', 'lease.json' | Where-Object { Test-Path -LiteralPath (Join-Path $FolderPath $_) }).Count -gt 0
    if (-not $Request.keep -and $End -ne 'running' -and -not $claimed) {
        Remove-OurTask $scheduler
        Remove-OurFolder
    }
    Write-Answer ([ordered]@{ state = $End; line = $state.line; result = $Result; code = $Code })
}

$state = @{ line = [int]$Request.line; read = 0; rest = ''; reader = $null }
$scheduler = Connect-Scheduler
$deadline = (Get-Now).AddSeconds($Request.follow)
$activity = Get-Activity
$sampled = Get-Now; $renewed = Get-Now
$idle = 0; $over = 0
while ($true) {
    # In this order: a worker that ends in between has written its result before.
    $task = Find-Task $scheduler
    $runs = $null -ne $task -and [int]$task.State -in $TaskRuns
    $mine = (Read-Property (Read-WorkFile 'work.json') 'job' '') -ceq $Request.job
    if ($mine) { Read-Progress }
    $result = Read-WorkFile 'result.json'
    $ended = $mine -and (Read-Property $result 'job' '') -ceq $Request.job
    if ($ended) { $over++ }
    # The process takes a moment to go; it has nothing left to do.
    if ($ended -and (-not $runs -or $over -ge 15)) { Complete-Follow 'done' $result; break }
    if (-not $mine) { Complete-Follow 'gone'; break }
    if ($runs) { $idle = 0 } else { $idle++ }
    # A second look, for the task may change its state a moment after its process.
    if ($idle -ge 3) {
        $code = ''
        if ($null -ne $task) { $code = '0x{0:X8}' -f $task.LastTaskResult }
        Complete-Follow 'died' $null $code
        break
    }
    if ((Get-Now) -ge $deadline) { Complete-Follow 'running'; break }
    if (((Get-Now) - $sampled).TotalSeconds -ge 30) {
        $now = Get-Activity
        if ($now -ne $activity) { Write-Sign ([ordered]@{ line = $state.line; alive = $now }) }
        $activity = $now; $sampled = Get-Now
    }
    if (((Get-Now) - $renewed).TotalSeconds -ge 240) { Update-Lease (Read-Property $Request 'lease'); $renewed = Get-Now }
    Start-Sleep -Seconds 2
}
