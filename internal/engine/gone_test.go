package engine

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

// TestAHostThatIsGone: whenever it stops to answer for good, the node is unknown, the next command is named, and the
// next node is not begun; once it is back that command ends the run.
func TestAHostThatIsGone(t *testing.T) {
	for _, names := range []string{"A", "A B"} {
		for _, at := range []string{"host record A", "octopus drain true A", "host stop A", "precaution take A", "host install A", "host reboot A", "host start A"} {
			t.Run(names+" "+at, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(strings.Fields(names)...)
					before := w.snapshot()
					gone := 0
					w.inject = func(n int, what string) string {
						if what == at && gone == 0 {
							gone = n
							time.AfterFunc(0, func() { defer w.locked()(); w.nodes[0].hostDown, w.nodes[0].neverBack = true, true })
						}
						return ""
					}
					e, events, f := w.engineWithProvider()
					w.named(e)
					r := e.RunAll(context.Background())
					if gone == 0 {
						t.Fatalf("no %q in %q", at, w.writes)
					}
					const next = "OCTOPATCH_TAKEOVER=run1 " + procedure.GoOn // its lease could not be given back
					if r.Exit != ExitUnknown || r.Next != next || len(r.Nodes) != len(w.nodes) || r.Nodes[0].Result != procedure.Unknown {
						t.Errorf("exit %d, next %q, %v", r.Exit, r.Next, r.Err)
					}
					for _, what := range w.writes {
						if strings.HasSuffix(what, " true B") || what == "host stop B" {
							t.Errorf("the next node was begun: %s", what)
						}
					}
					onePhaseEndEach(t, events, strings.Fields(names))
					time.Sleep(2 * time.Hour)
					w.inject = nil
					w.nodes[0].hostDown, w.nodes[0].neverBack, w.nodes[0].pending = false, false, nil
					again, _ := w.engine()
					w.named(again)
					again.Provider, again.Rules.Precaution, again.Rules.PrecautionTimeout = f, "fake", 30*time.Minute
					if r := again.RunAll(context.Background()); r.Exit != ExitDone {
						t.Errorf("once it is back: exit %d, %v", r.Exit, r.Err)
					}
					if got := w.snapshot(); got != before {
						t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
					}
				})
			})
		}
	}
}
