package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cmd.exe takes at most 8191 characters (Microsoft KB830473) and reads quotes and percent signs itself.
func TestBootstrapSurvivesCommandPrompt(t *testing.T) {
	t.Parallel()
	if bad := strings.IndexAny(Bootstrap, "\"%!\r\n"); bad >= 0 {
		t.Errorf("the bootstrap contains %q, which cmd.exe reads itself", Bootstrap[bad])
	}
	if strings.Contains(CommandLine, "]]>") {
		t.Error("the command line ends the CDATA section that carries it")
	}
	if len(CommandLine) > 8191 {
		t.Errorf("the command line has %d characters, cmd.exe takes 8191", len(CommandLine))
	}
}

func TestTextsArePlain(t *testing.T) {
	t.Parallel()
	for _, name := range Names() {
		text := Text(name)
		for i, r := range text {
			if r > 126 || r < 32 && r != '\n' {
				t.Errorf("%s: character %q at %d is not plain ASCII", name, r, i)
			}
		}
		for _, word := range []string{"Add-Type", "Invoke-Expression", "EncodedCommand", "iex ", "DownloadString", "Assembly]", "UtcNow", "Thread]"} {
			if strings.Contains(text, word) {
				t.Errorf("%s: contains %q, which scripts must not use", name, word)
			}
		}
		if !strings.HasPrefix(text[strings.Index(text, "param("):], "param([string]$Nonce, [string]$Json)") {
			t.Errorf("%s: does not begin with the parameters that the bootstrap passes", name)
		}
		if len(SHA256(name)) != 64 {
			t.Errorf("%s: hash %q", name, SHA256(name))
		}
	}
}

// Every file is a script or a part of one.
func TestNoFileIsForgotten(t *testing.T) {
	t.Parallel()
	used := map[string]bool{"common": true}
	for name, shared := range parts {
		used[name] = true
		for _, part := range shared {
			used[part] = true
		}
	}
	entries, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := strings.TrimSuffix(entry.Name(), ".ps1"); !used[name] {
			t.Errorf("%s is in no script", entry.Name())
		}
	}
}

func TestWindowsPowerShellUnderstands(t *testing.T) {
	t.Parallel()
	check, err := exec.LookPath("check51")
	if err != nil {
		t.Skip("check51 is not on PATH: nothing here knows what Windows PowerShell 5.1 lacks")
	}
	dir := t.TempDir()
	args := []string{}
	for _, name := range Names() {
		path := filepath.Join(dir, name+".ps1")
		if err := os.WriteFile(path, []byte(Text(name)), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	path := filepath.Join(dir, "bootstrap.ps1")
	if err := os.WriteFile(path, []byte(Bootstrap), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(check, append(args, path)...).CombinedOutput(); err != nil {
		t.Errorf("check51: %v\n%s", err, out)
	}
}
