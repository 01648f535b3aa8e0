# Health: what decides whether a node may be opened again. Changes nothing and knows no key.
# Request: services (names), prefixes (the instance's own listen prefixes).

# Get-PingAddress turns a listen prefix into an address on this host. A name may lead to the load balancer,
# so the address is the loopback and the name goes into the Host header.
function Get-PingAddress([string]$Prefix) {
    if ($Prefix -notmatch '^(?<scheme>https?)://(?<host>\[[^\]]+\]|[^:/]+)(?::(?<port>\d+))?(?<path>/.*)?$') { return $null }
    $scheme = $Matches['scheme']; $name = $Matches['host']
    $port = ''; if ($Matches.ContainsKey('port')) { $port = ':' + $Matches['port'] }
    $path = '/'; if ($Matches.ContainsKey('path')) { $path = $Matches['path'].TrimEnd('/') + '/' }
    $target = 'localhost'; $header = ''
    if ($name -match '^(?:\d{1,3}(?:\.\d{1,3}){3}|\[.+\])$' -and $name -ne '0.0.0.0') { $target = $name }
    elseif ($name -notin '+', '*', 'localhost', '0.0.0.0') { $header = $name + $port }
    return @{ url = '{0}://{1}{2}{3}api/octopusservernodes/ping' -f $scheme, $target, $port, $path; header = $header }
}

# New-Trust accepts any certificate: it names the cluster, not the loopback, and nothing secret is sent to ourselves.
# A script block would not do: .NET may ask on a thread that cannot run one (PowerShell issue 17340).
function New-Trust {
    $kinds = [object], [System.Security.Cryptography.X509Certificates.X509Certificate], [System.Security.Cryptography.X509Certificates.X509Chain], [System.Net.Security.SslPolicyErrors]
    $parameters = [System.Linq.Expressions.ParameterExpression[]]@(foreach ($kind in $kinds) { [System.Linq.Expressions.Expression]::Parameter($kind) })
    $yes = [System.Linq.Expressions.Expression]::Constant($true)
    return [System.Linq.Expressions.Expression]::Lambda([System.Net.Security.RemoteCertificateValidationCallback], $yes, $parameters).Compile()
}

# Invoke-Ping asks one address. 200 and 418 (draining) are answers.
function Invoke-Ping([object]$Address) {
    $ask = [System.Net.WebRequest]::Create($Address.url)
    $ask.Timeout = 20000
    $ask.Proxy = $null
    $ask.AllowAutoRedirect = $false
    $ask.ServerCertificateValidationCallback = New-Trust
    if ($Address.header) { $ask.Host = $Address.header }
    $reply = $null
    try { $reply = $ask.GetResponse() }
    catch {
        $fault = $_.Exception
        while ($null -ne $fault -and $fault -isnot [System.Net.WebException]) { $fault = $fault.InnerException }
        if ($null -eq $fault -or $null -eq $fault.Response) { throw }
        $reply = $fault.Response
    }
    $reader = [IO.StreamReader]::new($reply.GetResponseStream(), [System.Text.Encoding]::UTF8)
    try { $status = [int]$reply.StatusCode; $text = $reader.ReadToEnd() } finally { $reader.Dispose(); $reply.Dispose() }
    if ($status -notin 200, 418) { throw ('HTTP {0}' -f $status) }
    $body = ConvertFrom-Json -InputObject $text
    return [ordered]@{ status = $status; name = [string](Read-Property $body 'Name' ''); version = [string](Read-Property $body 'Version' '') }
}

$ping = [ordered]@{ status = 0; name = ''; version = '' }
$faults = @()
foreach ($prefix in @($Request.prefixes)) {
    $address = Get-PingAddress $prefix
    if ($null -eq $address) { $faults += '{0}: not understood' -f $prefix; continue }
    try { $ping = Invoke-Ping $address; $faults = @(); break }
    catch { $faults += '{0}: {1}' -f $address.url, (Get-RootError $_).Message }
}
if ($ping.status -eq 0 -and $faults.Count -eq 0) { $faults = @('the instance has no listen prefix') }

# What this run stopped besides, such as dependents, must be back as well.
$names = @($Request.services)
if ((Get-FolderState) -eq 'ours') {
    foreach ($held in @(Read-Property (Read-Property (Read-Journal) 'host') 'services' @())) {
        if ($names -notcontains $held.name) { $names += $held.name }
    }
}
$all = @(Get-CimInstance -ClassName Win32_Service)
Write-Answer ([ordered]@{
    windows   = Get-WindowsFacts (Get-CimInstance -ClassName Win32_OperatingSystem)
    services  = @(foreach ($name in $names) { Get-ServiceFacts (Find-Service $all $name) })
    pending   = @(Get-HardPending)
    ping      = $ping
    pingError = [string]($faults -join '; ')
})
