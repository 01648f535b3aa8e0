# Our scheduled tasks, all as SYSTEM: \octopatch\worker, because Windows Update refuses a network logon
# (0x80070005), \octopatch\deadman, because it must act when nobody is logged on, and \octopatch\image, because a
# network logon cannot go on to a share.

$TaskFolder = '\octopatch'
$TaskRuns = 2, 4 # queued, running: a task that has been started is not started again beside itself

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

# Find-Task is our task of that name, or $null.
function Find-Task([object]$Scheduler, [string]$Name = 'worker') {
    $folder = Find-TaskFolder $Scheduler
    if ($null -eq $folder) { return $null }
    try { return $folder.GetTask($Name) }
    catch {
        if ((Get-ErrorCode $_) -in '0x80070002', '0x80070003') { return $null }
        throw
    }
}

function Test-WorkerRuns([object]$Scheduler) {
    $task = Find-Task $Scheduler
    return $null -ne $task -and [int]$task.State -in $TaskRuns
}

# Read-WorkFile reads one of the worker's files, or $null when it is absent or not whole.
function Read-WorkFile([string]$Name) {
    $path = Join-Path $FolderPath $Name
    if (-not (Test-Path -LiteralPath $path)) { return $null }
    try { return ConvertFrom-Json -InputObject (Read-TextFile $path) } catch { return $null }
}

# Stop-Worker ends a worker that only searches or downloads. An installation is never cut short.
function Stop-Worker([object]$Scheduler) {
    $deadline = (Get-Now).AddSeconds(60)
    while (Test-WorkerRuns $Scheduler) {
        $work = Read-WorkFile 'work.json'
        if ((Read-Property $work 'mode' 'install') -eq 'install') {
            Stop-WithError -Kind 'busy' -Message ('the worker of job {0} is still installing' -f (Read-Property $work 'job' '?'))
        }
        if ((Get-Now) -ge $deadline) { Stop-WithError -Kind 'busy' -Message 'the worker does not end' }
        (Find-Task $Scheduler).Stop(0)
        Start-Sleep -Seconds 1
    }
}

# Remove-OurTask removes one task, and the scheduler's folder when nothing else is in it.
function Remove-OurTask([object]$Scheduler, [string]$Name = 'worker') {
    $folder = Find-TaskFolder $Scheduler
    if ($null -eq $folder) { return }
    try {
        if ($null -ne (Find-Task $Scheduler $Name)) { $folder.DeleteTask($Name, 0) }
        # 1: hidden tasks too
        if (@($folder.GetTasks(1)).Count -eq 0) { $Scheduler.GetFolder('\').DeleteFolder($TaskFolder.TrimStart('\'), 0) }
    } catch {
        # The dead-man switch and a runner may both be at it.
        if ((Get-ErrorCode $_) -notin '0x80070002', '0x80070003') { throw }
    }
}

function Remove-OurTasks([object]$Scheduler) {
    Remove-OurTask $Scheduler 'deadman'
    Remove-OurTask $Scheduler 'worker'
    Remove-OurTask $Scheduler 'image'
}

# Get-TaskText describes a task. Its script is read as text and run as a script block: a policy on script files
# does not apply to it, and the command line is constant. Priority 4 is normal; the default is lower.
function Get-TaskText([string]$Name, [string]$Purpose, [string]$Triggers = '') {
    $command = '-NoProfile -NonInteractive -Command "&amp; ([ScriptBlock]::Create([IO.File]::ReadAllText([IO.Path]::Combine($env:ProgramData, ''octopatch'', ''NAME.ps1''))))"'
    return @'
<?xml version="1.0"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>octopatch: PURPOSE; removed when the run ends</Description>
  </RegistrationInfo>
  <Triggers>TRIGGERS</Triggers>
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
'@.Replace('PROGRAM', "$env:SystemRoot\System32\WindowsPowerShell\v1.0\powershell.exe").Replace('ARGUMENTS', $command).Replace('NAME', $Name).Replace('PURPOSE', $Purpose).Replace('TRIGGERS', $Triggers)
}

# Register-OurTask replaces a task. SYSTEM is named by its SID, since its name is translated.
function Register-OurTask([object]$Scheduler, [string]$Name, [string]$Text) {
    Remove-OurTask $Scheduler $Name
    $security = 'D:P(A;;FA;;;SY)(A;;FA;;;BA)'
    $folder = Find-TaskFolder $Scheduler
    if ($null -eq $folder) { $folder = $Scheduler.GetFolder('\').CreateFolder($TaskFolder.TrimStart('\'), $security) }
    # 6: create or update; 5: a service account, without a password
    return $folder.RegisterTask($Name, $Text, 6, 'S-1-5-18', $null, 5, $security)
}
