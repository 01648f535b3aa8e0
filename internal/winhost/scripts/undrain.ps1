# Undrain: exits drain mode through Octopus' own program, which talks to the database and so works without
# the API. Request: change, instance.

Update-Journal $Request.change | Out-Null
$service = @(Get-ServerServices @(Get-CimInstance -ClassName Win32_Service) | Where-Object { (Get-InstanceName $_) -eq $Request.instance })
if ($service.Count -ne 1) { Stop-WithError -Kind 'service' -Message ('{0} services belong to the instance {1}' -f $service.Count, $Request.instance) }
# Its output may quote the configuration and stays here.
Invoke-Server (Get-ServerProgram $service[0]) @('node', '--drain=false', "--instance=$($Request.instance)") | Out-Null
if ($LASTEXITCODE -ne 0) { Stop-WithError -Kind 'octopus' -Message ('Octopus.Server.exe node --drain=false ended with {0}' -f $LASTEXITCODE) }
Write-Answer ([ordered]@{ undrained = $true })
