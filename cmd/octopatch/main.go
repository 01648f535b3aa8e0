// Octopatch applies operating-system patches to the Windows machines of a self-hosted Octopus Server, by the
// vendor's documented procedure, from a machine that does not depend on the server being patched.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/octopatch/octopatch/internal/engine"
)

func main() {
	ctx, stop := interruptible()
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// interruptLimit is the longest that the program goes on after an interrupt; whoever has sent it may kill it soon.
const interruptLimit = 5 * time.Second

// interruptible ends with the first interrupt: Ctrl-C and Ctrl-Break, a polite request to end (on Windows also the
// end of the console or of the session), the end of the terminal, and output that nobody reads any more because
// the parent was killed. What is not undone by interruptLimit is left to the next run.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	ended := make(chan struct{})
	context.AfterFunc(ctx, func() {
		timer := time.NewTimer(interruptLimit)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
			fmt.Fprintln(os.Stderr, "octopatch: interrupted, and not all could be undone in time; octopatch status shows where it stands. Next: octopatch run")
			os.Exit(engine.ExitInterrupted)
		}
	})
	return ctx, func() { close(ended); stop() }
}
