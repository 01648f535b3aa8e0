package main

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// interrupted starts octopatch run as a process of its own and interrupts it at the first line that holds the text.
func interrupted(t *attempt, w *rehearsal.World, at string) ending {
	t.Helper()
	path, err := exec.LookPath("octopatch")
	if err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), path, "run")
	process.Env = with(w.Environ(), "PATH="+os.Getenv("PATH"))
	pipe, err := process.StdoutPipe()
	if err == nil {
		process.Stderr = process.Stdout
		err = process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	var signalled time.Time
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		if signalled.IsZero() && strings.Contains(lines.Text(), at) {
			signalled = time.Now()
			if err := interrupt(process.Process); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = process.Wait() // its exit code says it
	if took := time.Since(signalled); signalled.IsZero() || took > 7*time.Second {
		t.Errorf("it ended %s after the interrupt", took)
	}
	return ending{exit: process.ProcessState.ExitCode(), out: all.String()}
}

// TestInterruptBeforeStop: the node is released, and nothing of the run is left.
func TestInterruptBeforeStop(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no interrupt for another process")
	}
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Faults: "task-never-ends@OCTO-01"})
		before := w.State()
		interrupted(t, w, "OCTO-01 wait         waiting for").wants(t, 130, "ended with exit code 130", "undone after the interrupt")
		putBack(t, w, before)
		if wrote(w, "OCTO-01", "host stop") {
			t.Error("the service was stopped after the interrupt")
		}
	})
}

// TestInterruptInPatch: the node stays as it is, its journal says so, and the run goes on when it is told to.
func TestInterruptInPatch(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no interrupt for another process")
	}
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{})
		before := w.State()
		got := interrupted(t, w, "OCTO-01 patch        install 1/2")
		got.wants(t, 130, "OCTOPATCH_NODE=OCTO-01 octopatch start")
		if !drained(w, "OCTO-01") || wrote(w, "OCTO-02", "octopus drain") {
			t.Error("the node was opened without a service, or another one was begun")
		}
		octopatch(t.Context(), w.Environ(), "status").wants(t, 0, "OCTO-01", "patch")
		refused := octopatch(t.Context(), w.Environ(), "run")
		refused.wants(t, 4, "is unfinished there", "OCTOPATCH_RUN_ID=")
		id := regexp.MustCompile(`OCTOPATCH_RUN_ID=(\S+)`).FindStringSubmatch(refused.errs)
		if id == nil {
			t.Fatal("no run is named")
		}
		// The worker outlives the runner. While it installs, the node stays held, and nobody claims otherwise.
		octopatch(t.Context(), with(w.Environ(), "OCTOPATCH_RUN_ID="+id[1]), "run").wants(t, 1, "is still installing", "not reached: node OCTO-01 is held")
		if err := w.Clock.Sleep(t.Context(), 20*time.Minute); err != nil {
			t.Fatal(err)
		}
		octopatch(t.Context(), with(w.Environ(), "OCTOPATCH_RUN_ID="+id[1]), "run").wants(t, 0)
		allKept(t, w, before)
	})
}
