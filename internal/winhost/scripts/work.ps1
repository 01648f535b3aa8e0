# Work: starts the worker as SYSTEM, unless the one of this job runs already or has its result, and then
# follows it in the same command. The worker outlives this command, the connection and the runner.
# Request: change (or null), job, mode, filter, worker (its text), line, follow (seconds), keep.

# Wait-Started waits until the task has begun: minutes on a small host just after boot.
function Wait-Started([object]$Scheduler, [int]$Seconds) {
    $deadline = (Get-Now).AddSeconds($Seconds)
    while ($true) {
        $task = Find-Task $Scheduler
        if ($null -eq $task) { Stop-WithError -Kind 'task' -Message 'the scheduled task is gone before it began' }
        # 4: running
        if ([int]$task.State -eq 4) { return }
        $last = '0x{0:X8}' -f $task.LastTaskResult
        # 0x00041303: has not run yet, 0x00041325: queued, 0x00041301: runs
        if ($last -notin '0x00041303', '0x00041325', '0x00041301') { return }
        if ((Get-Now) -ge $deadline) {
            Stop-WithError -Kind 'task' -Message ('the scheduled task has not begun after {0} s' -f $Seconds) -Code $last
        }
        Start-Sleep -Seconds 1
    }
}

Assert-Unclaimed
Open-Folder
if ($null -ne $Request.change) { Update-Journal $Request.change | Out-Null }
$scheduler = Connect-Scheduler
$same = (Read-Property (Read-WorkFile 'work.json') 'job' '') -ceq $Request.job
$done = $same -and (Read-Property (Read-WorkFile 'result.json') 'job' '') -ceq $Request.job
if (-not $done -and -not ($same -and (Test-WorkerRuns $scheduler))) {
    Stop-Worker $scheduler
    foreach ($name in 'progress.jsonl', 'result.json') {
        $old = Join-Path $FolderPath $name
        if (Test-Path -LiteralPath $old) { Remove-Item -LiteralPath $old -Force }
    }
    Write-TextFile -Path (Join-Path $FolderPath 'worker.ps1') -Text $Request.worker
    Write-TextFile -Path (Join-Path $FolderPath 'work.json') -Text (ConvertTo-Line ([ordered]@{ job = $Request.job; mode = $Request.mode; filter = $Request.filter }))
    $task = Register-OurTask $scheduler 'worker' (Get-TaskText 'worker' 'Windows Update as SYSTEM')
    # 2: run whatever the conditions of the task say
    $task.RunEx($null, 2, 0, $null) | Out-Null
    Wait-Started $scheduler 300
}
