package main

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// TestHostThatIsGone: a host that disappears for good before it is patched, or that never comes back from its reboot,
// leaves its node unknown: exit code 6, the next node is not begun, and the last line is the very command that goes on.
// Once the host is there again that command, as it was printed, ends the run.
func TestHostThatIsGone(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]string{"before patch": "host stop", "in its reboot": "host reboot"} {
		t.Run(name, func(t *testing.T) {
			steadily(t, func(t *attempt) { goneAt(t, at) })
		})
	}
}

func goneAt(t *attempt, at string) {
	if runtime.GOOS == "windows" {
		t.Skip("the command that is printed is for a POSIX shell")
	}
	w := newWorld(t, rehearsal.Options{Program: program(t.T)})
	before := w.State()
	environ := with(snapshotting(t, w), "OCTOPATCH_REBOOT_TIMEOUT=30m")
	var gone atomic.Bool
	w.Log.Notice(func(n int) {
		if one := w.Log.Writes()[n-1]; one.Node == "OCTO-01" && one.What == at && !gone.Swap(true) {
			go w.Unplug("OCTO-01", true) //nolint:errcheck // going is no error; it may wait for this very write
		}
	})
	got := start(t, environ, "run").end()
	w.Log.Notice(nil)
	got.wants(t, 6, "node OCTO-01")
	if wrote(w, "OCTO-02", "octopus drain") {
		t.Error("the next node was begun")
	}
	if err := w.Clock.Sleep(t.Context(), 91*time.Minute); err != nil { // until its lease is stale
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	next, found := strings.CutPrefix(lines[len(lines)-1], "Next: ")
	t.Logf("the last line: %s", lines[len(lines)-1])
	if err := w.Unplug("OCTO-01", false); err != nil || !found {
		t.Fatalf("%v; the last line names no command: %s", err, lines[len(lines)-1])
	}
	shell := exec.CommandContext(t.Context(), "/bin/sh", "-c", next)
	shell.Env = with(environ, "PATH="+filepath.Dir(program(t.T)))
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", next, err, out)
	}
	allKept(t, w, before)
}
