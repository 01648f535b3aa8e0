package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// TestLoginEndsBeforeTheNode: a node is not begun when the login would end before it is back in service. How long a
// node takes is what the nodes before it have shown.
func TestLoginEndsBeforeTheNode(t *testing.T) {
	for _, c := range []struct {
		name  string
		lasts time.Duration // the login
		exit  int
		kinds []procedure.Kind
	}{
		{"long", 24 * time.Hour, ExitDone, []procedure.Kind{procedure.Done, procedure.Done, procedure.Done}},
		{"an_hour_for_the_first", 50 * time.Minute, ExitStopped, []procedure.Kind{procedure.Skipped, procedure.Skipped, procedure.Skipped}},
		{"one_node_only", 70 * time.Minute, ExitStopped, []procedure.Kind{procedure.Done, procedure.Skipped, procedure.Skipped}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("OCTO1", "OCTO2", "OCTO3")
				w.task("ServerTasks-1", "Deploy", "OCTO1", 15*time.Minute)
				for _, n := range w.nodes {
					n.away = 8 * time.Minute
				}
				before := w.snapshot()
				e, events := w.engine()
				e.LoginEnds = time.Now().Add(c.lasts)
				r := e.RunAll(context.Background())
				if r.Exit != c.exit {
					t.Errorf("exit %d, %v", r.Exit, r.Err)
				}
				for i, n := range r.Nodes {
					if n.Result != c.kinds[i] {
						t.Errorf("%s is %s: %s", n.Node, n.Result, n.Reason)
					}
				}
				if got := w.snapshot(); c.kinds[0] == procedure.Skipped && got != before {
					t.Errorf("the world was changed:\n%s", got)
				}
				onePhaseEndEach(t, events, []string{"OCTO1", "OCTO2", "OCTO3"})
			})
		})
	}
}
