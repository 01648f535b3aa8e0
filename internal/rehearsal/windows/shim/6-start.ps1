# From here on the process is one of this machine.

Connect-Machine $env:MACHINE_ADDRESS
Set-Alias -Name 'sc.exe' -Value 'Invoke-ServiceControl' -Scope Global
Set-Alias -Name 'shutdown.exe' -Value 'Invoke-ShutdownProgram' -Scope Global
# Scripts build these paths with a backslash, whatever the real system's separator is.
Set-Alias -Name "$env:SystemRoot\System32\shutdown.exe" -Value 'Invoke-ShutdownProgram' -Scope Global
Set-Alias -Name $Machine.Program -Value 'Invoke-OctopusProgram' -Scope Global
