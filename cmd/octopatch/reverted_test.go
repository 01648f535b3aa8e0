package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// TestReverted: a machine that was reverted holds an old journal. Whoever comes next, from whatever machine, finds the
// newer copy, at the runner or on another host, or says that the node is unknown and how to go on.
func TestReverted(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the world's precaution is a command for /bin/sh")
	}
	for _, byHand := range []bool{false, true} {
		name := map[bool]string{false: "by a recovery that was killed", true: "by hand"}[byHand]
		t.Run(name, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				program, err := exec.LookPath("octopatch")
				if err != nil {
					t.Fatal(err)
				}
				w := newWorld(t, rehearsal.Options{Nodes: 2, Faults: "reboot-hangs@OCTO-01", Program: program})
				before := w.State()
				elsewhere := with(w.Environ(), "OCTOPATCH_PRECAUTION=command", "OCTOPATCH_REBOOT_TIMEOUT=30m", "OCTOPATCH_NODE=OCTO-01")
				runner := with(elsewhere, "OCTOPATCH_STATE_DIR="+filepath.Join(t.TempDir(), "state"))
				if byHand {
					octopatch(t.Context(), runner, "run").wants(t, 6, "it is not proved that the host is back")
					revertByHand(t, runner)
				} else {
					s := start(t, with(elsewhere, "OCTOPATCH_ON_FAILURE=recover"), "run")
					if !s.until("OCTO-01 recover      waiting for") {
						t.Fatalf("it reverted nothing:\n%s", s.end().out)
					}
					if err := s.process.Process.Kill(); err != nil {
						t.Fatal(err)
					}
					s.end()
				}
				if err := w.Clock.Sleep(t.Context(), 91*time.Minute); err != nil {
					t.Fatal(err)
				}
				next := elsewhere
				if byHand {
					octopatch(t.Context(), elsewhere, "status").wants(t, 6, "UNKNOWN: the journal knows of no reboot", "octopatch run")
					octopatch(t.Context(), elsewhere, "start").wants(t, 6, "no newer copy of the journal was found", "octopatch start")
					next = runner
					octopatch(t.Context(), next, "status").wants(t, 0, "the machine was reverted since", "this is the copy at the runner")
				} else {
					octopatch(t.Context(), next, "status").wants(t, 0, "the machine was reverted since", "this is the copy on the host of node OCTO-02")
				}
				octopatch(t.Context(), next, "start").wants(t, 0)
				octopatch(t.Context(), next, "exit").wants(t, 0)
				for _, p := range rehearsal.Compare(before, w.State()) {
					if !p.Kept && !p.Asked {
						t.Errorf("%s: broken: %s", p.Node, p.What)
					}
				}
				octopatch(t.Context(), elsewhere, "status").wants(t, 0, "No run is open on these nodes")
			})
		})
	}
}

// revertByHand is what a person does in the hypervisor.
func revertByHand(t *attempt, environ []string) {
	t.Helper()
	var line, snapshot string
	for _, item := range environ {
		if text, ok := strings.CutPrefix(item, "OCTOPATCH_PRECAUTION_REVERT="); ok {
			line = text
		}
		if dir, ok := strings.CutPrefix(item, "OCTOPATCH_STATE_DIR="); ok {
			copies, err := filepath.Glob(filepath.Join(dir, "*-OCTO-01.json"))
			if err != nil || len(copies) != 1 {
				t.Fatalf("%v, %v", copies, err)
			}
			snapshot = "octopatch-" + strings.TrimSuffix(filepath.Base(copies[0]), ".json")
		}
	}
	revert := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
	revert.Env = with(environ, "PATH="+os.Getenv("PATH"), "OCTOPATCH_NODE=OCTO-01", "OCTOPATCH_SNAPSHOT="+snapshot)
	if out, err := revert.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}
