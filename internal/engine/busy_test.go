package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// dies runs until right after a write, and leaves the world as a runner that was killed there does.
func (w *world) dies(t *testing.T, e *Engine, write string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.dead = cancel
	w.inject = func(_ int, what string) string {
		if what == write {
			return "dead after"
		}
		return ""
	}
	e.RunAll(ctx)
	if !w.died {
		t.Fatalf("it was not killed at %q: %q", write, w.writes)
	}
	w.inject, w.died, w.late, w.harmful = nil, false, nil, nil
}

// TestPlanOverAnInstallation: what the killed run's worker is at is told from the journal, and no search disturbs it.
func TestPlanOverAnInstallation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		before := w.snapshot()
		e, _ := w.engine()
		w.dies(t, e, "host install A")
		time.Sleep(2 * time.Hour)
		e, events := w.engine()
		plan, r := e.Plan(context.Background())
		if r.Exit != ExitDone || !strings.Contains(fmt.Sprint(plan.Warnings), "run run1 has begun an installation there") {
			t.Errorf("exit %d, %v, %q", r.Exit, r.Err, plan.Warnings)
		}
		for _, ev := range events.events {
			if ev.Type == procedure.PhaseEnded && ev.Phase == stageName && (ev.Node == "A") != (ev.Result == procedure.Skipped) {
				t.Errorf("%s: stage ended as %s: %s", ev.Node, ev.Result, ev.Reason)
			}
		}
		e, _ = w.engine()
		if r := e.RunAll(context.Background()); r.Exit != ExitDone || w.snapshot() != before || w.nodes[0].installs["5000001"] != 1 {
			t.Errorf("exit %d, %v; installed %v", r.Exit, r.Err, w.nodes[0].installs)
		}
	})
}

// TestAWaitSaysItsOwnLimit: the one that was set; what comes on top is named while it lasts.
func TestAWaitSaysItsOwnLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		before := w.snapshot()
		w.task("ServerTasks-9", "Deploy", "A", 0)
		w.inject = func(_ int, what string) string {
			if strings.HasPrefix(what, "octopus cancel") {
				return "unapplied"
			}
			return ""
		}
		e, events := w.engine()
		e.Rules.OnDrainTimeout = procedure.DrainCancel
		if r := e.RunAll(context.Background()); r.Exit != ExitStopped || w.snapshot() != before {
			t.Errorf("exit %d, %v", r.Exit, r.Err)
		}
		extra := 0
		for _, ev := range events.events {
			if ev.Type != procedure.Waiting || ev.Phase != procedure.Wait {
				continue
			}
			if ev.Limit != time.Hour.Seconds() {
				t.Fatalf("it waits for %q, at most %.0f s", ev.WaitingFor, ev.Limit)
			}
			if strings.Contains(ev.WaitingFor, "have 10 min more to end") {
				extra++
			}
		}
		if extra == 0 {
			t.Error("what comes on top is not named")
		}
	})
}
