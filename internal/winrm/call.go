package winrm

import (
	"context"
	"errors"
	"time"

	masterzen "github.com/masterzen/winrm"

	"github.com/octopatch/octopatch/internal/procedure"
)

const (
	stdinPiece = 100_000          // bytes of stdin in one message: base64 must stay below the envelope's size
	stdinGrace = 5 * time.Second  // so long all of stdin may take before output is received beside it
	stdinLost  = 30 * time.Second // so long a command may take to end once its stdin was refused
	busyTries  = 3                // of a Send that the host calls busy
	busyWait   = 5 * time.Second
	pace       = time.Second // between two answers to Receive that say nothing and come at once
)

// call is one command on its way through its shell.
type call struct {
	*Client
	cmd     Command
	outer   context.Context // the caller's, to tell an interrupt from the command's limit
	shell   string
	id      string
	reached stage
	err     error
}

// stage is how far a call has come: what an error means depends on it.
type stage int

const (
	before  stage = iota // the Command message was not sent
	sent                 // it was sent, and not answered
	running              // it was answered: the process has begun
)

func (c *call) run(ctx context.Context) (Exit, error) {
	created, err := c.send(ctx, c.first, "Create", masterzen.NewOpenShellRequest(c.url, &c.params))
	if err != nil {
		return Exit{}, err
	}
	c.shell = created.shell
	c.reached = sent
	begun, err := c.send(ctx, c.first, "Command", commandMessage(c.url, c.shell, c.cmd, &c.params))
	if err != nil {
		return Exit{}, err
	}
	c.id, c.reached = begun.command, running
	return c.follow(ctx)
}

// follow receives output until the process has ended, while stdin is sent. Usually stdin is through before
// the first Receive and one connection is enough; a process that writes before it reads gets a second one.
func (c *call) follow(ctx context.Context) (Exit, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stdin := make(chan struct{})
	go func() {
		defer close(stdin)
		err := c.feed(ctx)
		switch {
		case errors.Is(err, procedure.ErrDenied):
			cancel(err) // Receive would try the same login
		case err != nil:
			// The process may have ended without reading all, which is its right; one that waits for the
			// rest waits for ever.
			timer := c.o.Clock.AfterFunc(stdinLost, func() { cancel(err) })
			context.AfterFunc(ctx, func() { timer.Stop() })
		}
	}()
	defer func() { cancel(nil); <-stdin }()
	grace, done := c.o.Clock.WithTimeout(ctx, stdinGrace)
	select {
	case <-stdin:
	case <-grace.Done():
	}
	done()
	out, stderr := &lines{each: c.cmd.Stdout}, &tail{}
	for {
		on := c.first
		select {
		case <-stdin:
		default:
			on = c.second
		}
		asked := c.o.Clock.Now()
		a, err := c.send(ctx, on, "Receive", masterzen.NewGetOutputRequest(c.url, c.shell, c.id, "stdout stderr", &c.params))
		var fault *Fault
		if errors.As(err, &fault) && fault.TimedOut() {
			a, err = &answer{}, nil // nothing to say within the operation time-out
		}
		if err == nil {
			_, _ = stderr.Write(a.stderr)
			err = out.write(a.stdout)
		}
		if err == nil && !a.done && len(a.stdout)+len(a.stderr) == 0 && c.o.Clock.Since(asked) < pace {
			err = c.o.Clock.Sleep(ctx, pace)
		}
		if err != nil {
			return Exit{Stderr: stderr.text()}, because(ctx, err)
		}
		if a.done {
			out.end()
			return Exit{Code: a.exit, Stderr: stderr.text()}, nil
		}
	}
}

// because puts the reason for which a context was cancelled before what that led to.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return cause
	}
	return err
}

// feed sends stdin, the last piece marked as its end.
func (c *call) feed(ctx context.Context) error {
	rest := c.cmd.Stdin
	for tries := 0; len(rest) > 0; {
		piece := rest[:min(len(rest), stdinPiece)]
		_, err := c.send(ctx, c.first, "Send", masterzen.NewSendInputRequest(c.url, c.shell, c.id, piece, len(piece) == len(rest), &c.params))
		var fault *Fault
		if errors.As(err, &fault) && fault.Busy() && tries < busyTries {
			tries++
			if err := c.o.Clock.Sleep(ctx, busyWait); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		rest, tries = rest[len(piece):], 0
	}
	return nil
}

// farewell ends command and shell as well as it can within a time of its own, also when the call was cancelled;
// what is left over, the host ends by its idle time-out. A login that was refused is not tried again.
func (c *call) farewell(ctx context.Context) {
	if c.shell == "" || errors.Is(c.err, procedure.ErrDenied) {
		return
	}
	ctx, cancel := c.within(context.WithoutCancel(ctx), farewellLimit)
	defer cancel()
	if c.id != "" {
		_, err := c.send(ctx, c.first, "Signal", masterzen.NewSignalRequest(c.url, c.shell, c.id, &c.params))
		var fault *Fault
		if err != nil && !errors.As(err, &fault) || fault != nil && fault.ShellNotFound() {
			return // the host cannot be reached, or the shell is gone: Delete would fare no better
		}
	}
	_, _ = c.send(ctx, c.first, "Delete", masterzen.NewDeleteShellRequest(c.url, c.shell, &c.params))
}
