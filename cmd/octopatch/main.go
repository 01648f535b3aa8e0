// Octopatch applies operating-system patches to the Windows machines of a self-hosted Octopus Server, by the
// vendor's documented procedure, from a machine that does not depend on the server being patched.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
