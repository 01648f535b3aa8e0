package main

import (
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// interrupted starts octopatch run as a process of its own and interrupts it at the first line that holds the text.
func interrupted(t *attempt, w *rehearsal.World, at string, how func(*started) error) ending {
	t.Helper()
	s := start(t, w.Environ(), "run")
	if !s.until(at) {
		t.Fatalf("no line holds %q:\n%s", at, s.end().out)
	}
	signalled := time.Now()
	if err := how(s); err != nil {
		t.Fatal(err)
	}
	end := s.end()
	if took := time.Since(signalled); took > 7*time.Second {
		t.Errorf("it ended %s after the interrupt", took)
	}
	return end
}

// TestInterruptBeforeStop: the node is released, and nothing of the run is left.
func TestInterruptBeforeStop(t *testing.T) {
	t.Parallel()
	for name, how := range interrupts {
		t.Run(name, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Faults: "task-never-ends@OCTO-01"})
				before := w.State()
				got := interrupted(t, w, "OCTO-01 wait         waiting for", how)
				if got.wants(t, 130); name != "a killed parent" { // who is not there hears nothing
					got.wants(t, 130, "ended with exit code 130", "undone after the interrupt")
				}
				putBack(t, w, before)
				if wrote(w, "OCTO-01", "host stop") {
					t.Error("the service was stopped after the interrupt")
				}
			})
		})
	}
}

// TestInterruptInPatch: the node stays as it is, its journal says so, and the run goes on when it is told to.
func TestInterruptInPatch(t *testing.T) {
	t.Parallel()
	for name, how := range interrupts {
		t.Run(name, func(t *testing.T) {
			steadily(t, func(t *attempt) { interruptInPatch(t, name, how) })
		})
	}
}

func interruptInPatch(t *attempt, name string, how func(*started) error) {
	w := newWorld(t, rehearsal.Options{})
	before := w.State()
	got := interrupted(t, w, "OCTO-01 patch        install 1/2", how)
	got.wants(t, 130)
	if lines := strings.Split(strings.TrimSpace(got.out), "\n"); name != "a killed parent" && !strings.HasSuffix(lines[len(lines)-1], "octopatch run") {
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
}
