# Our scheduled task: \octopatch\worker runs as SYSTEM, because Windows Update refuses a network logon
# (0x80070005).

$TaskFolder = '\octopatch'
$TaskName = 'worker'
$TaskRunning = 4

function Connect-Scheduler {
    $scheduler = New-Object -ComObject Schedule.Service
    $scheduler.Connect()
    return $scheduler
}

# Find-TaskFolder is our folder in the scheduler, or $null.
function Find-TaskFolder([object]$Scheduler) {
    try { return $Scheduler.GetFolder($TaskFolder) }
    catch {
        if ((Get-ErrorCode $_) -in '0x80070002', '0x80070003') { return $null }
        throw
    }
}

# Find-Task is our task, or $null.
function Find-Task([object]$Scheduler) {
    $folder = Find-TaskFolder $Scheduler
    if ($null -eq $folder) { return $null }
    try { return $folder.GetTask($TaskName) }
    catch {
        if ((Get-ErrorCode $_) -in '0x80070002', '0x80070003') { return $null }
        throw
    }
}

function Test-WorkerRuns([object]$Scheduler) {
    $task = Find-Task $Scheduler
    return $null -ne $task -and [int]$task.State -eq $TaskRunning
}

# Read-WorkFile reads one of the worker's files, or $null when it is absent or not whole.
function Read-WorkFile([string]$Name) {
    $path = Join-Path $FolderPath $Name
    if (-not (Test-Path -LiteralPath $path)) { return $null }
    try { return ConvertFrom-Json -InputObject (Read-TextFile $path) } catch { return $null }
}

# Stop-Worker ends a worker that only searches or downloads. An installation is never cut short.
function Stop-Worker([object]$Scheduler) {
    $deadline = (Get-Date).AddSeconds(60)
    while (Test-WorkerRuns $Scheduler) {
        $work = Read-WorkFile 'work.json'
        if ((Read-Property $work 'mode' 'install') -eq 'install') {
            Stop-WithError -Kind 'busy' -Message ('the worker of job {0} is still installing' -f (Read-Property $work 'job' '?'))
        }
        if ((Get-Date) -ge $deadline) { Stop-WithError -Kind 'busy' -Message 'the worker does not end' }
        (Find-Task $Scheduler).Stop(0)
        Start-Sleep -Seconds 1
    }
}

# Remove-OurTask removes the task, and its folder when nothing else is in it.
function Remove-OurTask([object]$Scheduler) {
    $folder = Find-TaskFolder $Scheduler
    if ($null -eq $folder) { return }
    if ($null -ne (Find-Task $Scheduler)) { $folder.DeleteTask($TaskName, 0) }
    # 1: hidden tasks too
    if (@($folder.GetTasks(1)).Count -eq 0) { $Scheduler.GetFolder('\').DeleteFolder($TaskFolder.TrimStart('\'), 0) }
}

# Remove-OurFolder removes the folder with everything in it, if it is ours.
function Remove-OurFolder {
    $state = Get-FolderState
    if ($state -eq 'absent') { return }
    if ($state -ne 'ours') { Stop-WithError -Kind 'folder' -Message ('{0} {1}' -f $FolderPath, $state) }
    Remove-Item -LiteralPath $FolderPath -Recurse -Force
}
