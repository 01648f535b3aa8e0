package engine

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/octopatch/octopatch/internal/procedure"
)

// illWhenOpened is node A falling ill as soon as it may take tasks again, and how it gets well.
func illWhenOpened(w *world) (heal func()) {
	n := w.nodes[0]
	version := n.version
	w.inject = func(_ int, what string) string {
		switch {
		case what == "octopus drain false A" && len(w.nodes) > 1:
			n.service.State = "Stopped"
		case what == "octopus maintenance false": // of a single server, which must run to be closed again
			n.version = "2027.1"
		}
		return ""
	}
	return func() { w.inject, n.version, n.service.State = nil, version, "Running" }
}

// TestIllOnceOpenedByAPhase: a node that exit alone or recover has opened and that falls ill in its soak is taken out
// of service again, as run does: nobody may be sent to a node whose health is not proved. Exit opens it once it is well.
func TestIllOnceOpenedByAPhase(t *testing.T) {
	for _, names := range [][]string{{"A"}, {"A", "B"}} {
		for name, play := range map[string]func(*testing.T, *world) (Result, func()){
			"exit": func(t *testing.T, w *world) (Result, func()) {
				aloneThrough(t, w, "A", "enter wait stop precaution patch start")
				heal := illWhenOpened(w)
				return alone(w, procedure.Exit, "A"), heal
			},
			"recover": func(t *testing.T, w *world) (Result, func()) {
				w.nodes[0].neverBack = true
				kept := keeper{}
				first, _, f := w.engineWithProvider()
				first.Keep, first.Copy = kept.keep, kept.copy
				if r := first.RunAll(context.Background()); r.Exit != ExitUnknown {
					t.Fatalf("the run: exit %d, %v", r.Exit, r.Err)
				}
				heal := illWhenOpened(w)
				e, _ := w.engine()
				e.Node, e.Provider, e.Rules, e.Keep, e.Copy = "A", f, first.Rules, kept.keep, kept.copy
				return e.Recover(context.Background()), heal
			},
		} {
			t.Run(name+" of "+names[len(names)-1], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(names...)
					before := w.snapshot()
					r, heal := play(t, w)
					if r.Exit != ExitFailed && r.Exit != ExitUnknown {
						t.Errorf("exit %d, %v", r.Exit, r.Err)
					}
					if closed := w.maintenance || w.nodes[0].state.Drained; !closed {
						t.Error("a node that is ill is open")
					}
					heal()
					if r := alone(w, procedure.Exit, "A"); r.Exit != ExitDone {
						t.Errorf("exit once it is well: exit %d, %v", r.Exit, r.Err)
					}
					if got := w.snapshot(); got != before {
						t.Errorf("the world is\n%s, and was\n%s", got, before)
					}
				})
			})
		}
	}
}
