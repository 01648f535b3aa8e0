//go:build unix

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// interrupts are the ways in which a run is told to end.
var interrupts = map[string]func(*started) error{
	"Ctrl-C":          func(s *started) error { return interrupt(s.process.Process) },
	"SIGTERM":         func(s *started) error { return s.process.Process.Signal(syscall.SIGTERM) },
	"the terminal":    func(s *started) error { return s.process.Process.Signal(syscall.SIGHUP) },
	"a killed parent": func(s *started) error { return s.output.Close() },
}

func ownConsole(*exec.Cmd) {} // a signal finds its process without one

func excused(rehearsal.Promise) bool { return false }

// TestInterruptWhereOutputIsStuck: a terminal that was stopped takes no more lines, and yet the program ends within
// its five seconds, with the next command on the stream that is still read.
func TestInterruptWhereOutputIsStuck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	terminal := filepath.Join(dir, "terminal")
	if err := syscall.Mkfifo(terminal, 0o600); err != nil {
		t.Fatal(err)
	}
	theirs, err := os.OpenFile(terminal, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	ours, err := os.OpenFile(terminal, os.O_RDWR|syscall.O_NONBLOCK, 0) // so that deadlines hold
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	var errs strings.Builder
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	process := exec.CommandContext(ctx, program(t), "rehearse")
	process.Env = []string{"TMPDIR=" + dir, "OCTOPATCH_REHEARSAL_FAULTS=task-never-ends", "OCTOPATCH_REHEARSAL_SPEED=40"}
	process.Stdout, process.Stderr = theirs, &errs
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	for stuck := false; !stuck; {
		_ = ours.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := ours.Write(make([]byte, 512))
		stuck = err != nil
	}
	signalled := time.Now()
	if err := interrupt(process.Process); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	if code, took := process.ProcessState.ExitCode(), time.Since(signalled); code != 130 || took > 7*time.Second {
		t.Errorf("exit code %d after %s", code, took)
	}
	if !strings.HasSuffix(errs.String(), "Next: octopatch rehearse\n") {
		t.Errorf("the last words are %q", errs.String())
	}
}
