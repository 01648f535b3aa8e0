package engine

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestInterrupt: before the service is stopped the run undoes what it did and leaves; after that the node stays
// as it is, with its journal, and the result names the command that goes on.
func TestInterrupt(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration // simulated, from the start of the run
		world string
		next  string
	}{
		{"while_waiting", 5 * time.Minute, "A drained false cap 5 service Running Auto delayed true watchdog true journal false lease false deadman false", ""},
		{"while_rebooting", 12 * time.Minute, "A drained true cap 5 service Stopped Manual delayed false watchdog false journal true lease true deadman true", "OCTOPATCH_TAKEOVER=run1 octopatch run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("A", "B")
				w.task("ServerTasks-1", "Deploy", "A", 10*time.Minute)
				ctx, cancel := context.WithCancel(context.Background())
				time.AfterFunc(c.after, cancel)
				e, events := w.engine()
				r := e.RunAll(ctx)
				if r.Exit != ExitInterrupted {
					t.Errorf("exit %d, %v", r.Exit, r.Err)
				}
				time.Sleep(time.Hour) // the host comes back by itself
				if got := w.snapshot(); !strings.Contains(got, c.world) {
					t.Errorf("got the world\n%swant %q", got, c.world)
				}
				if r.Next != c.next {
					t.Errorf("next %q, want %q", r.Next, c.next)
				}
				onePhaseEndEach(t, events, []string{"A", "B"})
			})
		})
	}
}
