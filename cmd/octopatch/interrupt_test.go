package main

import (
	"bufio"
	"os"
	"os/exec"
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
		got.wants(t, 130)
		if lines := strings.Split(strings.TrimSpace(got.out), "\n"); !strings.HasSuffix(lines[len(lines)-1], "octopatch run") {
			t.Errorf("the last line is %q", lines[len(lines)-1])
		}
		if !drained(w, "OCTO-01") || wrote(w, "OCTO-02", "octopus drain") {
			t.Error("the node was opened without a service, or another one was begun")
		}
		octopatch(t.Context(), w.Environ(), "status").wants(t, 0, "OCTO-01", "patch", "the dead-man switch is armed", "its owner has let go")
		// The worker outlives the runner, and whoever goes on follows it.
		octopatch(t.Context(), with(w.Environ(), "USER=somebody else"), "run").wants(t, 0, "going on with run", "going on with the installation that an earlier process has begun")
		allKept(t, w, before)
		installs := 0
		for _, one := range w.Log.Writes() {
			if one.Node == "OCTO-01" && one.What == "host work install" {
				installs++
			}
		}
		if installs != 4 { // three rounds, the first of them followed by two processes
			t.Errorf("%d installations were asked for", installs)
		}
	})
}
