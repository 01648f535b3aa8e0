package precaution

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/rehearsal/fault"
	"github.com/octopatch/octopatch/internal/rehearsal/windows"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
	"github.com/octopatch/octopatch/internal/winhost"
)

// onMachine runs commands on the rehearsal's machine, without a network in between.
type onMachine struct {
	*windows.Machine
	clock clock.Clock
}

func (o onMachine) Run(ctx context.Context, line string, stdin []byte, limit time.Duration, stdout func(string)) (int, string, error) {
	ctx, cancel := o.clock.WithTimeout(ctx, limit)
	defer cancel()
	if !o.Up() {
		return 0, "", &procedure.Fault{Kind: procedure.ErrUnreachable, Subject: "OCTO-01", Problem: "is down"}
	}
	out, in := io.Pipe()
	var errs bytes.Buffer
	said := make(chan struct{})
	go func() {
		defer close(said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			stdout(strings.TrimRight(lines.Text(), "\r"))
		}
	}()
	exit, err := o.Machine.Run(ctx, wsman.Command{Line: line, Stdin: bytes.NewReader(stdin), Stdout: in, Stderr: &errs})
	in.Close()
	<-said
	if err != nil {
		err = &procedure.Fault{Kind: procedure.ErrNoReply, Subject: "OCTO-01", Problem: "no answer", Cause: err}
	}
	return exit, errs.String(), err
}

// newHost is a Windows machine of the rehearsal, and the way to it.
func newHost(t *testing.T, faults string) (*windows.Machine, Open, clock.Clock) {
	t.Helper()
	set, err := fault.Parse(faults, windows.Faults())
	if err != nil {
		t.Fatal(err)
	}
	clk := clock.New(time.Now(), 400)
	m, err := windows.New(windows.Options{
		Clock: clk, Name: "OCTO-01", Dir: t.TempDir(), Faults: set, Configuration: func(string) string { return "{}" },
		Drain: func(string, bool) {}, OnService: func(bool, bool) {}, Down: func() {}, Up: func() error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	host := winhost.New("OCTO-01", onMachine{m, clk}, clk)
	return m, func(procedure.Machine) (Remote, error) { return host, nil }, clk
}

// wants holds an error against its kind and what it says; an empty text is no error.
func wants(t *testing.T, err, kind error, says string) {
	t.Helper()
	switch {
	case says == "" && err != nil:
		t.Errorf("got %v, want no error", err)
	case says != "" && (err == nil || !strings.Contains(err.Error(), says) || kind != nil && !errors.Is(err, kind)):
		t.Errorf("got %v, want one of kind %v that says %q", err, kind, says)
	}
}
