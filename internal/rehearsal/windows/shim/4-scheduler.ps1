# The Task Scheduler, as cmdlets and as COM objects.

function Get-ScheduledTask {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string[]]$TaskName, [string[]]$TaskPath)
    foreach ($task in @(Invoke-Machine 'tasks')) {
        if ($TaskName -and -not @($TaskName | Where-Object { $task.name -like $_ }).Count) { continue }
        if ($TaskPath -and -not @($TaskPath | Where-Object { $task.path -like $_ }).Count) { continue }
        [pscustomobject]@{ TaskName = $task.name; TaskPath = $task.path; State = $task.state; URI = $task.path + $task.name }
    }
}

function Set-TaskEnabled([string]$TaskPath, [string]$TaskName, [bool]$Enabled) {
    Invoke-Machine 'task enable' @{ folder = $TaskPath; name = $TaskName; enabled = $Enabled } | Out-Null
    return Get-ScheduledTask | Where-Object { $_.TaskName -eq $TaskName -and $_.TaskPath -eq $TaskPath }
}

function Enable-ScheduledTask {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$TaskName, [string]$TaskPath = '\')
    return Set-TaskEnabled $TaskPath $TaskName $true
}

function Disable-ScheduledTask {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string]$TaskName, [string]$TaskPath = '\')
    return Set-TaskEnabled $TaskPath $TaskName $false
}

function New-TaskService {
    $service = [pscustomobject]@{ Connected = $false }
    Add-Method $service 'Connect' { $this.Connected = $true }
    Add-Method $service 'GetFolder' {
        param($Path)
        Invoke-Machine 'folder' @{ folder = [string]$Path } | Out-Null
        return New-TaskFolder ([string]$Path)
    }
    return $service
}

function Join-TaskPath([string]$Folder, [string]$Name) { return $Folder.TrimEnd('\') + '\' + $Name.TrimStart('\') }

function New-TaskFolder([string]$Path) {
    $folder = [pscustomobject]@{ Path = $Path; Name = @($Path -split '\\')[-1] }
    Add-Method $folder 'CreateFolder' {
        param($Name, $Security)
        $path = Join-TaskPath $this.Path $Name
        Invoke-Machine 'folder create' @{ folder = $path; sddl = [string]$Security } | Out-Null
        return New-TaskFolder $path
    }
    Add-Method $folder 'DeleteFolder' { param($Name, $Flags) Invoke-Machine 'folder delete' @{ folder = (Join-TaskPath $this.Path $Name) } | Out-Null }
    Add-Method $folder 'GetTask' {
        param($Name)
        return New-RegisteredTask $this.Path (Invoke-Machine 'task' @{ folder = $this.Path; name = [string]$Name })
    }
    Add-Method $folder 'GetTasks' {
        param($Flags)
        $folder = $this.Path
        return , @(@(Invoke-Machine 'task' @{ folder = $folder; name = '' }) | ForEach-Object { New-RegisteredTask $folder $_ })
    }
    Add-Method $folder 'RegisterTask' {
        param($Name, $Text, $Flags, $User, $Password, $Logon, $Security)
        Invoke-Machine 'task register' @{ folder = $this.Path; name = [string]$Name; xml = [string]$Text } | Out-Null
        return $this.GetTask($Name)
    }
    Add-Method $folder 'DeleteTask' { param($Name, $Flags) Invoke-Machine 'task delete' @{ folder = $this.Path; name = [string]$Name } | Out-Null }
    return $folder
}

function New-RegisteredTask([string]$Folder, [object]$Task) {
    $one = [pscustomobject]@{ Name = $Task.name; Path = (Join-TaskPath $Folder $Task.name); _Folder = $Folder; State = [int]$Task.state; LastTaskResult = [int]$Task.result; Enabled = [int]$Task.state -ne 1 }
    Add-Method $one 'Run' { param($Parameters) Invoke-Machine 'task run' @{ folder = $this._Folder; name = $this.Name } | Out-Null }
    Add-Method $one 'RunEx' { param($Parameters, $Flags, $Session, $User) Invoke-Machine 'task run' @{ folder = $this._Folder; name = $this.Name } | Out-Null }
    Add-Method $one 'Stop' { param($Flags) Invoke-Machine 'task stop' @{ folder = $this._Folder; name = $this.Name } | Out-Null }
    return $one
}
