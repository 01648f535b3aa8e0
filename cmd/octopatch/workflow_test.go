package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/octopatch/octopatch/internal/rehearsal/windows"
)

// runBlocks are the texts behind run: in a workflow, in order.
func runBlocks(t testing.TB, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../.github/workflows", name))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	lines := strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	starts := regexp.MustCompile(`^( *)(?:- )?run: (.+)$`)
	for i := 0; i < len(lines); i++ {
		found := starts.FindStringSubmatch(lines[i])
		if found == nil {
			continue
		}
		if found[2] != "|" {
			blocks = append(blocks, found[2])
			continue
		}
		indent := found[1] + "  "
		var block []string
		for i+1 < len(lines) && (lines[i+1] == "" || strings.HasPrefix(lines[i+1], indent)) {
			i++
			block = append(block, strings.TrimPrefix(lines[i], indent))
		}
		blocks = append(blocks, strings.Join(block, "\n"))
	}
	if len(blocks) == 0 {
		t.Fatalf("%s runs nothing", name)
	}
	return blocks
}

// TestWorkflowIsPowerShell: what the check of a real host runs is understood by PowerShell, and by Windows PowerShell 5.1.
func TestWorkflowIsPowerShell(t *testing.T) {
	t.Parallel()
	program, err := windows.FindPowerShell()
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	var files []string
	for i, block := range runBlocks(t, "windows.yml") {
		file := filepath.Join(dir, string(rune('a'+i))+".ps1")
		if err := os.WriteFile(file, []byte(block+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	const parse = `$bad = 0; foreach ($file in Get-ChildItem -LiteralPath $env:BLOCKS -Filter *.ps1) { $errors = $null; [System.Management.Automation.Language.Parser]::ParseFile($file.FullName, [ref]$null, [ref]$errors) | Out-Null; foreach ($one in $errors) { $bad++; '{0}: {1}' -f $file.Name, $one.Message } }; exit $bad`
	command := exec.Command(program, "-NoProfile", "-NonInteractive", "-Command", parse)
	command.Env = append(os.Environ(), "BLOCKS="+dir)
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	check51, err := exec.LookPath("check51")
	if err != nil {
		t.Skip("PowerShell parses them; check51 is not on PATH")
	}
	if out, err := exec.Command(check51, files...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestWorkflowsLinesOfOctopatch runs each of them against the rehearsal. There the runner is not the host, so none is
// refused.
func TestWorkflowsLinesOfOctopatch(t *testing.T) {
	line := regexp.MustCompile(`(?m)^\s*\./octopatch ([^|\n]+)`)
	var asked []string
	served := false
	for _, block := range runBlocks(t, "windows.yml") {
		for _, found := range line.FindAllStringSubmatch(block, -1) {
			asked = append(asked, found[1])
		}
		served = served || strings.Contains(block, "'rehearse', '--serve'")
	}
	if len(asked) < 2 || !served {
		t.Fatalf("the workflow runs only %q", asked)
	}
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Nodes: 1})
		for _, words := range asked {
			octopatch(t.Context(), w.Environ(), strings.Fields(words)...).wants(t, 0)
		}
	})
}

// TestRealHostCheck: the test of real hosts, as the workflow runs it, passes on the rehearsal's; and it is red for a
// host on which the service does not stop.
func TestRealHostCheck(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles a test of its own")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	check := func(t *attempt, faults string) string {
		w := newWorld(t, rehearsal.Options{Nodes: 1, Faults: faults})
		env := w.Environ()
		_, address, _ := strings.Cut(value(env, "OCTOPATCH_NODES"), "=")
		_, print, _ := strings.Cut(value(env, "OCTOPATCH_WINRM_FINGERPRINT"), "=")
		command := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-run", "TestRealHost", "../../internal/winhost")
		command.Env = append(os.Environ(), "OCTOPATCH_TEST_HOST="+address, "OCTOPATCH_TEST_NODE=OCTO-01", "OCTOPATCH_TEST_SERVICE=OctopusDeploy",
			"OCTOPATCH_WINRM_FINGERPRINT="+print, "OCTOPATCH_WINRM_USERNAME="+value(env, "OCTOPATCH_WINRM_USERNAME"), "OCTOPATCH_WINRM_PASSWORD="+value(env, "OCTOPATCH_WINRM_PASSWORD"),
			"OCTOPATCH_REHEARSAL_CLOCK="+value(env, "OCTOPATCH_REHEARSAL_CLOCK"))
		out, _ := command.CombinedOutput() // what it says is judged
		return string(out)
	}
	steadily(t, func(t *attempt) {
		if out := check(t, ""); !strings.Contains(out, "--- PASS: TestRealHost") {
			t.Errorf("on a sound host:\n%s", out)
		}
		if out := check(t, "service-stuck-stopping"); !strings.Contains(out, "--- FAIL: TestRealHost") {
			t.Errorf("on a host whose service does not stop:\n%s", out)
		}
	})
}

// TestServiceOfTheWorkflow: the program that stands for Octopus Server on a real host compiles for Windows.
func TestServiceOfTheWorkflow(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles for Windows")
	}
	t.Parallel()
	command := exec.CommandContext(t.Context(), "go", "vet", "../../internal/winhost/testdata/octopus")
	command.Env = append(os.Environ(), "GOOS=windows")
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
