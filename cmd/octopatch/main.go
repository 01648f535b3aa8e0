// Octopatch applies operating-system patches to the Windows machines of a self-hosted Octopus Server, by the
// vendor's documented procedure, from a machine that does not depend on the server being patched.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/octopatch/octopatch/internal/engine"
)

func main() {
	ctx, unread, stop := interruptible()
	code := run(ctx, os.Args[1:], os.Environ(), standard{os.Stdout, unread}, standard{os.Stderr, unread})
	stop()
	os.Exit(code)
}

// interruptLimit is the longest that the program goes on after an interrupt; whoever has sent it may kill it soon.
const interruptLimit = 5 * time.Second

// interruptible ends with the first interrupt: Ctrl-C and Ctrl-Break, a polite request to end (on Windows also the
// end of the console or of the session), the end of the terminal, and output that nobody reads any more because
// the parent was killed. What is not undone by interruptLimit is left to the next run.
func interruptible() (ctx context.Context, unread, end context.CancelFunc) {
	// SIGPIPE itself says nothing: it comes for a connection that a host broke off by rebooting just as well. It is
	// taken and dropped, not ignored: the operator's own commands would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, unread = context.WithCancel(context.Background())
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ended := make(chan struct{})
	context.AfterFunc(ctx, func() {
		timer := time.NewTimer(interruptLimit)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
			fmt.Fprintln(os.Stderr, "octopatch: interrupted, and not all could be undone in time; octopatch status shows where it stands. Next: octopatch "+asked(os.Args[1:], os.Getenv("OCTOPATCH_PHASE")))
			os.Exit(engine.ExitInterrupted)
		}
	})
	return ctx, unread, func() { close(ended); stop(); unread() }
}

// asked is the command that this process was started with: what was interrupted goes on by the same, in the environment
// that it was started in.
func asked(args []string, phase string) string {
	if len(args) > 0 {
		return strings.TrimLeft(args[0], "-")
	}
	return phase
}

// standard is standard output or standard error; a write that fails means that nobody reads it any more.
type standard struct {
	file   *os.File
	unread func()
}

// Write writes, and tells where that failed.
func (s standard) Write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	if err != nil {
		s.unread()
	}
	return n, err
}
