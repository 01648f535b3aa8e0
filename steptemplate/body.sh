# Runs octopatch, out of the package that the step refers to, with the step's parameters as its environment.
# Generated from steptemplate/body.sh and octopatch's table of settings: https://github.com/octopatch/octopatch
set -euo pipefail

# parameter NAME puts a variable into $value, to the byte: $(...) drops line breaks at the end, and an unknown
# variable is a lone line break in newer versions of Octopus.
parameter() {
  value=$(get_octopusvariable "$1" && printf .) || fail_step "The variable $1 cannot be read."
  value=${value%.}
  if [ "$value" = $'\n' ]; then value=''; fi
}

# setting VARIABLE NAME hands a parameter to octopatch by the environment, never as an argument, which every user
# of the worker could read. An empty one leaves what the worker's own environment says.
setting() {
  parameter "$2"
  if [ -n "$value" ]; then export "$1=$value"; fi
}

case "$(uname -s)" in
  Linux) system=linux ;;
  Darwin) system=darwin ;;
  *) fail_step "There is no octopatch for $(uname -s): run the step on a worker with Linux or macOS, or use the PowerShell twin of this template." ;;
esac
case "$(uname -m)" in
  x86_64 | amd64) machine=amd64 ;;
  aarch64 | arm64) machine=arm64 ;;
  *) fail_step "There is no octopatch for $(uname -m): run the step on a worker with an amd64 or arm64 processor." ;;
esac
parameter 'Octopus.Action.Package[OctoPatch.Package].ExtractedPath'
octopatch="$value/octopatch_${system}_$machine"
if [ ! -f "$octopatch" ]; then
  fail_step "The package holds no octopatch_${system}_$machine: choose octopatch.<version>.zip, which holds octopatch for every system."
fi
chmod +x "$octopatch" # unpacking may drop it

# octopatch has to be able to prove that this step runs on another Octopus Server than the one to be patched.
setting OCTOPATCH_STEP_SERVER_URL Octopus.Web.BaseUrl
setting OCTOPATCH_STEP_SERVER_URL Octopus.Web.ServerUri
setting OCTOPUS_TASK_ID Octopus.Task.Id
# <settings>
export OCTOPATCH_LOG=octopus
export OCTOPATCH_REPORT_DIR="${OCTOPATCH_REPORT_DIR:-$PWD/octopatch-report}"

exec "$octopatch"
