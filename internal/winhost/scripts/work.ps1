# Work: starts the worker as SYSTEM, unless the one of this job runs already or has its result, and then
# follows it in the same command. The worker outlives this command, the connection and the runner.
# Request: change (or null), job, mode, filter, worker (its text), line, follow (seconds), keep.

# Get-TaskText describes the task. The worker is read as text and run as a script block: a policy on script
# files does not apply to it, and the command line is constant. Priority 4 is normal; the default is lower.
function Get-TaskText {
    $command = '-NoProfile -NonInteractive -Command "&amp; ([ScriptBlock]::Create([IO.File]::ReadAllText([IO.Path]::Combine($env:ProgramData, ''octopatch'', ''worker.ps1''))))"'
    return @'
<?xml version="1.0"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>octopatch: Windows Update as SYSTEM; removed when the run ends</Description>
  </RegistrationInfo>
  <Principals>
    <Principal id="Author">
      <UserId>S-1-5-18</UserId>
      <RunLevel>HighestAvailable</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <AllowHardTerminate>true</AllowHardTerminate>
    <AllowStartOnDemand>true</AllowStartOnDemand>
    <Enabled>true</Enabled>
    <ExecutionTimeLimit>PT24H</ExecutionTimeLimit>
    <Priority>4</Priority>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>PROGRAM</Command>
      <Arguments>ARGUMENTS</Arguments>
    </Exec>
  </Actions>
</Task>
'@.Replace('PROGRAM', "$env:SystemRoot\System32\WindowsPowerShell\v1.0\powershell.exe").Replace('ARGUMENTS', $command)
}

# Register-Worker replaces the task. SYSTEM is named by its SID, since its name is translated.
function Register-Worker([object]$Scheduler) {
    Remove-OurTask $Scheduler
    $security = 'D:P(A;;FA;;;SY)(A;;FA;;;BA)'
    $folder = Find-TaskFolder $Scheduler
    if ($null -eq $folder) { $folder = $Scheduler.GetFolder('\').CreateFolder($TaskFolder.TrimStart('\'), $security) }
    # 6: create or update; 5: a service account, without a password
    return $folder.RegisterTask($TaskName, (Get-TaskText), 6, 'S-1-5-18', $null, 5, $security)
}

# Wait-Started waits until the task has begun: minutes on a small host just after boot.
function Wait-Started([object]$Scheduler, [int]$Seconds) {
    $deadline = (Get-Date).AddSeconds($Seconds)
    while ($true) {
        $task = Find-Task $Scheduler
        if ($null -eq $task) { Stop-WithError -Kind 'task' -Message 'the scheduled task is gone before it began' }
        if ([int]$task.State -eq $TaskRunning) { return }
        $last = '0x{0:X8}' -f $task.LastTaskResult
        # 0x00041303: has not run yet, 0x00041325: queued, 0x00041301: runs
        if ($last -notin '0x00041303', '0x00041325', '0x00041301') { return }
        if ((Get-Date) -ge $deadline) {
            Stop-WithError -Kind 'task' -Message ('the scheduled task has not begun after {0} s' -f $Seconds) -Code $last
        }
        Start-Sleep -Seconds 1
    }
}

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
    $task = Register-Worker $scheduler
    # 2: run whatever the conditions of the task say
    $task.RunEx($null, 2, 0, $null) | Out-Null
    Wait-Started $scheduler 300
}
