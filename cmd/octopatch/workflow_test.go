package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
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

// blockFiles writes the blocks of the workflows that are PowerShell into files of their own.
func blockFiles(t testing.TB) (dir string, files []string) {
	t.Helper()
	dir = t.TempDir()
	for i, block := range runBlocks(t, "windows.yml") {
		file := filepath.Join(dir, fmt.Sprintf("%02d.ps1", i))
		if err := os.WriteFile(file, []byte(block+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return dir, files
}

// TestWorkflowIsPowerShell: what the check of a real host runs is understood by PowerShell.
func TestWorkflowIsPowerShell(t *testing.T) {
	t.Parallel()
	program, err := windows.FindPowerShell()
	if err != nil {
		t.Skip(err)
	}
	dir, _ := blockFiles(t)
	const parse = `$bad = 0; foreach ($file in Get-ChildItem -LiteralPath $env:BLOCKS -Filter *.ps1) { $errors = $null; [System.Management.Automation.Language.Parser]::ParseFile($file.FullName, [ref]$null, [ref]$errors) | Out-Null; foreach ($one in $errors) { $bad++; '{0}: {1}' -f $file.Name, $one.Message } }; exit $bad`
	command := exec.Command(program, "-NoProfile", "-NonInteractive", "-Command", parse)
	command.Env = append(os.Environ(), "BLOCKS="+dir)
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestWorkflowIs51: and by Windows PowerShell 5.1.
func TestWorkflowIs51(t *testing.T) {
	t.Parallel()
	check51, err := exec.LookPath("check51")
	if err != nil {
		t.Skip("check51 is not on PATH")
	}
	_, files := blockFiles(t)
	if out, err := exec.Command(check51, files...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestWorkflowSwitchesWindowsUpdateOn: GitHub's images come with the service disabled and with policies that forbid
// it, so that every search would end with 0x80070422 or 0x8024002E; that is undone before a host is looked at.
func TestWorkflowSwitchesWindowsUpdateOn(t *testing.T) {
	t.Parallel()
	blocks := runBlocks(t, "windows.yml")
	holding := func(text string) int {
		return slices.IndexFunc(blocks, func(block string) bool { return strings.Contains(block, text) })
	}
	scans := holding("-run TestRealHost")
	if scans < 0 {
		t.Fatal("the workflow looks at no host")
	}
	for _, text := range []string{"Set-Service -Name wuauserv -StartupType Manual", "'DisableWindowsUpdateAccess'", "'DoNotConnectToWindowsUpdateInternetLocations'", "Transport=HTTPS' } | Remove-Item"} {
		if at := holding(text); at < 0 || at > scans {
			t.Errorf("%s stands in block %d, and has to stand before block %d", text, at, scans)
		}
	}
}

// call is a line of the workflow that calls octopatch, with what its block wants to see of it.
type call struct {
	words []string
	exit  string
	says  *regexp.Regexp // a line of its output; nil: nobody looks
}

var (
	callLine = regexp.MustCompile(`(?m)^\s*\./octopatch ([^|\n]+)`)
	wantExit = regexp.MustCompile(`\$LASTEXITCODE -ne (\d+)`)
	wantText = regexp.MustCompile(`-Pattern \$(\w+)`)
)

// callsOf are the calls of a block. A block without a word about the exit code fails for every other one than 0.
func callsOf(t testing.TB, block string) []call {
	t.Helper()
	var calls []call
	for _, found := range callLine.FindAllStringSubmatch(block, -1) {
		one := call{words: strings.Fields(found[1]), exit: "0"}
		if exit := wantExit.FindStringSubmatch(block); exit != nil {
			one.exit = exit[1]
		}
		if name := wantText.FindStringSubmatch(block); name != nil {
			pattern := regexp.MustCompile(`\$` + name[1] + ` = '([^']*)'`).FindStringSubmatch(block)
			if pattern == nil {
				t.Fatalf("$%s is looked for, and not set in\n%s", name[1], block)
			}
			one.says = regexp.MustCompile("(?im)" + pattern[1]) // as Select-String reads it, line by line
		}
		calls = append(calls, one)
	}
	return calls
}

// TestWorkflowsLinesOfOctopatch runs every line of the workflow that calls octopatch as a process of its own, against
// a world that another process serves with the words of the workflow, on a host that is this very machine, as there.
// Exit code and output are held against what the workflow wants.
func TestWorkflowsLinesOfOctopatch(t *testing.T) {
	var calls []call
	served := false
	for _, block := range runBlocks(t, "windows.yml") {
		calls = append(calls, callsOf(t, block)...)
		served = served || strings.Contains(block, "-ArgumentList 'rehearse', '--serve'") // as startServing does
	}
	if len(calls) < 2 || !served {
		t.Fatalf("the workflow runs only %+v", calls)
	}
	looked := false
	steadily(t, func(t *attempt) {
		serve := func(faults string) []string {
			s, exports, err := startServing(func(name string) string {
				return map[string]string{"PATH": os.Getenv("PATH"), "OCTOPATCH_REHEARSAL_NODES": "1", "OCTOPATCH_REHEARSAL_SPEED": fmt.Sprint(t.speed), "OCTOPATCH_REHEARSAL_FAULTS": faults}[name]
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.end() })
			env := []string{"PATH=" + os.Getenv("PATH"), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"), "OCTOPATCH_LOG=text"}
			for name, value := range exports {
				env = append(env, name+"="+value)
			}
			return env
		}
		ask := func(env []string, one call) (string, string) {
			command := exec.CommandContext(t.Context(), "octopatch", one.words...)
			command.Env = env
			out, _ := command.Output() // what it says is judged; Tee-Object sees no more of it either
			return fmt.Sprint(command.ProcessState.ExitCode()), string(out)
		}
		env := serve("runner-is-host")
		for _, one := range calls {
			exit, out := ask(env, one)
			if exit != one.exit || one.says != nil && !one.says.MatchString(out) {
				t.Errorf("octopatch %s ended with %s, and the workflow wants %s and %v:\n%s", strings.Join(one.words, " "), exit, one.exit, one.says, out)
			}
		}
		also := serve("runner-is-host,foreign-folder")
		for _, one := range calls {
			if one.says == nil {
				continue
			}
			looked = true
			if _, out := ask(also, one); one.says.MatchString(out) {
				t.Errorf("where something else is refused as well, the workflow does not notice:\n%s", out)
			}
		}
	})
	t.Cleanup(func() {
		if !looked && !t.Failed() {
			t.Error("the workflow looks at no output")
		}
	})
}

// startProcess is Start-Process where there is no Windows: there a process that writes into a file outlives the
// PowerShell that started it, and elsewhere it does not.
const startProcess = `function Start-Process($FilePath, $ArgumentList, $RedirectStandardOutput, $RedirectStandardError) {
  & sh -c 'out=$1; errors=$2; shift 2; "$@" >"$out" 2>"$errors" &' sh $RedirectStandardOutput $RedirectStandardError $FilePath @ArgumentList
}
`

// TestWorkflowsBlocksAsWritten gives the blocks that call octopatch to PowerShell, one after the other and as they are
// written, as a runner of GitHub would: the world is served by one of them, and found by the others through GITHUB_ENV.
func TestWorkflowsBlocksAsWritten(t *testing.T) {
	program, err := windows.FindPowerShell()
	if err != nil {
		t.Skip(err)
	}
	if testing.Short() || runtime.GOOS == "windows" {
		t.Skip("it runs in real time, with a shell script in octopatch.exe's place")
	}
	path, err := exec.LookPath("octopatch")
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"octopatch", "octopatch.exe"} {
		text := fmt.Sprintf("#!/bin/sh\necho $$ >%s/pid-of-$1\nexec %s \"$@\"\n", dir, path)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		pid, _ := os.ReadFile(filepath.Join(dir, "pid-of-rehearse"))
		number, err := strconv.Atoi(strings.TrimSpace(string(pid)))
		if err != nil {
			t.Errorf("nothing has served: %v", err)
			return
		}
		if process, err := os.FindProcess(number); err == nil {
			_ = process.Kill()
		}
	})
	github := filepath.Join(dir, "github-env")
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "OCTOPATCH_LOG=text", "GITHUB_ENV=" + github, "OCTOPATCH_REHEARSAL_FAULTS=runner-is-host"}
	ran := 0
	for _, block := range runBlocks(t, "windows.yml") {
		serves := strings.Contains(block, "'--serve'")
		if !serves && !callLine.MatchString(block) {
			continue
		}
		ran++
		command := exec.CommandContext(t.Context(), program, "-NoProfile", "-NonInteractive", "-Command", startProcess+block)
		command.Dir, command.Env = dir, env
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, block)
		}
		if !serves {
			continue
		}
		env = append(slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "OCTOPATCH_REHEARSAL_") }), ofGitHub(t, dir, github)...)
	}
	if ran < 3 {
		t.Errorf("%d blocks call octopatch, want the serving one and two more", ran)
	}
}

// ofGitHub are the variables that a block handed on, with the rehearsal's host in the real one's place and the account
// that an earlier step of the workflow makes there.
func ofGitHub(t *testing.T, dir, file string) []string {
	t.Helper()
	handed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(filepath.Join(dir, "served.txt"))
	if err != nil {
		t.Fatal(err)
	}
	env := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(handed), "\r\n", "\n")), "\n")
	for line := range strings.Lines(string(out)) {
		found := export.FindStringSubmatch(strings.TrimSpace(line))
		if found == nil {
			continue
		}
		if name := found[1]; strings.HasPrefix(name, "OCTOPATCH_WINRM_") || name == "OCTOPATCH_NODES" {
			env = append(env, name+"="+found[2])
		}
	}
	return env
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
