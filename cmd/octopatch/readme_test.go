package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

var updateREADME = flag.Bool("update-readme", false, "write what appears on hosts into the README")

// TestREADMEListsWhatAppearsOnHosts: a security team finds every command line and script hash in the README.
func TestREADMEListsWhatAppearsOnHosts(t *testing.T) {
	const name = "../../README.md"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	hashes := "| script | SHA-256 |\n|---|---|\n"
	for _, n := range scripts.Names() {
		hashes += fmt.Sprintf("| %s | `%s` |\n", n, scripts.SHA256(n))
	}
	want := section(section(string(text), "bootstrap", "    "+scripts.CommandLine+"\n"), "hashes", hashes)
	if want == string(text) {
		return
	}
	if !*updateREADME {
		t.Error("the README does not list the command line and the scripts as they are; go test ./cmd/octopatch -run README -update-readme renews it")
		return
	}
	if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// section replaces what stands between two marks.
func section(text, mark, content string) string {
	between := regexp.MustCompile(`(?s)<!-- ` + mark + ` -->.*?<!-- end -->`)
	return between.ReplaceAllLiteralString(strings.ReplaceAll(text, "\r\n", "\n"), "<!-- "+mark+" -->\n\n"+content+"\n<!-- end -->")
}
