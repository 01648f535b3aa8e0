# Hyper-V: production checkpoints of one virtual machine, on the Hyper-V host that it runs on.
# Request: action (check, take, find, look, revert, remove), vm, computer (the node's; empty where it is not known),
# name (of the checkpoint), expires (take: what follows the name, or empty), disks (revert: as look has told them).
# Answer: found, disks (the files that the machine writes to), type (of checkpoints, as somebody has set it),
# checkpoints (all names).

# The work of Hyper-V on a machine, in the words of its OperationalStatus; those of Status are localised.
$Checkpointing = 'CreatingSnapshot', 'ApplyingSnapshot', 'DeletingSnapshot'
$Working = $Checkpointing + ('MergingDisks', 'ExportingVirtualMachine', 'MigratingVirtualMachine', 'BackingUpVirtualMachine', 'ModifyingUpVirtualMachine', 'StorageMigrationPhaseOne', 'StorageMigrationPhaseTwo')
# The integration service of the volume shadow copies ends with this in every language.
$ShadowCopies = '5CED1297-4598-4915-A5FC-AD21BB4D02A4'
$Remembered = '(?m)(?:\r?\n)?^octopatch: its checkpoint type was (?<type>[A-Za-z]+)\r?$'

function Find-Machine {
    if ($null -eq (Get-Command -Name 'Get-VM' -ErrorAction SilentlyContinue)) {
        Stop-WithError -Kind 'unfit' -Message ('{0} is no Hyper-V host, or lacks the feature Hyper-V-PowerShell' -f $env:COMPUTERNAME)
    }
    # The cmdlets read wildcards in a name.
    try { $found = @(Get-VM | Where-Object { [string]$_.Name -eq [string]$Request.vm }) }
    catch {
        if ([string]$_.CategoryInfo.Category -ne 'PermissionDenied') { throw }
        Stop-WithError -Kind 'rights' -Message (Get-RootError $_).Message
    }
    if ($found.Count -ne 1) {
        Stop-WithError -Kind 'machine' -Message ('{0} runs {1} virtual machines called {2}; in a failover cluster it may have moved to another host' -f $env:COMPUTERNAME, $found.Count, $Request.vm)
    }
    return $found[0]
}

$machine = Find-Machine

function Get-Work([string[]]$Kinds) {
    return (Get-VM -Id $machine.Id).OperationalStatus | ForEach-Object { [string]$_ } | Where-Object { $Kinds -ccontains $_ }
}

# Wait-Work awaits what Hyper-V does with the machine, such as for a call whose answer was lost.
function Wait-Work([string[]]$Kinds) {
    $deadline = (Get-Now).AddSeconds(600)
    while ($true) {
        $work = @(Get-Work $Kinds)
        if (-not $work.Count) { return }
        if ((Get-Now) -ge $deadline) { Stop-WithError -Kind 'checkpoint' -Message ('Hyper-V is still at work on the virtual machine {0}: {1}' -f $machine.Name, ($work -join ', ')) }
        Start-Sleep -Seconds 2
    }
}

# Find-Checkpoint is the one with our name, whatever it says of its expiry behind it; $null when there is none.
function Find-Checkpoint {
    $name = [string]$Request.name
    $found = @(Get-VMSnapshot -VM $machine | Where-Object { $name -and ([string]$_.Name -ceq $name -or ([string]$_.Name).StartsWith($name + ', expires ')) })
    if ($found.Count -gt 1) { Stop-WithError -Kind 'checkpoint' -Message ('there are {0} checkpoints called {1}' -f $found.Count, $name) }
    if ($found.Count) { return $found[0] }
    return $null
}

# Get-GuestName is what the computer in the machine calls itself, empty where it does not tell.
function Get-GuestName {
    foreach ($exchange in @(Get-CimInstance -Namespace 'root\virtualization\v2' -ClassName 'Msvm_KvpExchangeComponent')) {
        if ([string]$exchange.SystemName -ne [string]$machine.Id) { continue }
        foreach ($item in @(Read-Property $exchange 'GuestIntrinsicExchangeItems' @())) {
            $pair = @{}
            foreach ($property in ([xml]$item).SelectNodes('/INSTANCE/PROPERTY')) { $pair[$property.GetAttribute('NAME')] = $property.InnerText }
            if ($pair['Name'] -ceq 'FullyQualifiedDomainName') { return $pair['Data'] }
        }
    }
    return ''
}

# Confirm-Guest refuses a machine that is not the node's: reverting another one would destroy somebody's work. One
# that does not run cannot tell, and is then known by the checkpoint that was taken when it did.
function Confirm-Guest([bool]$MustTell) {
    if ([string]$Request.computer -eq $env:COMPUTERNAME) { Stop-WithError -Kind 'machine' -Message ('{0} is the node itself, and not the Hyper-V host of its virtual machine' -f $env:COMPUTERNAME) }
    $guest = Get-GuestName
    if (-not $guest) {
        if ($MustTell) { Stop-WithError -Kind 'unfit' -Message ('Hyper-V does not know which computer runs in the virtual machine {0}, which is {1}; its integration service Data Exchange must tell' -f $machine.Name, $machine.State) }
        return
    }
    $short = ($guest -split '\.')[0]
    $short = $short.Substring(0, [Math]::Min(15, $short.Length))
    if ([string]$Request.computer -and $short -ne [string]$Request.computer) {
        Stop-WithError -Kind 'machine' -Message ('the computer in the virtual machine {0} calls itself {1}, and that of the node is {2}' -f $machine.Name, $guest, $Request.computer)
    }
}

# Confirm-Fit refuses a machine of which no production checkpoint can be taken.
function Confirm-Fit {
    $type = Get-CheckpointType
    if (-not $type) { Stop-WithError -Kind 'unfit' -Message ('Hyper-V on {0} has no production checkpoints; they came with Windows Server 2016' -f $env:COMPUTERNAME) }
    if ($type -eq 'Disabled') { Stop-WithError -Kind 'unfit' -Message ('checkpoints of the virtual machine {0} are disabled' -f $machine.Name) }
    $service = @(Get-VMIntegrationService -VM $machine | Where-Object { ([string]$_.Id).EndsWith($ShadowCopies, [StringComparison]::OrdinalIgnoreCase) })
    if (-not $service.Count -or -not $service[0].Enabled -or [string]$service[0].PrimaryOperationalStatus -notin 'Ok', 'Degraded') {
        Stop-WithError -Kind 'unfit' -Message ('the integration service Backup (volume shadow copy) of the virtual machine {0} does not run, without which no production checkpoint can be taken' -f $machine.Name)
    }
}

# Get-CheckpointType is the type that somebody has set, also while ours is in its place; empty before Windows
# Server 2016.
function Get-CheckpointType {
    $now = Get-VM -Id $machine.Id
    if ([string]$now.Notes -cmatch $Remembered) { return $Matches['type'] }
    return [string](Read-Property $now 'CheckpointType' '')
}

# Hold-CheckpointType keeps Hyper-V from quietly taking a checkpoint with the memory where the guest cannot be
# brought to rest. What was set before stands in the machine's notes: a call that is cut off leaves it there, and a
# checkpoint holds both, so that they are back after a revert.
function Hold-CheckpointType {
    $type = Get-CheckpointType
    $now = Get-VM -Id $machine.Id
    if ([string]$now.CheckpointType -eq 'ProductionOnly') { return }
    $line = 'octopatch: its checkpoint type was {0}' -f $type
    $notes = [regex]::Replace([string]$now.Notes, $Remembered, '')
    if ($notes) { $line = $notes + "`n" + $line }
    Set-VM -VM $now -CheckpointType ProductionOnly -Notes $line
}

function Restore-CheckpointType {
    $now = Get-VM -Id $machine.Id
    $notes = [string]$now.Notes
    if ($notes -cmatch $Remembered) { Set-VM -VM $now -CheckpointType $Matches['type'] -Notes ([regex]::Replace($notes, $Remembered, '')) }
}

function Get-Disks { return Get-VMHardDiskDrive -VM $machine | ForEach-Object { [string]$_.Path } }

$failed = ''
switch ([string]$Request.action) {
    'check' {
        Confirm-Guest $true
        Confirm-Fit
        $work = @(Get-Work $Working)
        if ($work.Count) { Stop-WithError -Kind 'unfit' -Message ('Hyper-V is at work on the virtual machine {0}: {1}' -f $machine.Name, ($work -join ', ')) }
    }
    'take' {
        Wait-Work $Working
        if ($null -eq (Find-Checkpoint)) {
            Confirm-Guest $true
            Confirm-Fit
            try {
                Hold-CheckpointType
                Checkpoint-VM -VM $machine -SnapshotName ([string]$Request.name + [string]$Request.expires)
            } catch { $failed = (Get-RootError $_).Message }
        }
        Restore-CheckpointType
    }
    'find' {
        Wait-Work $Checkpointing
        Restore-CheckpointType
    }
    'look' { Wait-Work $Working }
    'revert' {
        Wait-Work $Working
        $checkpoint = Find-Checkpoint
        if ($null -ne $checkpoint) {
            Confirm-Guest $false
            # A revert gives the machine new disks: with others than were seen before it, it was reverted already.
            $before = @($Request.disks | ForEach-Object { [string]$_ }) -join '|'
            $after = @(Get-Disks) -join '|'
            try {
                if ($before -eq $after) { Restore-VMSnapshot -VMSnapshot $checkpoint -Confirm:$false }
                Restore-CheckpointType
                # A production checkpoint leaves the machine off.
                if ([string](Get-VM -Id $machine.Id).State -ne 'Running') { Start-VM -VM $machine }
            } catch { $failed = (Get-RootError $_).Message }
        }
    }
    'remove' {
        Wait-Work $Checkpointing
        Restore-CheckpointType
        $checkpoint = Find-Checkpoint
        if ($null -ne $checkpoint) {
            # Disks are merged afterwards, in the background; those of another checkpoint are awaited first.
            Wait-Work $Working
            try { Remove-VMSnapshot -VMSnapshot $checkpoint -Confirm:$false }
            catch { $failed = (Get-RootError $_).Message }
        }
    }
    default { Stop-WithError -Kind 'script' -Message ('there is no action {0}' -f $Request.action) }
}
if ($failed) { Stop-WithError -Kind 'checkpoint' -Message $failed }
Write-Answer ([ordered]@{
    found       = $null -ne (Find-Checkpoint)
    disks       = @(Get-Disks)
    type        = Get-CheckpointType
    checkpoints = @(Get-VMSnapshot -VM $machine | ForEach-Object { [string]$_.Name })
})
