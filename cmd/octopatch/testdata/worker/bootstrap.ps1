# What an Octopus worker runs around the PowerShell body of a step: helpers, and the step's variables encrypted with
# AES-256-CBC. Written for the tests after the behaviour of Octopus' own.
param([string]$OctopusKey = '')
$ErrorActionPreference = 'Stop'
$PSNativeCommandArgumentPassing = 'Legacy'

function Convert-ServiceMessageValue([string]$Value) { [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($Value)) }

function Set-OctopusVariable([string]$Name, [string]$Value) {
    Write-Host "##octopus[setVariable name='$(Convert-ServiceMessageValue $Name)' value='$(Convert-ServiceMessageValue $Value)']"
}

function New-OctopusArtifact([string]$Path, [string]$Name) {
    $length = ([IO.FileInfo]$Path).Length
    Write-Host "##octopus[createArtifact path='$(Convert-ServiceMessageValue $Path)' name='$(Convert-ServiceMessageValue $Name)' length='$(Convert-ServiceMessageValue $length)']"
}

function Fail-Step([string]$Message) {
    if ($Message) { Write-Host "##octopus[resultMessage message='$(Convert-ServiceMessageValue $Message)']" }
    exit -1
}

function Read-Variables([string]$Iv, [string]$Encrypted) {
    $aes = [Security.Cryptography.Aes]::Create()
    $aes.Mode = 'CBC'
    $aes.Padding = 'PKCS7'
    $aes.Key = [Convert]::FromBase64String($OctopusKey)
    $aes.IV = [Convert]::FromBase64String($Iv)
    $bytes = [Convert]::FromBase64String($Encrypted)
    $text = [Text.Encoding]::UTF8.GetString($aes.CreateDecryptor().TransformFinalBlock($bytes, 0, $bytes.Length))
    $parameters = New-Object 'System.Collections.Generic.Dictionary[String,String]' (, [StringComparer]::OrdinalIgnoreCase)
    foreach ($line in $text.Split("`n")) {
        $name, $value = $line.Split('$') | ForEach-Object { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($_)) }
        $parameters[$name] = $value
    }
    return $parameters
}

$OctopusParameters = Read-Variables '<iv>' '<variables>'
try {
    . '<script>'
} catch {
    [Console]::Error.WriteLine("$($error[0].CategoryInfo.Category): $($error[0].Exception.Message)")
    [Console]::Error.WriteLine($error[0].InvocationInfo.PositionMessage)
    exit 1
}
if (Test-Path variable:global:lastexitcode) { exit $LastExitCode }
