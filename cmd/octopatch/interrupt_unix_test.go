//go:build unix

package main

import (
	"os/exec"
	"syscall"

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
