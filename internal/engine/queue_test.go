package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// TestQueueIsHeldAtHalfOfTheLimit: on a single server a task that is due and never starts holds the run up for half
// of the drain limit; then the node is drained, so that it cannot start any more, and the run goes on.
func TestQueueIsHeldAtHalfOfTheLimit(t *testing.T) {
	for queued, want := range map[string]time.Duration{"run": 30 * time.Minute, procedure.QueuedHold: 0} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld("A")
			w.tasks = []procedure.Task{{ID: "ServerTasks-7", Name: "Deploy", State: "Queued", QueueTime: time.Now().Add(-time.Minute)}}
			var entered, held time.Time
			w.inject = func(_ int, what string) string {
				switch what {
				case "octopus maintenance true":
					entered = time.Now()
				case "octopus drain true A":
					held = time.Now()
				}
				return ""
			}
			e, _ := w.engine()
			e.Rules.Queued = queued
			r := e.RunAll(context.Background())
			if took := held.Sub(entered); r.Exit != ExitDone || took < want || took > want+time.Minute {
				t.Errorf("OCTOPATCH_QUEUED=%s: exit %d, %v; held after %s, want %s", queued, r.Exit, r.Err, took, want)
			}
		})
	}
}
