package main

import (
	"flag"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write what was seen into the golden files")

// TestMain makes this test binary an octopatch as well: scripts and processes of the tests start it by that name.
func TestMain(m *testing.M) {
	// Rehearsals wait far more than they compute, so more of them run at once than there are cores.
	_ = flag.Set("test.parallel", "6")
	testscript.Main(m, map[string]func(){"octopatch": main})
}

// TestScripts runs one script for each promise of the README.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("OCTOPATCH_REHEARSAL_SPEED", speed(400))
			e.Values[servedKey{}] = &serving{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exitcode": exitCode, "serve": serveWorld, "unserve": endWorld, "events": checkEvents, "kept": checkKept,
			"downtimes": checkDowntimes, "json": checkJSON, "samephases": checkSamePhases,
		},
	})
}

// speed is how fast a rehearsal of the tests runs. Under the race detector a script takes tenths of a second
// of wall time, which must not become minutes of the world's.
func speed(fast int) string { return strconv.Itoa(fast / slower) }

// program is the path of octopatch, which TestMain has put on PATH.
func program(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("octopatch")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// interrupt asks a process to end, as far as the system knows such a thing.
func interrupt(p *os.Process) error {
	if runtime.GOOS == "windows" {
		return p.Kill()
	}
	return p.Signal(os.Interrupt)
}
