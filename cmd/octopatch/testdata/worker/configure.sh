# What an Octopus worker reads before the Bash body of a step: helpers, and the step's variables encrypted with
# AES-256-CBC, whose key is the first argument. Written for the tests after the behaviour of Octopus' own.
key=$1

encode_servicemessagevalue() { printf %s "$1" | openssl enc -base64 -A; }

decrypt_variable() { printf '%s\n' "$1" | openssl enc -a -A -d -aes-256-cbc -nosalt -K "$key" -iv "$2"; }

get_octopusvariable() {
  INPUT=$(encode_servicemessagevalue "$1")
  case $INPUT in
# <variables>
    *) echo "" ;;
  esac
}

fail_step() {
  if [ -n "${1:-}" ]; then echo "##octopus[resultMessage message='$(encode_servicemessagevalue "$1")']"; fi
  exit 1
}

set_octopusvariable() {
  echo "##octopus[setVariable name='$(encode_servicemessagevalue "$1")' value='$(encode_servicemessagevalue "$2")']"
}

new_octopusartifact() {
  echo "##octopus[createArtifact path='$(encode_servicemessagevalue "$1")' name='$(encode_servicemessagevalue "${2:-$(basename "$1")}")' length='$(encode_servicemessagevalue "$(wc -c <"$1")")']"
}

echo "##octopus[mask value='$(encode_servicemessagevalue "$key")']"
echo "##octopus[mask value='$(encode_servicemessagevalue "$key")']" >&2
