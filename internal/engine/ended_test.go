package engine

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

// TestARevertKeepsOthersAway: while the machine goes back, nobody else is given its lease.
func TestARevertKeepsOthersAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e, _, before := recoverWorld(t, neverRunsAtAll, keeper{})
		asked := false
		w.inject = func(_ int, what string) string {
			if what == "precaution revert A" {
				asked = true
				if l := w.nodes[0].lease; l == nil || l.Nonce != e.Nonce || !l.Live(time.Now()) {
					t.Errorf("the lease is %+v while the machine reverts", l)
				}
			}
			return ""
		}
		if r := e.Recover(context.Background()); !asked || r.Exit != ExitDone || w.snapshot() != before {
			t.Errorf("asked %t, exit %d, %v; world %s", asked, r.Exit, r.Err, cmp.Diff(before, w.snapshot()))
		}
	})
}

func neverRunsAtAll(w *world) { w.nodes[0].neverRuns = true }

// failsToRevert is a provider that says what went wrong, and reverts nothing.
type failsToRevert struct {
	*fakeProvider
	err error
}

func (f failsToRevert) Revert(context.Context, procedure.Point, func(string)) error { return f.err }

// TestARevertThatFails: the node stays held under a lease and a journal that say so, and the exit code is not the one
// of a command that has changed nothing.
func TestARevertThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e, f, _ := recoverWorld(t, neverRunsAtAll, keeper{})
		e.Provider = failsToRevert{f, procedure.Refuse("node A", "the hypervisor does not want to", "ask it")}
		r := e.Recover(context.Background())
		j, l := w.nodes[0].journal, w.nodes[0].lease
		if r.Exit != ExitUnknown || r.Next != "OCTOPATCH_NODE=A octopatch recover" {
			t.Errorf("exit %d, next %q, %v", r.Exit, r.Next, r.Err)
		}
		if j == nil || !strings.HasPrefix(j.Intent.What, "held: ") || l == nil || !l.Released {
			t.Errorf("the journal's last words are %+v, the lease %+v", j.Intent, l)
		}
	})
}

// TestRecoverByItselfThatIsRefused: the node is held as without OCTOPATCH_ON_FAILURE=recover, and that is known.
func TestRecoverByItselfThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A")
		w.nodes[0].neverRuns, w.nodes[0].onDisks = true, []string{"Octopus.Home"}
		e, _, _ := w.engineWithProvider()
		e.Rules.OnFailure = procedure.OnFailureRevert
		r := e.RunAll(context.Background())
		if n := r.Nodes[0]; r.Exit != ExitFailed || n.Result != procedure.Failed || !strings.Contains(n.Reason, "take back what it wrote since") || n.Next != procedure.GoOn || w.nodes[0].reverts != 0 {
			t.Errorf("exit %d, %s (%s), next %q, %d reverts", r.Exit, n.Result, n.Reason, n.Next, w.nodes[0].reverts)
		}
	})
}

// endlessTake begins a precaution, and is at it until somebody has enough.
type endlessTake struct{ *fakeProvider }

func (f endlessTake) Take(ctx context.Context, p procedure.Point, say func(string)) error {
	_ = f.fakeProvider.Take(ctx, p, say)
	<-ctx.Done()
	return ctx.Err()
}

// TestInterruptedPrecaution: the journal says that it was begun, nobody is sent to look for it by hand, and the run that
// goes on takes it and removes it.
func TestInterruptedPrecaution(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A")
		before := w.snapshot()
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(5*time.Minute, cancel)
		e, events, f := w.engineWithProvider()
		e.Provider = endlessTake{f}
		w.named(e)
		r := e.RunAll(ctx)
		if taken := w.nodes[0].journal.Precaution; r.Exit != ExitInterrupted || r.Next != procedure.GoOn || taken == nil || taken.State != procedure.PrecautionTaking {
			t.Errorf("exit %d, next %q, %+v", r.Exit, r.Next, taken)
		}
		for _, ev := range events.events {
			if strings.Contains(ev.Message, "by hand") {
				t.Errorf("it says %q", ev.Message)
			}
		}
		again, _, _ := w.engineWithProvider()
		again.Provider = f
		w.named(again)
		if r := again.RunAll(context.Background()); r.Exit != ExitDone || len(f.points) != 0 || w.snapshot() != before {
			t.Errorf("exit %d, %v; left %v; world %s", r.Exit, r.Err, f.points, cmp.Diff(before, w.snapshot()))
		}
	})
}

// TestStatusTellsOfLeftovers as preflight does, and refuses nothing.
func TestStatusTellsOfLeftovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		e, events, f := w.engineWithProvider()
		f.left, f.refuses = []procedure.Leftover{{Name: "octopatch-old-A"}}, procedure.Refuse("node A", "its disks need consolidation", "consolidate them")
		open, err := e.Status(context.Background())
		var said []string
		for _, ev := range events.events {
			said = append(said, ev.Node+" "+ev.Message)
		}
		if err != nil || len(open) != 0 || len(w.writes) != 0 ||
			!slices.ContainsFunc(said, func(s string) bool {
				return strings.HasPrefix(s, "A the precaution octopatch-old-A of an earlier run is still there")
			}) ||
			!slices.ContainsFunc(said, func(s string) bool {
				return strings.Contains(s, "could not be told in full: node A: its disks need consolidation")
			}) {
			t.Errorf("%v, open %v, writes %q, said %q", err, open, w.writes, said)
		}
	})
}

// TestClosedAgainIsNotOpen: a node that was opened, fell ill and was closed again is not told of as one that serves.
func TestClosedAgainIsNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		w.inject = func(_ int, what string) string {
			if what == "octopus drain false A" {
				w.nodes[0].service.State = "Stopped"
			}
			return ""
		}
		e, _ := w.engine()
		r := e.RunAll(context.Background())
		if a := r.Nodes[0]; a.Result != procedure.Failed || a.Timeline.Open() || !w.node("A").state.Drained {
			t.Errorf("%s, open %t, drained %t", a.Result, a.Timeline.Open(), w.node("A").state.Drained)
		}
	})
}

// TestStatusLeavesARunAlone: while a run is open nobody asks whether a precaution could be taken.
func TestStatusLeavesARunAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		w.node("A").journal = &procedure.Journal{Format: 1, Run: "run0", Node: "A", Topology: procedure.HA}
		e, events, f := w.engineWithProvider()
		f.left = []procedure.Leftover{{Name: "octopatch-old-A"}, {Name: "octopatch-old-B"}}
		if _, err := e.Status(context.Background()); err != nil {
			t.Error(err)
		}
		for _, ev := range events.events {
			if ev.Node == "A" && strings.Contains(ev.Message, "of an earlier run") {
				t.Errorf("said of a node with an open run: %s", ev.Message)
			}
		}
	})
}

// TestFailedUpdatesOfAKilledProcess are in the report of the one that only opens the node.
func TestFailedUpdatesOfAKilledProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A")
		w.nodes[0].fails = "5000001"
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		w.dead = cancel
		w.inject = func(_ int, what string) string {
			if what == "octopus drain false A" || what == "octopus maintenance false" {
				return "dead before"
			}
			return ""
		}
		e, _ := w.engine()
		e.RunAll(ctx)
		w.inject, w.died, w.late = nil, false, nil
		time.Sleep(3 * time.Hour)
		again, _ := w.engine()
		r := again.RunAll(context.Background())
		n := r.Nodes[0]
		if r.Exit != ExitFailed || len(n.Failed) != 1 || !slices.Equal(n.Failed[0].KBs, []string{"5000001"}) || n.Failed[0].Words == "" || !strings.Contains(n.Reason, "KB5000001") {
			t.Errorf("exit %d, %s, failed %+v", r.Exit, n.Reason, n.Failed)
		}
	})
}

// TestRunThatEndedBeforeItsFolderWent: of a recovery that was killed right before it removed the precaution one further
// command removes all that is left: exit, or the next run.
func TestRunThatEndedBeforeItsFolderWent(t *testing.T) {
	for _, with := range []string{"exit", "run"} {
		t.Run(with, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, e, f, before := recoverWorld(t, neverRunsAtAll, keeper{})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				w.dead = cancel
				w.inject = func(_ int, what string) string {
					if what == "precaution remove A" {
						return "dead before"
					}
					return ""
				}
				e.Recover(ctx)
				w.inject, w.died, w.late = nil, false, nil
				time.Sleep(3 * time.Hour)
				again, _ := w.engine()
				w.named(again)
				again.Run, again.Node, again.Provider, again.Rules, again.Keep, again.Copy = "another", "A", f, e.Rules, e.Keep, e.Copy
				open, err := again.Status(context.Background())
				if err != nil || len(open) == 0 || !open[0].Finished || len(f.points) != 1 {
					t.Errorf("status: %v, %+v, points %v", err, open, f.points)
				}
				var r Result
				if with == "exit" {
					p, _ := procedure.Find(procedure.Exit)
					r = again.Alone(context.Background(), p)
				} else {
					r = again.RunAll(context.Background())
				}
				if r.Exit != ExitDone || len(f.points) != 0 {
					t.Errorf("exit %d, %v; left %v", r.Exit, r.Err, f.points)
				}
				if w.snapshot() != before {
					t.Errorf("world %s", cmp.Diff(before, w.snapshot()))
				}
			})
		})
	}
}

// TestInterruptOfOnePhase: the last line names the same phase, which goes on where it was.
func TestInterruptOfOnePhase(t *testing.T) {
	for _, c := range []struct {
		phase string
		first []string
		spoil func(*world)
	}{
		{procedure.Wait, []string{"enter"}, func(w *world) { w.task("ServerTasks-1", "Deploy", "OCTO1", 0) }},
		{procedure.Patch, []string{"enter", "wait", "stop"}, func(w *world) { w.nodes[0].neverBack = true }},
	} {
		t.Run(c.phase, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("OCTO1", "OCTO2")
				for _, phase := range c.first {
					alone(w, phase, "OCTO1")
				}
				c.spoil(w)
				ctx, cancel := context.WithCancel(context.Background())
				time.AfterFunc(15*time.Minute, cancel)
				e, _ := w.engine()
				w.named(e)
				e.Node = "OCTO1"
				p, _ := procedure.Find(c.phase)
				r := e.Alone(ctx, p)
				if want := "OCTOPATCH_NODE=OCTO1 octopatch " + c.phase; r.Exit != ExitInterrupted || r.Next != want {
					t.Errorf("exit %d, next %q, want %q", r.Exit, r.Next, want)
				}
				if j := w.nodes[0].journal; j.Next() != c.phase {
					t.Errorf("the journal says %s next, and last %+v", j.Next(), j.Intent)
				}
			})
		})
	}
}

// TestInterruptInTheSoak: the run that goes on opens the node, and does not take it out of service to patch it again.
func TestInterruptInTheSoak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		before := w.snapshot()
		ctx, cancel := context.WithCancel(context.Background())
		w.inject = func(_ int, what string) string {
			if what == "octopus drain false A" {
				time.AfterFunc(time.Minute, cancel)
			}
			return ""
		}
		e, _ := w.engine()
		w.named(e)
		if r := e.RunAll(ctx); r.Exit != ExitInterrupted || r.Next != procedure.GoOn {
			t.Errorf("exit %d, next %q, %v", r.Exit, r.Next, r.Err)
		}
		began := len(w.writes)
		w.inject = nil
		again, _ := w.engine()
		w.named(again)
		again.Nodes = again.Nodes[:1]
		if r := again.RunAll(context.Background()); r.Exit != ExitDone || slices.Contains(w.writes[began:], "host stop A") || w.writes[began] == "octopus drain true A" {
			t.Errorf("exit %d, %v, and it wrote %q", r.Exit, r.Err, w.writes[began:])
		}
		if got := w.snapshot(); got != before {
			t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
		}
	})
}
