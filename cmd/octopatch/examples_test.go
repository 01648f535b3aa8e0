package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/octopatch/octopatch/internal/settings"
)

var otherOctopatch = flag.String("octopatch", "", "folder with the octopatch that the examples are to call, such as one for another system")

// example is a block of the README, as it stands there below its mark.
func example(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)<!-- example: " + regexp.QuoteMeta(name) + " -->\\s*```\\w+\n(.*?) *```\n").FindStringSubmatch(strings.ReplaceAll(string(text), "\r\n", "\n"))
	if m == nil {
		t.Fatal("the README has no example " + name)
	}
	return m[1]
}

// asWritten runs a block in a folder of its own with a shell, and what is typed.
func asWritten(t *attempt, dir, file, typed string, environ []string, shell ...string) ending {
	t.Helper()
	if _, err := exec.LookPath(shell[0]); err != nil {
		t.Skipf("%s is not on PATH", shell[0])
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(example(t, file)), 0o600); err != nil {
		t.Fatal(err)
	}
	path := os.Getenv("PATH")
	if *otherOctopatch != "" {
		path = *otherOctopatch + string(os.PathListSeparator) + path
	}
	var out, errs strings.Builder
	process := exec.CommandContext(t.Context(), shell[0], append(shell[1:], "./"+file)...)
	process.Dir, process.Stdin, process.Stdout, process.Stderr = dir, strings.NewReader(typed), &out, &errs
	process.Env = with(os.Environ(), append(environ, "PATH="+path)...)
	_ = process.Run() // the exit code says it
	return ending{process.ProcessState.ExitCode(), out.String(), errs.String()}
}

// theirs fills in a block that sets variables with the values of a world: the example has to name every one that
// it takes to reach it, and none that is not there.
func theirs(t *attempt, block string, assignment *regexp.Regexp, w *rehearsal.World) string {
	t.Helper()
	var named []string
	filled := assignment.ReplaceAllStringFunc(block, func(line string) string {
		m := assignment.FindStringSubmatch(line)
		named = append(named, m[2])
		return m[1] + m[2] + m[3] + "'" + value(w.Environ(), m[2]) + "'"
	})
	secret := []string{"OCTOPUS_API_KEY", "OCTOPATCH_WINRM_PASSWORD", "OCTOPATCH_REHEARSAL_CLOCK"} // typed, or the world's own affair
	for _, item := range w.Environ() {
		if name, _, _ := strings.Cut(item, "="); !slices.Contains(named, name) && !slices.Contains(secret, name) {
			t.Errorf("the example does not set %s", name)
		}
	}
	for _, name := range named {
		if !slices.Contains(settings.Variables(), name) || value(w.Environ(), name) == "" {
			t.Errorf("the example sets %s", name)
		}
	}
	return filled
}

// readHost stands for the person at the prompt: PowerShell itself takes a secret from a keyboard only.
const readHost = "function Read-Host([string]$Prompt, [switch]$AsSecureString) { ConvertTo-SecureString ([Console]::In.ReadLine()) -AsPlainText -Force }; ."

// TestJumpBox: the sessions of the README, typed as they stand there.
func TestJumpBox(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	exports := regexp.MustCompile(`(?m)^(export )(\w+)(=)(.*)$`)
	for _, c := range []struct {
		file, settings string
		assignment     *regexp.Regexp
		shell          []string
	}{
		{"jumpbox.sh", "octopatch.env", exports, []string{"bash", "-e"}},
		{"jumpbox.sh", "octopatch.env", exports, []string{"zsh", "-e"}},
		{"jumpbox.sh", "octopatch.env", exports, []string{"sh", "-e"}},
		{"jumpbox.ps1", "octopatch.env.ps1", regexp.MustCompile(`(?m)^(\$env:)(\w+)( = )(.*)$`), []string{"pwsh", "-NoProfile", "-Command", readHost}},
	} {
		t.Run(c.file+" "+c.shell[0], func(t *testing.T) {
			if runtime.GOOS == "windows" && c.file == "jumpbox.sh" {
				t.Skip("the session is for Linux and macOS")
			}
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Nodes: 1})
				before := w.State()
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, c.settings), []byte(theirs(t, example(t, c.settings), c.assignment, w)), 0o600); err != nil {
					t.Fatal(err)
				}
				typed := value(w.Environ(), "OCTOPUS_API_KEY") + "\n" + value(w.Environ(), "OCTOPATCH_WINRM_PASSWORD") + "\n"
				got := asWritten(t, dir, c.file, typed, []string{"OCTOPATCH_REHEARSAL_CLOCK=" + value(w.Environ(), "OCTOPATCH_REHEARSAL_CLOCK")}, c.shell...)
				got.wants(t, 0, "preflight          + done", "KB5065432", "Maintenance of http", "Done: 1 of 1 node patched and serving", "No run is open on these nodes", "!exit code 4")
				allKept(t, w, before)
				for _, name := range []string{"report.json", "report.html", "summary.md", "notice.md"} {
					if info, err := os.Stat(filepath.Join(dir, "octopatch-report", name)); err != nil || info.Size() == 0 {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		})
	}
}

// TestPractice: the README's exercise against a world that is served, typed as it stands there.
func TestPractice(t *testing.T) {
	if runtime.GOOS == "windows" || testing.Short() {
		t.Skip("long, and for Bash")
	}
	steadily(t, func(t *attempt) {
		got := asWritten(t, t.TempDir(), "practice.sh", "", []string{"OCTOPATCH_REHEARSAL_NODES=1"}, "bash", "-e")
		got.wants(t, 0, "Done: 1 of 1 node patched and serving", "The world afterwards")
		if kept, broken := promises(got.out); kept == 0 || len(broken) > 0 {
			t.Errorf("%d promises kept, broken: %v", kept, broken)
		}
	})
}

// TestPracticeLeavesNothing: afterwards the shell knows nothing of the simulated machines, and nobody serves them. A
// world that does not come up ends the exercise before anything is asked of the machines in the shell's own variables.
func TestPracticeLeavesNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("for Bash")
	}
	t.Parallel()
	served := "echo \"export OCTOPUS_URL='simulated'\"; echo '# The world'; trap 'echo afterwards; exit' TERM; while :; do sleep 0.1; done"
	for _, c := range []struct{ name, rehearse, sleep, want string }{
		{"served", served, "exec /bin/sleep $1", "<preflight simulated><plan simulated><run simulated><status simulated>export OCTOPUS_URL='simulated'# The worldafterwardsmine"},
		{"no world", "exit 4", "exit", "mine"},
	} {
		for _, shell := range []string{"bash", "zsh", "sh"} {
			t.Run(c.name+" "+shell, func(t *testing.T) {
				path, err := exec.LookPath(shell)
				if err != nil {
					t.Skipf("%s is not on PATH", shell)
				}
				dir := t.TempDir()
				for name, text := range map[string]string{
					"octopatch":   "#!/bin/sh\nif [ $1 = rehearse ]; then " + c.rehearse + "; fi\necho \"<$1 $OCTOPUS_URL>\"\n",
					"sleep":       "#!/bin/sh\n" + c.sleep + "\n",
					"practice.sh": example(t, "practice.sh"),
				} {
					if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
						t.Fatal(err)
					}
				}
				typed := exec.CommandContext(t.Context(), path, "-c", ". ./practice.sh; echo $OCTOPUS_URL")
				typed.Dir, typed.Env = dir, with(os.Environ(), "OCTOPUS_URL=mine", "PATH="+dir+":"+os.Getenv("PATH"))
				out, err := typed.CombinedOutput()
				if got := strings.ReplaceAll(string(out), "\n", ""); err != nil || got != c.want {
					t.Errorf("%v\n got %s\nwant %s", err, got, c.want)
				}
			})
		}
	}
}

// TestSessionsMayBePasted: an interactive zsh, which macOS gives people, takes a comment for arguments.
func TestSessionsMayBePasted(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"practice.sh", "jumpbox.sh", "ops.sh"} {
		text := example(t, name)
		if regexp.MustCompile(`(?m)(^|\s)#`).MatchString(strings.ReplaceAll(text, "'^# The world'", "")) {
			t.Errorf("%s has a comment:\n%s", name, text)
		}
	}
}

// TestREADMEPowerShell: what the README has people type into Windows PowerShell 5.1 is of that version.
func TestREADMEPowerShell(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("check51"); err != nil {
		t.Skip("check51 is not on PATH")
	}
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)\n```powershell\r?\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 4 {
		t.Errorf("the README has %d blocks of PowerShell", len(blocks))
	}
	for _, block := range blocks {
		file := filepath.Join(t.TempDir(), "block.ps1")
		if err := os.WriteFile(file, []byte(block[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("check51", file).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s%s", err, out, block[1])
		}
	}
}
