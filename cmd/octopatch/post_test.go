//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// post runs the action's last step after a run that was cut short, with a program that stands for octopatch. A second
// of the step lasts 10 ms. It returns what was said, which commands were called and how many such seconds it took.
func post(t *testing.T, program, ended string) (said string, calls []string, seconds float64) {
	t.Helper()
	s := newShim(t)
	const clock = "const second = 1000 "
	text := readAll(t, filepath.Join(s.dir, "post.mjs"))
	if strings.Count(text, clock) != 1 {
		t.Fatal("post.mjs has another clock")
	}
	s.beside("post.mjs", strings.Replace(text, clock, "const second = 10 ", 1))
	s.beside("program", "#!/bin/sh\necho \"$* $OCTOPATCH_NODE\" >>"+s.dir+"/calls\n"+program+"\n")
	if err := os.Chmod(filepath.Join(s.dir, "program"), 0o700); err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), "node", filepath.Join(s.dir, "post.mjs"))
	process.Env = []string{"PATH=" + os.Getenv("PATH"), "RUNNER_TEMP=" + s.dir, "INPUT_PHASE=run", "STATE_binary=" + filepath.Join(s.dir, "program"), ended}
	began := time.Now()
	out, err := process.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	called, _ := os.ReadFile(filepath.Join(s.dir, "calls")) // there is none where nothing was called
	return string(out), strings.Split(strings.TrimSpace(string(called)), "\n"), time.Since(began).Seconds() * 100
}

// TestPostIsBounded: GitHub ends the job five minutes after it was cancelled. Whatever hangs, a last look is taken and
// told before that.
func TestPostIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	const many = `echo '[{"run":"R","node":"A","host":null},{"run":"R","node":"B","host":{"restored":true}},{"run":"R","node":"C","host":{"restored":false}},{"run":"R","node":"D"}]'`
	const most = 300 - 10 // the cancelled step itself has had 10 s
	for name, c := range map[string]struct {
		program, says string
		calls         string
	}{
		"no host answers":             {"exec sleep 100", "::error::octopatch: the hosts could not be asked", "status --json|status --json|status"},
		"octopatch heeds nothing":     {"trap '' INT TERM; exec sleep 100", "::error::octopatch: the hosts could not be asked", "status --json|status --json|status"},
		"what is taken back hangs":    {"case $1$2 in exit) exec sleep 100 ;; status--json) " + many + " ;; *) echo as it stands ;; esac", "as it stands\n::warning::octopatch: resumable: run R is open on A", "status --json|exit A|status --json|status"},
		"a node takes long, and ends": {"case $1$2 in exit) sleep 0.3 ;; status--json) " + many + " ;; esac", "resumable", "status --json|exit A|exit B|exit D|status --json|status"},
		"what it says is no list":     {"case $1$2 in status--json) echo '[{' ;; esac", "::error::octopatch: the hosts could not be asked", "status --json|status --json|status"},
		"nothing is open":             {"case $1$2 in status--json) echo '[]' ;; esac", "::notice::octopatch: undone", "status --json|status"},
	} {
		t.Run(name, func(t *testing.T) {
			said, calls, seconds := post(t, c.program, "STATE_ended=130")
			for i := range calls {
				calls[i] = strings.TrimSpace(calls[i])
			}
			if got := strings.Join(calls, "|"); got != c.calls || !strings.Contains(said, c.says) || seconds > most {
				t.Errorf("it took %.0f s, called %s, and said:\n%s", seconds, got, said)
			}
		})
	}
}

// TestPostAfterEachEnd: only a run that said its last word, or that never began, is left alone; one that a signal or a
// crash ended, on Windows too, is looked after.
func TestPostAfterEachEnd(t *testing.T) {
	t.Parallel()
	for ended, looked := range map[string]bool{
		"STATE_none=": true, "STATE_ended=130": true, "STATE_ended=SIGKILL": true, "STATE_ended=2": true, "STATE_ended=3221225786": true,
		"STATE_ended=0": false, "STATE_ended=1": false, "STATE_ended=3": false, "STATE_ended=4": false, "STATE_ended=5": false, "STATE_ended=6": false, "STATE_ended=never": false, "STATE_binary=": false,
	} {
		t.Run(ended, func(t *testing.T) {
			t.Parallel()
			said, _, _ := post(t, "case $1$2 in status--json) echo '[]' ;; esac", ended)
			if strings.Contains(said, "octopatch was cut short") != looked {
				t.Errorf("%q", said)
			}
		})
	}
}
