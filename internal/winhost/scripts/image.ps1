# Image: has a SYSTEM task do one thing about disk images and follows it, so that it outlives this command, and goes to
# a share with the computer's own account: a network logon cannot pass its credentials on.
# Request: action (check, take, find, remove, stop), name, description, target, worker (the task's text), follow (seconds).
# Answer: state (done, running, died, idle), result (of the task, when it is done), code (of a task that died).

$ImageFiles = 'image.ps1', 'image.json', 'image-result.json'

# Get-ImageState is running, new (it has not begun yet), over or absent.
function Get-ImageState([object]$Scheduler) {
    $task = Find-Task $Scheduler 'image'
    if ($null -eq $task) { return 'absent' }
    if ([int]$task.State -in $TaskRuns) { return 'running' }
    # 0x00041303: has not run yet, 0x00041325: queued
    if (('0x{0:X8}' -f $task.LastTaskResult) -in '0x00041303', '0x00041325') { return 'new' }
    return 'over'
}

function Remove-ImageFiles {
    foreach ($name in $ImageFiles) {
        $path = Join-Path $FolderPath $name
        if (Test-Path -LiteralPath $path) { Remove-Item -LiteralPath $path -Force }
    }
}

# Stop-Image ends a task that only looks; what is being taken or removed is never cut short like that.
function Stop-Image([object]$Scheduler, [object]$Order) {
    $deadline = (Get-Now).AddSeconds(60)
    while ((Get-ImageState $Scheduler) -eq 'running') {
        if ((Read-Property $Order 'action' 'take') -in 'take', 'remove' -or (Get-Now) -ge $deadline) {
            Stop-WithError -Kind 'busy' -Message ('the task \octopatch\image is still at work: {0}' -f (Read-Property $Order 'job' '?'))
        }
        (Find-Task $Scheduler 'image').Stop(0)
        Start-Sleep -Seconds 1
    }
}

function Start-Image([object]$Scheduler, [string]$Job) {
    Remove-ImageFiles
    Write-TextFile -Path (Join-Path $FolderPath 'image.ps1') -Text $Request.worker
    $order = [ordered]@{ job = $Job; action = [string]$Request.action; name = [string]$Request.name; description = [string]$Request.description; target = [string]$Request.target }
    Write-TextFile -Path (Join-Path $FolderPath 'image.json') -Text (ConvertTo-Line $order)
    $task = Register-OurTask $Scheduler 'image' (Get-TaskText 'image' 'disk images by Windows Server Backup')
    # 2: run whatever the conditions of the task say
    $task.RunEx($null, 2, 0, $null) | Out-Null
}

# Get-Said is what Windows Server Backup is at, in its own words; it does not matter when it says nothing.
function Get-Said {
    try { return [string](Read-Property (Get-WBJob) 'CurrentOperation' '') } catch { return '' }
}

# Complete-Image answers; what the task left behind goes first, unless it is still at work.
function Complete-Image([string]$End, [object]$Result = $null, [string]$Code = '') {
    if ($End -ne 'running') {
        Remove-OurTask $scheduler 'image'
        Remove-ImageFiles
        if (@('run.json', 'lease.json' | Where-Object { Test-Path -LiteralPath (Join-Path $FolderPath $_) }).Count -eq 0) { Remove-OurFolder }
    }
    Write-Answer ([ordered]@{ state = $End; result = $Result; code = $Code })
}

Assert-Unclaimed
Open-Folder
$scheduler = Connect-Scheduler
$job = '{0} {1}' -f $Request.action, $Request.name
$order = Read-WorkFile 'image.json'
if ($Request.action -eq 'stop') {
    $job = 'take {0}' -f $Request.name
    $taking = (Get-ImageState $scheduler) -eq 'running' -and (Read-Property $order 'job' '') -ceq $job
    if ($taking) { & "$env:SystemRoot\System32\wbadmin.exe" 'stop' 'job' '-quiet' | Out-Null }
    elseif ((Read-Property (Read-WorkFile 'image-result.json') 'job' '') -cne $job) { Complete-Image 'idle'; exit 0 }
} elseif ((Read-Property $order 'job' '') -cne $job -or ((Get-ImageState $scheduler) -notin 'running', 'new' -and (Read-Property (Read-WorkFile 'image-result.json') 'job' '') -cne $job)) {
    Stop-Image $scheduler $order
    Start-Image $scheduler $job
}

$began = Get-Now; $renewed = Get-Now; $asked = Get-Now; $said = ''; $over = 0; $idle = 0
while ($true) {
    # In this order: a task that ends in between has written its result before.
    $state = Get-ImageState $scheduler
    $result = Read-WorkFile 'image-result.json'
    if ((Read-Property $result 'job' '') -ceq $job) {
        $over++
        # The process takes a moment to go; it has nothing left to do.
        if ($state -ne 'running' -or $over -ge 15) { Complete-Image 'done' $result; break }
    }
    if ($state -eq 'running' -or ($state -eq 'new' -and ((Get-Now) - $began).TotalSeconds -lt 300)) { $idle = 0 } else { $idle++ }
    if ($idle -ge 3) {
        $task = Find-Task $scheduler 'image'
        $code = ''
        if ($null -ne $task) { $code = '0x{0:X8}' -f $task.LastTaskResult }
        Complete-Image 'died' $null $code
        break
    }
    if (((Get-Now) - $began).TotalSeconds -ge [int]$Request.follow) { Complete-Image 'running'; break }
    if ($job -like 'take *' -and ((Get-Now) - $asked).TotalSeconds -ge 10) {
        $now = Get-Said
        if ($now -and $now -ne $said) { Write-Sign ([ordered]@{ said = $now }); $said = $now }
        $asked = Get-Now
    }
    if (((Get-Now) - $renewed).TotalSeconds -ge 240) { Update-Lease (Read-Property $Request 'lease'); $renewed = Get-Now }
    Start-Sleep -Seconds 2
}
