# Runs octopatch, out of the package that the step refers to, with the step's parameters as its environment.
# Generated from steptemplate/body.ps1 and octopatch's table of settings: https://github.com/octopatch/octopatch
& {
    Set-StrictMode -Version Latest
    $ErrorActionPreference = 'Stop'

    function Get-Parameter([string]$Name) {
        if ($OctopusParameters.ContainsKey($Name)) { return [string]$OctopusParameters[$Name] }
        return ''
    }

    # Hands a parameter to octopatch by the environment, never as an argument, which every user of the worker could
    # read. An empty one leaves what the worker's own environment says.
    function Set-Setting([string]$Variable, [string]$Name) {
        $value = Get-Parameter $Name
        if ($value -ne '') { [Environment]::SetEnvironmentVariable($Variable, $value) }
    }

    if ($env:OS -eq 'Windows_NT') {
        $system = 'windows'
        $processor = $env:PROCESSOR_ARCHITECTURE
        if ($env:PROCESSOR_ARCHITEW6432) { $processor = $env:PROCESSOR_ARCHITEW6432 } # a 32-bit PowerShell
        $ending = '.exe'
    } else {
        $system = ([string](uname -s)).ToLowerInvariant()
        $processor = [string](uname -m)
        $ending = ''
    }
    $machine = switch -Regex ($processor) {
        '^(AMD64|x86_64)$' { 'amd64' }
        '^(ARM64|aarch64)$' { 'arm64' }
        default { Fail-Step "There is no octopatch for $($processor): run the step on a worker with an amd64 or arm64 processor." }
    }
    $file = "octopatch_$($system)_$machine$ending"
    $octopatch = Join-Path (Get-Parameter 'Octopus.Action.Package[OctoPatch.Package].ExtractedPath') $file
    if (-not (Test-Path -LiteralPath $octopatch -PathType Leaf)) {
        Fail-Step "The package holds no $($file): choose octopatch.<version>.zip, which holds octopatch for every system."
    }
    if ($system -ne 'windows') { chmod +x $octopatch } # unpacking may drop it

    # octopatch has to be able to prove that this step runs on another Octopus Server than the one to be patched.
    Set-Setting 'OCTOPATCH_STEP_SERVER_URL' 'Octopus.Web.BaseUrl'
    Set-Setting 'OCTOPATCH_STEP_SERVER_URL' 'Octopus.Web.ServerUri'
    Set-Setting 'OCTOPUS_TASK_ID' 'Octopus.Task.Id'
    # <settings>
    $env:OCTOPATCH_LOG = 'octopus'
    if (-not $env:OCTOPATCH_REPORT_DIR) { $env:OCTOPATCH_REPORT_DIR = Join-Path ([string](Get-Location)) 'octopatch-report' }

    $ErrorActionPreference = 'Continue' # a line on standard error does not end the script
    & $octopatch | Write-Host # Write-Host does not wrap long lines, and a service message is one line
    exit $LASTEXITCODE
}
