# From here on the process is one of this machine.

Connect-Machine $env:MACHINE_ADDRESS
Set-Alias -Name 'sc.exe' -Value 'Invoke-ServiceControl'
Set-Alias -Name 'shutdown.exe' -Value 'Invoke-ShutdownProgram'
# Scripts build these paths with a backslash, whatever the real system's separator is.
Set-Alias -Name "$env:SystemRoot\System32\shutdown.exe" -Value 'Invoke-ShutdownProgram'
Set-Alias -Name $Machine.Program -Value 'Invoke-OctopusProgram'
Export-ModuleMember -Function '*' -Alias '*'
