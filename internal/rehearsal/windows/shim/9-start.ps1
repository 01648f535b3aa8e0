# From here on the process is one of this machine.

Connect-Machine $env:MACHINE_ADDRESS
Set-Alias -Name 'sc.exe' -Value '_ServiceControl'
Set-Alias -Name 'shutdown.exe' -Value '_Shutdown'
Set-Alias -Name 'schtasks.exe' -Value '_Schtasks'
Set-Alias -Name 'icacls.exe' -Value '_Icacls'
# Scripts build these paths with a backslash, whatever the real system's separator is.
Set-Alias -Name "$env:SystemRoot\System32\shutdown.exe" -Value '_Shutdown'
Set-Alias -Name "$env:SystemRoot\System32\wbadmin.exe" -Value '_Backup'
Set-Alias -Name $Machine.Program -Value '_Octopus'
# Only a Hyper-V host has its cmdlets.
if (-not $Machine.HyperV) { Microsoft.PowerShell.Management\Get-ChildItem -Path 'function:\*-VM*' | Microsoft.PowerShell.Management\Remove-Item }
# Only what Windows has as well. NAMES.md tells of each where it is described.
Export-ModuleMember -Alias '*' -Function @(
    'Get-Date', 'Start-Sleep', 'New-Object', 'Test-Path', 'Get-Item', 'Get-ItemProperty', 'Get-ItemPropertyValue', 'Get-ChildItem', 'Get-Acl',
    'Get-CimInstance', 'Invoke-CimMethod', 'Get-Service', 'Set-Service', 'Get-Process', 'Get-ScheduledTask', 'Enable-ScheduledTask', 'Disable-ScheduledTask',
    'Get-VM', 'Set-VM', 'Start-VM', 'Get-VMHardDiskDrive', 'Get-VMIntegrationService', 'Checkpoint-VM', 'Get-VMSnapshot', 'Restore-VMSnapshot', 'Remove-VMSnapshot',
    'New-Item', 'Remove-Item', 'Get-Content', 'Set-Content', 'Get-WBVolume', 'Get-WBJob', 'New-WBBackupTarget', 'Get-WBBackupSet',
    # What the aliases lead to.
    '_Backup', '_ServiceControl', '_Shutdown', '_Schtasks', '_Icacls', '_Octopus'
)
