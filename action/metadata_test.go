package action

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/settings"
)

var update = flag.Bool("update", false, "write action.yml from the settings")

// TestMetadata: action.yml says what the settings are, each as an input, and nothing else.
func TestMetadata(t *testing.T) {
	const name = "../action.yml"
	want := metadata()
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != want {
		t.Errorf("action.yml is not what the settings are (%v): go test ./action -update writes it", err)
	}
}

const head = `# Written by "go test ./action -update" from the settings; "octopatch settings" lists the same.
name: octopatch
author: octopatch
description: Patches the Windows machines under a self-hosted Octopus Server by its documented procedure
branding:
  icon: shield
  color: blue
runs:
  using: node24
  main: action/main.mjs
  post: action/post.mjs
inputs:
  binary:
    description: 'Path of an octopatch that is there already, for runners without internet. Unset: the released one of this version is fetched, and compared with action/checksums.txt before it is executed. Or the variable OCTOPATCH_BINARY.'
  download_url:
    description: 'Where released binaries are fetched from, such as a mirror. The checksum is compared all the same. Unset: https://github.com/octopatch/octopatch/releases/download. Or the variable OCTOPATCH_DOWNLOAD_URL.'
`

// metadata is action.yml. It has no defaults: a default would hide the variable of the environment.
func metadata() string {
	var b strings.Builder
	b.WriteString(head)
	for _, row := range settings.Table() {
		text := row.Meaning
		if row.Valid != "" {
			text += " Valid: " + strings.ReplaceAll(row.Valid, "|", ", ") + "."
		}
		if row.Default != "" {
			text += " Default: " + row.Default + "."
		}
		names := row.Names // of a family: one for each phase
		if len(names) == 0 {
			names = []string{row.Variable}
		}
		for _, name := range names {
			entry(&b, Input(name), text+" Or the variable "+name+".")
		}
	}
	b.WriteString("outputs:\n")
	for _, o := range Outputs() {
		entry(&b, o.Name, o.Meaning)
	}
	return b.String()
}

func entry(b *strings.Builder, name, text string) {
	fmt.Fprintf(b, "  %s:\n    description: '%s'\n", name, strings.ReplaceAll(text, "'", "''"))
}
