package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

// heldForDays is a cluster whose node A an earlier run has held for so long that Octopus' record of it looks forgotten.
func heldForDays(t *testing.T, kept keeper) (w *world, before string) {
	t.Helper()
	w = newWorld("A", "B", "C")
	before = w.snapshot()
	w.nodes[0].neverRuns = true
	e, _ := w.engine()
	e.Keep, e.Copy = kept.keep, kept.copy
	if r := e.RunAll(context.Background()); r.Exit != ExitFailed || w.nodes[0].journal == nil {
		t.Fatalf("exit %d, %v", r.Exit, r.Err)
	}
	w.nodes[0].lastSeen = time.Now()
	time.Sleep(30 * time.Hour)
	return w, before
}

// TestNodeHeldForDays: all nodes are those that an unfinished run has left out of service as well, however long ago.
func TestNodeHeldForDays(t *testing.T) {
	for name, c := range map[string]struct {
		silent, copies bool
		exit           int
		says           string
	}{
		"answers":             {exit: ExitDone},
		"silent, with copies": {silent: true, copies: true, exit: ExitRefused, says: "run run1 is unfinished there"},
		"silent and unknown":  {silent: true, exit: ExitDone},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kept := keeper{}
				w, before := heldForDays(t, kept)
				w.nodes[0].neverRuns, w.nodes[0].hostDown = false, c.silent
				e, events := w.engine()
				if e.Keep = kept.keep; c.copies {
					e.Copy = kept.copy
				}
				r := e.RunAll(context.Background())
				if r.Exit != c.exit || !strings.Contains(fmt.Sprint(r.Err), c.says) {
					t.Fatalf("exit %d, %v", r.Exit, r.Err)
				}
				switch {
				case !c.silent:
					if w.snapshot() != before || w.node("A").ubr == 100 || r.Run != "run1" {
						t.Errorf("run %s, UBR %d, the world (+got, -want):\n%s", r.Run, w.node("A").ubr, cmp.Diff(before, w.snapshot()))
					}
				case c.copies:
					if w.node("B").ubr != 100 {
						t.Error("refused, and B was patched")
					}
				default:
					if !strings.Contains(fmt.Sprint(events.events), "it is left alone") || w.node("B").ubr == 100 {
						t.Errorf("B has UBR %d; events %v", w.node("B").ubr, events.events)
					}
				}
			})
		})
	}
}

// TestEnterBesideANodeHeldForDays: no other node is taken out of service.
func TestEnterBesideANodeHeldForDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := heldForDays(t, keeper{})
		e, _ := w.engine()
		e.Run, e.Node = "other", "B"
		p, _ := procedure.Find(procedure.Enter)
		if r := e.Alone(context.Background(), p); r.Exit != ExitRefused || !strings.Contains(fmt.Sprint(r.Err), "run run1 is unfinished there") {
			t.Errorf("exit %d, %v", r.Exit, r.Err)
		}
	})
}

// TestPhaseAloneLocksAllNodes: with OCTOPATCH_NODES=all as well, a phase of one node meets whoever works on another. A
// node that is gone for good does not keep it from its work.
func TestPhaseAloneLocksAllNodes(t *testing.T) {
	for _, phase := range []string{procedure.Patch, procedure.Start, procedure.Recover} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld("A", "B", "C")
			w.nodes[0].neverRuns = true
			e, _, f := w.engineWithProvider()
			if r := e.RunAll(context.Background()); r.Exit != ExitFailed {
				t.Fatalf("exit %d, %v", r.Exit, r.Err)
			}
			w.nodes[2].hostDown, w.nodes[2].state.Offline, w.nodes[2].lastSeen = true, true, time.Now().Add(-48*time.Hour)
			w.nodes[1].lease = &procedure.Lease{Run: "another", Owner: "bob@jump", Nonce: "bob's", Renewed: time.Now().Unix(), Every: int64(procedure.LeaseWorking.Seconds())}
			alone := func() Result {
				e, _ := w.engine()
				e.Node, e.Provider, e.Rules.Precaution, e.Rules.PrecautionTimeout = "A", f, "fake", 30*time.Minute
				if phase == procedure.Recover {
					return e.Recover(context.Background())
				}
				p, _ := procedure.Find(phase)
				return e.Alone(context.Background(), p)
			}
			wrote := len(w.writes)
			if r := alone(); r.Exit != ExitRefused || !strings.Contains(fmt.Sprint(r.Err), "bob@jump works on it: run another") || w.nodes[0].ubr == 100 {
				t.Errorf("%s: exit %d, %v; wrote %q", phase, r.Exit, r.Err, w.writes[wrote:])
			}
			w.nodes[1].lease, w.nodes[0].neverRuns = nil, false
			if r := alone(); r.Exit != ExitDone {
				t.Errorf("%s: exit %d, %v", phase, r.Exit, r.Err)
			}
		})
	}
}
