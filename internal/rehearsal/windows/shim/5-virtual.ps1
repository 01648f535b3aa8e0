# Hyper-V, where the machine is a host of virtual machines.

function New-VirtualMachine([object]$Machine) {
    $one = [pscustomobject]@{
        Id = [Guid]$Machine.id; Name = $Machine.name; State = $Machine.state; Notes = $Machine.notes; OperationalStatus = @($Machine.work)
        _Disks = @($Machine.disks); _Checkpoints = @($Machine.checkpoints); _Shadows = [bool]$Machine.shadows
    }
    # Since Windows Server 2016.
    if ($Machine.type) { Add-Property $one 'CheckpointType' $Machine.type }
    return $one
}

function Get-VM {
    [CmdletBinding()]
    param([Parameter(Position = 0)][string[]]$Name, [Guid]$Id)
    $known = Invoke-Machine 'virtual machines'
    if ($known.denied) {
        $denied = [InvalidOperationException]::new('You do not have the required permission to complete this task. Contact the administrator of the authorization policy for the computer.')
        $PSCmdlet.ThrowTerminatingError([System.Management.Automation.ErrorRecord]::new($denied, 'AccessDenied', [System.Management.Automation.ErrorCategory]::PermissionDenied, $null))
    }
    foreach ($machine in @($known.machines)) {
        if ($PSBoundParameters.ContainsKey('Id') -and [Guid]$machine.id -ne $Id) { continue }
        if ($Name -and -not @($Name | Where-Object { $machine.name -like $_ }).Count) { continue }
        New-VirtualMachine $machine
    }
}

function Set-VM {
    [CmdletBinding()]
    param([Parameter(Mandatory)][object]$VM, [ValidateSet('Disabled', 'Standard', 'Production', 'ProductionOnly')][string]$CheckpointType, [string]$Notes)
    $now = Get-VM -Id $VM.Id
    if (-not $PSBoundParameters.ContainsKey('CheckpointType')) { $CheckpointType = $now.CheckpointType }
    if (-not $PSBoundParameters.ContainsKey('Notes')) { $Notes = $now.Notes }
    Invoke-Machine 'virtual machine set' @{ vm = [string]$VM.Id; type = $CheckpointType; notes = $Notes } | Out-Null
}

function Start-VM {
    [CmdletBinding()]
    param([Parameter(Mandatory)][object]$VM)
    Invoke-Machine 'virtual machine start' @{ vm = [string]$VM.Id } | Out-Null
}

function Get-VMHardDiskDrive {
    [CmdletBinding()]
    param([Parameter(Mandatory)][object]$VM)
    foreach ($path in (Get-VM -Id $VM.Id)._Disks) { [pscustomobject]@{ Path = $path } }
}

function Get-VMIntegrationService {
    [CmdletBinding()]
    param([Parameter(Mandatory)][object]$VM)
    $status = 'NoContact'
    if ((Get-VM -Id $VM.Id)._Shadows) { $status = 'Ok' }
    $own = ([string]$VM.Id).ToUpperInvariant()
    [pscustomobject]@{ Id = 'Microsoft:{0}\2A34B1C2-FD73-4043-8A5B-DD2159BC743F' -f $own; Name = 'Key-Value Pair Exchange'; Enabled = $true; PrimaryOperationalStatus = 'Ok' }
    [pscustomobject]@{ Id = 'Microsoft:{0}\5CED1297-4598-4915-A5FC-AD21BB4D02A4' -f $own; Name = 'VSS'; Enabled = $true; PrimaryOperationalStatus = $status }
}

function Get-VMSnapshot {
    [CmdletBinding()]
    param([Parameter(Mandatory)][object]$VM)
    foreach ($checkpoint in (Get-VM -Id $VM.Id)._Checkpoints) { [pscustomobject]@{ Id = [Guid]$checkpoint.id; Name = $checkpoint.name; _VM = [string]$VM.Id } }
}

function Checkpoint-VM {
    [CmdletBinding()]
    param([Parameter(Mandatory)][object]$VM, [string]$SnapshotName)
    Invoke-Machine 'checkpoint take' @{ vm = [string]$VM.Id; name = $SnapshotName } | Out-Null
}

function Restore-VMSnapshot {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([Parameter(Mandatory)][object]$VMSnapshot)
    if ($PSCmdlet.ShouldProcess($VMSnapshot.Name)) { Invoke-Machine 'checkpoint apply' @{ vm = $VMSnapshot._VM; checkpoint = [string]$VMSnapshot.Id } | Out-Null }
}

function Remove-VMSnapshot {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([Parameter(Mandatory)][object]$VMSnapshot)
    if ($PSCmdlet.ShouldProcess($VMSnapshot.Name)) { Invoke-Machine 'checkpoint remove' @{ vm = $VMSnapshot._VM; checkpoint = [string]$VMSnapshot.Id } | Out-Null }
}
