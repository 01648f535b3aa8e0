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

// These are about what one process leaves, and the next one finds.

// at does something right before a write.
func (w *world) at(write string, do func()) {
	w.inject = func(_ int, what string) string {
		if what == write {
			do()
		}
		return ""
	}
}

// killed is a run that died right after that write, and whose leases have grown stale.
func (w *world) killed(t *testing.T, e *Engine, write string) {
	t.Helper()
	w.dies(t, e, write)
	time.Sleep(2 * time.Hour)
}

// TestInterruptWhereAStoppedNodeIsGoneOnWith: nothing is undone that an earlier process of the run has not come past.
func TestInterruptWhereAStoppedNodeIsGoneOnWith(t *testing.T) {
	for _, write := range []string{"host arm A", "host download B"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld("A", "B")
			before := w.snapshot()
			e, _ := w.engine()
			w.killed(t, e, "host stop A")
			ctx, cancel := context.WithCancel(context.Background())
			w.at(write, cancel)
			e, _ = w.engine()
			if r := e.RunAll(ctx); r.Exit != ExitInterrupted || w.nodes[0].journal == nil || !w.nodes[0].state.Drained {
				t.Errorf("at %s: exit %d, %v; %s", write, r.Exit, r.Err, w.snapshot())
			}
			w.inject = nil
			e, _ = w.engine()
			if r := e.RunAll(context.Background()); r.Exit != ExitDone || w.snapshot() != before {
				t.Errorf("at %s: exit %d, %v; %s", write, r.Exit, r.Err, cmp.Diff(before, w.snapshot()))
			}
		})
	}
}

// TestInterruptWhileLeasesAreTaken: none is left that would refuse the next run.
func TestInterruptWhileLeasesAreTaken(t *testing.T) {
	for _, write := range []string{"host lease A", "host lease B"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld("A", "B")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			w.inject = func(_ int, what string) string {
				if what != write {
					return ""
				}
				cancel()
				return "lost"
			}
			e, _ := w.engine()
			if r := e.RunAll(ctx); r.Exit != ExitInterrupted {
				t.Errorf("exit %d, %v", r.Exit, r.Err)
			}
			if write == "host lease B" && !strings.Contains(w.snapshot(), "A drained false cap 5 service Running Auto delayed true watchdog true journal false lease false") {
				t.Errorf("a lease is left: %s", w.snapshot())
			}
		})
	}
}

// TestPrecautionOfADrainedNode: one that was out of service before the run keeps no precaution of it.
func TestPrecautionOfADrainedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B", "C")
		w.nodes[0].state.Drained = true
		e, _, f := w.engineWithProvider()
		if r := e.RunAll(context.Background()); r.Exit != ExitDone || len(f.points) != 0 || r.Nodes[0].Precaution == nil || r.Nodes[0].Precaution.State != procedure.PrecautionRemoved {
			t.Errorf("exit %d, %v; left %v; %+v", r.Exit, r.Err, f.points, r.Nodes[0].Precaution)
		}
	})
}

// TestNamesInAnotherCase: what is typed in another case than Octopus' finds the unfinished run of a cluster that has
// one node left.
func TestNamesInAnotherCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		before := w.snapshot()
		e, _ := w.engine()
		w.killed(t, e, "host stop A")
		e, _ = w.engine()
		e.All, e.Nodes = false, []Listed{{Name: "a"}, {Name: "b"}}
		open := e.Open
		e.Open = func(node, host string) (procedure.Host, error) { return open(strings.ToUpper(node), host) }
		if r := e.RunAll(context.Background()); r.Exit != ExitDone || w.snapshot() != before {
			t.Errorf("exit %d, %v; %s", r.Exit, r.Err, cmp.Diff(before, w.snapshot()))
		}
	})
}

// TestEnterThatCannotReadOctopus leaves nothing behind, and names itself as the next command.
func TestEnterThatCannotReadOctopus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		before := w.snapshot()
		enter := func() Result {
			e, _ := w.engine()
			e.Node = "A"
			p, _ := procedure.Find(procedure.Enter)
			return e.Alone(context.Background(), p)
		}
		w.at("host lease A", func() { w.denied = true })
		if r := enter(); r.Exit != ExitUnknown || !strings.HasSuffix(r.Next, "octopatch enter") || w.snapshot() != before {
			t.Errorf("exit %d, %v, next %q; %s", r.Exit, r.Err, r.Next, cmp.Diff(before, w.snapshot()))
		}
		w.inject, w.denied = nil, false
		if r := enter(); r.Exit != ExitDone {
			t.Errorf("exit %d, %v", r.Exit, r.Err)
		}
	})
}

// endlessRevert is a revert that goes on when nobody waits for it any more.
type endlessRevert struct{ *fakeProvider }

func (endlessRevert) Revert(ctx context.Context, _ procedure.Point, _ func(string)) error {
	<-ctx.Done()
	return &procedure.Fault{Kind: procedure.ErrTimeout, Problem: "the task did not end", Cause: ctx.Err()}
}

// TestARevertThatIsNotSeenToEnd: it may yet go on, so that the state of the node is unknown.
func TestARevertThatIsNotSeenToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, e, f, _ := recoverWorld(t, func(w *world) { w.nodes[0].neverRuns = true }, keeper{})
		e.Provider = endlessRevert{f}
		if r := e.Recover(context.Background()); r.Exit != ExitUnknown || !strings.HasSuffix(r.Next, "octopatch recover") || !strings.Contains(fmt.Sprint(r.Err), "may go on") {
			t.Errorf("exit %d, %v, next %q", r.Exit, r.Err, r.Next)
		}
	})
}

// TestAPrecautionThatOnlyARecoveryHasSeen: its taker died before it could note that it was taken, and the recovery
// before it could remove it; the next run does.
func TestAPrecautionThatOnlyARecoveryHasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		e, _, f := w.engineWithProvider()
		w.killed(t, e, "precaution take A")
		ctx, cancel := context.WithCancel(context.Background())
		w.dead = cancel
		w.inject = func(_ int, what string) string {
			if what == "precaution remove A" {
				return "dead before"
			}
			return ""
		}
		second, _ := w.engine()
		second.Node, second.Provider, second.Rules = "A", f, e.Rules
		second.Rules.Recover = procedure.RecoverForce
		second.Recover(ctx)
		w.inject, w.died = nil, false
		time.Sleep(2 * time.Hour)
		if len(f.points) != 1 {
			t.Fatalf("it is gone already: %v", w.writes)
		}
		third, _ := w.engine()
		third.Run, third.Provider, third.Rules = "run2", f, e.Rules
		if r := third.RunAll(context.Background()); r.Exit != ExitDone || len(f.points) != 0 {
			t.Errorf("exit %d, %v; left %v", r.Exit, r.Err, f.points)
		}
	})
}

// TestWhatTheDeadmanStartedIsNotRevertedUnasked: Octopus has run and written since the precaution was taken, also
// where a later process has stopped it again.
func TestWhatTheDeadmanStartedIsNotRevertedUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, kept := newWorld("A", "B"), keeper{}
		n := w.nodes[0]
		n.onDisks = []string{"Octopus.Home"}
		e, _, f := w.engineWithProvider()
		e.Keep, e.Copy = kept.keep, kept.copy
		w.killed(t, e, "host install A")
		n.runs(true)
		n.journal.Host.Restored, n.journal.Deadman, n.journal.Counter = true, &procedure.Fired{At: time.Now().Unix(), Why: "nothing was heard"}, n.journal.Counter+1
		n.neverBack = true
		for _, what := range []string{"run", "recover"} {
			next, _ := w.engine()
			next.Node, next.Provider, next.Rules, next.Keep, next.Copy = "A", f, e.Rules, kept.keep, kept.copy
			r := do(next, what)
			if what == "run" && r.Exit == ExitDone || what == "recover" && (r.Exit != ExitRefused || !strings.Contains(fmt.Sprint(r.Err), "take back")) {
				t.Errorf("%s: exit %d, %v", what, r.Exit, r.Err)
			}
			if !n.journal.Octopus.StartBegan { // for whoever has no copy; the host forgets the switch once it stops again
				t.Errorf("after %s the journal does not say that Octopus has run", what)
			}
		}
	})
}

// TestExitOfANodeThatWasDrainedBefore: the way back goes only once the node is proved healthy, drained as it is.
func TestExitOfANodeThatWasDrainedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B", "C")
		w.nodes[0].state.Drained = true
		w.at("host start A", func() { w.nodes[0].sick = true })
		e, _, f := w.engineWithProvider()
		e.RunAll(context.Background())
		w.inject = nil
		exit := func() Result {
			next, _ := w.engine()
			next.Node, next.Provider, next.Rules = "A", f, e.Rules
			return do(next, procedure.Exit)
		}
		if r := exit(); r.Exit == ExitDone || len(f.points) != 1 || w.nodes[0].journal == nil {
			t.Errorf("ill: exit %d, %v; left %v", r.Exit, r.Err, f.points)
		}
		w.nodes[0].sick = false
		if r := exit(); r.Exit != ExitDone || len(f.points) != 0 || w.nodes[0].journal != nil {
			t.Errorf("well: exit %d, %v; left %v", r.Exit, r.Err, f.points)
		}
	})
}

// TestARunGoneOnWithBeforeTheWindow: what was open is finished, and no other node is begun before people expect it.
func TestARunGoneOnWithBeforeTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		e, _ := w.engine()
		w.killed(t, e, "host stop A")
		e, _ = w.engine()
		e.Rules.WindowStart, e.Rules.WindowLength = time.Now().Add(12*time.Hour), 4*time.Hour
		r := e.RunAll(context.Background())
		if r.Exit != ExitStopped || w.node("A").ubr == 100 || w.node("B").ubr != 100 || !strings.Contains(r.Nodes[1].Reason, "the window begins at") {
			t.Errorf("exit %d, %v; %+v", r.Exit, r.Err, r.Nodes[1])
		}
	})
}

// TestASilentHostWhoseSwitchMayHaveFired: whether Octopus has written to its disks since cannot be read.
func TestASilentHostWhoseSwitchMayHaveFired(t *testing.T) {
	for after, want := range map[time.Duration]int{time.Minute: ExitDone, 2 * time.Hour: ExitRefused} {
		synctest.Test(t, func(t *testing.T) {
			w, kept := newWorld("A"), keeper{}
			w.nodes[0].onDisks = []string{"Octopus.Home"}
			e, _, f := w.engineWithProvider()
			e.Keep, e.Copy, e.Rules.Deadman = kept.keep, kept.copy, 45*time.Minute
			ctx, cancel := context.WithCancel(context.Background())
			w.at("host reboot A", cancel)
			w.nodes[0].neverBack = true
			e.RunAll(ctx)
			w.inject = nil
			time.Sleep(after)
			next, _ := w.engine()
			next.Node, next.Provider, next.Rules, next.Keep, next.Copy = "A", f, e.Rules, kept.keep, kept.copy
			if r := next.Recover(context.Background()); r.Exit != want {
				t.Errorf("after %s: exit %d, %v", after, r.Exit, r.Err)
			}
		})
	}
}

// TestInstallationUnderWay: whatever the processes after the one that began it do, and what the switch does, the one that
// comes to patch follows that installation, and its report names what it has brought.
func TestInstallationUnderWay(t *testing.T) {
	for _, between := range []string{"nothing", "an interrupt", "the switch", "both"} {
		t.Run(between, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("A", "B")
				before := w.snapshot()
				e, _ := w.engine()
				e.Rules.Deadman = 45 * time.Minute
				w.killed(t, e, "host install A")
				job := w.nodes[0].job
				if between == "the switch" || between == "both" {
					w.deadmen(t)
					if w.nodes[0].journal.Deadman == nil {
						t.Fatal("the switch has not fired")
					}
				}
				if between == "an interrupt" || between == "both" {
					ctx, cancel := context.WithCancel(context.Background())
					w.inject = func(_ int, what string) string {
						if what == "host arm A" || what == "host stop A" {
							cancel()
						}
						return ""
					}
					e, _ := w.engine()
					if r := e.RunAll(ctx); r.Exit != ExitInterrupted {
						t.Fatalf("exit %d, %v", r.Exit, r.Err)
					}
					w.inject = nil
				}
				if now := w.nodes[0].journal.Intent; now.Job != job || w.nodes[0].job != job {
					t.Errorf("the installation is forgotten: %+v, and the worker's is %s", now, w.nodes[0].job)
				}
				e, _ = w.engine()
				r := e.RunAll(context.Background())
				if r.Exit != ExitDone || w.snapshot() != before {
					t.Fatalf("exit %d, %v; the world (+got, -want):\n%s", r.Exit, r.Err, cmp.Diff(before, w.snapshot()))
				}
				if got := fmt.Sprint(r.Nodes[0].Installed); !strings.Contains(got, "5000001") || !strings.Contains(got, "5000002") {
					t.Errorf("the report names %s", got)
				}
			})
		})
	}
}

// TestExitProvesHealthFirst: a node whose start was not seen to its end is not opened by exit alone while it is ill.
func TestExitProvesHealthFirst(t *testing.T) {
	for _, nodes := range []string{"A", "A B"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(strings.Fields(nodes)...)
			before, _, _ := strings.Cut(w.snapshot(), "\nB ")
			e, _ := w.engine()
			w.killed(t, e, "host start A")
			w.nodes[0].sick = true
			exits := func() Result {
				e, _ := w.engine()
				e.Node, e.Nodes, e.All = "A", []Listed{{Name: "A"}}, false
				p, _ := procedure.Find(procedure.Exit)
				return e.Alone(context.Background(), p)
			}
			wrote := len(w.writes)
			if r := exits(); r.Exit != ExitFailed || !w.nodes[0].state.Drained || strings.Contains(fmt.Sprint(w.writes[wrote:]), "false") {
				t.Errorf("%s: exit %d, %v; wrote %q", nodes, r.Exit, r.Err, w.writes[wrote:])
			}
			w.nodes[0].sick = false
			if r := exits(); r.Exit != ExitDone {
				t.Errorf("%s: exit %d, %v", nodes, r.Exit, r.Err)
			}
			if got, _, _ := strings.Cut(w.snapshot(), "\nB "); got != before {
				t.Errorf("the world (+got, -want):\n%s", cmp.Diff(before, got))
			}
		})
	}
}

// TestEnterBesideARunThatHasEnded: a folder that could not be removed is no open run, which enter would join.
func TestEnterBesideARunThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B", "C")
		ended := procedure.Journal{Format: 1, Run: "ended", Node: "B", Owner: "bob@home", Topology: procedure.HA, Counter: 9,
			Phases: map[string]procedure.PhaseRecord{procedure.Exit: {Result: procedure.Done, Began: 1, Ended: 2}}}
		w.nodes[1].journal = &ended
		e, _ := w.engine()
		e.Node = "A"
		p, _ := procedure.Find(procedure.Enter)
		if r := e.Alone(context.Background(), p); r.Exit != ExitDone || r.Run != "run1" {
			t.Errorf("exit %d, run %s, %v", r.Exit, r.Run, r.Err)
		}
	})
}
