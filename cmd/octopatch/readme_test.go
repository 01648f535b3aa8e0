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

// TestREADMELinks: what the README points at is there, in the README and in the tree.
func TestREADMELinks(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^##+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		anchors["#"+strings.ReplaceAll(plain, " ", "-")] = true
	}
	links := regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(string(text), -1)
	if len(links) < 10 {
		t.Errorf("%d links", len(links))
	}
	for _, link := range links {
		switch {
		case strings.HasPrefix(link[1], "https://"), anchors[link[1]]:
		case strings.HasPrefix(link[1], "#"):
			t.Errorf("the README has no heading for %s", link[1])
		default:
			if _, err := os.Stat("../../" + link[1]); err != nil {
				t.Error(err)
			}
		}
	}
}

// section replaces what stands between two marks.
func section(text, mark, content string) string {
	between := regexp.MustCompile(`(?s)<!-- ` + mark + ` -->.*?<!-- end -->`)
	return between.ReplaceAllLiteralString(strings.ReplaceAll(text, "\r\n", "\n"), "<!-- "+mark+" -->\n\n"+content+"\n<!-- end -->")
}
