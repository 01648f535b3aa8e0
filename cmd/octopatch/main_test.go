package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write what was seen into the golden files")

// TestMain makes this test binary an octopatch as well: scripts and processes of the tests start it by that name.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), "octopatch_") { // as a release names it
		released()
	}
	// Rehearsals wait far more than they compute, so more of them run at once than there are cores.
	_ = flag.Set("test.parallel", "12")
	testscript.Main(m, map[string]func(){"octopatch": main})
}

// released is octopatch by the name that a release gives it; told so, it writes down what reached it instead.
func released() {
	file := os.Getenv("WRITE_ENVIRONMENT_TO")
	if file == "" {
		main()
	}
	text, err := json.Marshal(map[string][]string{"args": os.Args, "environ": os.Environ()})
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		panic(err)
	}
	os.Exit(0)
}

// TestScripts runs one script for each promise of the README.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no scripts")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			steadily(t, func(t *attempt) { runScript(t, file) })
		})
	}
}

func runScript(t *attempt, file string) {
	testscript.RunT(scriptT{t}, testscript.Params{
		Files: []string{file}, UpdateScripts: *update, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("OCTOPATCH_REHEARSAL_SPEED", fmt.Sprint(t.speed))
			e.Values[servedKey{}] = &serving{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exitcode": exitCode, "serve": serveWorld, "unserve": endWorld, "events": checkEvents, "kept": checkKept,
			"downtimes": checkDowntimes, "json": checkJSON, "webhook": startWebhook, "samephases": checkSamePhases,
		},
	})
}

// scriptT lets a script be one attempt.
type scriptT struct{ *attempt }

func (s scriptT) FailNow()                                { s.Fatal("the script failed") }
func (s scriptT) Run(_ string, script func(testscript.T)) { script(s) }
func (s scriptT) Parallel()                               {} // it runs beside others already
func (s scriptT) Verbose() bool                           { return testing.Verbose() }

// program is the path of octopatch: that of the folder which was named, or what TestMain has put on PATH.
func program(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath(filepath.Join(*otherOctopatch, "octopatch"))
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
