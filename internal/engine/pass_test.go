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

// A run that goes over a node a second time, and what else TestFaultSequences found.

// TestRevertedIsNotPatched: a recovery that died after the revert, of a node that had been patched and opened, leaves one
// that the next run patches.
func TestRevertedIsNotPatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, kept := newWorld("A", "B"), keeper{}
		before := w.snapshot()
		e, _, f := w.engineWithProvider()
		e.Keep, e.Copy = kept.keep, kept.copy
		w.killed(t, e, "octopus drain false A")
		w.nodes[0].sick = true
		next := func(node string) *Engine {
			next, _ := w.engine()
			next.Node, next.Provider, next.Rules, next.Keep, next.Copy = node, f, e.Rules, e.Keep, e.Copy
			return next
		}
		ctx, cancel := context.WithCancel(context.Background())
		w.dead = cancel
		w.inject = func(_ int, what string) string {
			if what == "octopus drain false A" {
				return "dead before"
			}
			return ""
		}
		if next("A").Recover(ctx); !w.died || w.node("A").ubr != 100 {
			t.Fatalf("it has not died after the revert: %q", w.writes)
		}
		w.inject, w.died, w.late, w.harmful = nil, false, nil, nil
		time.Sleep(2 * time.Hour)
		if r := next("").RunAll(context.Background()); r.Exit != ExitDone || w.snapshot() != before || w.node("A").ubr != 102 {
			t.Errorf("exit %d, %v; UBR %d; %s", r.Exit, r.Err, w.node("A").ubr, cmp.Diff(before, w.snapshot()))
		}
	})
}

// TestServiceThatFellOverBeforeStop: it ran when the run began, so it runs again.
func TestServiceThatFellOverBeforeStop(t *testing.T) {
	for _, at := range []string{"octopus drain true A", "host stop A"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld("A", "B")
			before := w.snapshot()
			w.at(at, func() { w.nodes[0].runs(false) })
			e, _ := w.engine()
			if r := e.RunAll(context.Background()); r.Exit != ExitDone || w.snapshot() != before {
				t.Errorf("%s: exit %d, %v; %s", at, r.Exit, r.Err, cmp.Diff(before, w.snapshot()))
			}
		})
	}
}

// TestOneRunInACluster: a phase alone on another node goes on with the run that is open, and what locks a host in passing
// gives its journal no other run.
func TestOneRunInACluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B", "C")
		before := w.snapshot()
		e, _ := w.engine()
		w.killed(t, e, "octopus drain true A")
		e, _ = w.engine()
		e.Run, e.Node = "other", "B"
		p, _ := procedure.Find(procedure.Enter)
		if r := e.Alone(context.Background(), p); r.Exit != ExitDone || r.Run != "run1" {
			t.Fatalf("exit %d, run %s, %v", r.Exit, r.Run, r.Err)
		}
		e, _ = w.engine()
		e.Run = "third"
		if r := e.RunAll(context.Background()); r.Exit != ExitDone || r.Run != "run1" || w.snapshot() != before {
			t.Errorf("exit %d, run %s, %v; %s", r.Exit, r.Run, r.Err, cmp.Diff(before, w.snapshot()))
		}
	})
}

// TestRestartedBySomebodyElse: what an installation asked for has happened by the time that the run is gone on with.
func TestRestartedBySomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		before := w.snapshot()
		e, _ := w.engine()
		w.killed(t, e, "host install A")
		w.nodes[0].comesBack()
		e, _ = w.engine()
		if r := e.RunAll(context.Background()); r.Exit != ExitDone || w.snapshot() != before || w.nodes[0].blind != 0 || w.nodes[0].ubr != 102 {
			t.Errorf("exit %d, %v; %d reboots for nothing, UBR %d; %s", r.Exit, r.Err, w.nodes[0].blind, w.nodes[0].ubr, cmp.Diff(before, w.snapshot()))
		}
	})
}

// TestSecondPassCountsOn: the runner's copy of the first pass of a run over a node is not newer than the journal of the
// second.
func TestSecondPassCountsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, kept := newWorld("A", "B"), keeper{}
		before := w.snapshot()
		w.nodes[1].neverRuns = true
		process := func() *Engine {
			e, _ := w.engine()
			e.Keep, e.Copy = kept.keep, kept.copy
			return e
		}
		if r := process().RunAll(context.Background()); r.Exit != ExitSomeFailed || w.nodes[0].journal != nil {
			t.Fatalf("exit %d, %v", r.Exit, r.Err)
		}
		first := kept["A"].Counter
		w.nodes[1].neverRuns = false
		w.nodes[0].queue = append(w.nodes[0].queue, []procedure.Update{{ID: "u9", Title: "Out of band", KBs: []string{"5000009"}, Bytes: 1 << 20}})
		w.killed(t, process(), "host stop A")
		if j := w.nodes[0].journal; j.Run != "run1" || j.Counter <= first {
			t.Errorf("run %s at %d, and the first pass ended at %d", j.Run, j.Counter, first)
		}
		e, events := w.engine()
		e.Keep, e.Copy = kept.keep, kept.copy
		if r := e.RunAll(context.Background()); r.Exit != ExitDone || w.snapshot() != before || w.nodes[0].ubr != 103 {
			t.Errorf("exit %d, %v; UBR %d; %s", r.Exit, r.Err, w.nodes[0].ubr, cmp.Diff(before, w.snapshot()))
		}
		for _, ev := range events.events {
			if strings.Contains(ev.Message, "as after a revert") {
				t.Errorf("it says %q", ev.Message)
			}
		}
	})
}

// TestSecondPassTakesAnotherPrecaution: a run that is gone on with finds new updates for a node that it has finished,
// whose precaution is kept. What it goes back to is not that one, for much was done since.
func TestSecondPassTakesAnotherPrecaution(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		w.nodes[1].neverRuns = true
		e, _, f := w.engineWithProvider()
		e.Rules.PrecautionKeep = 720 * time.Hour
		if r := e.RunAll(context.Background()); r.Exit != ExitSomeFailed || w.nodes[0].journal != nil || w.nodes[1].journal == nil {
			t.Fatalf("exit %d, %v", r.Exit, r.Err)
		}
		patched := w.node("A").ubr
		time.Sleep(48 * time.Hour)
		w.nodes[1].neverRuns = false
		w.nodes[0].queue = append(w.nodes[0].queue, []procedure.Update{{ID: "u9", Title: "Out of band", KBs: []string{"5000009"}, Bytes: 1 << 20}})
		w.at("host start A", func() { w.nodes[0].neverRuns = w.nodes[0].reverts == 0 })
		e2, _ := w.engine()
		e2.Run, e2.Provider, e2.Rules = "other", f, e.Rules
		e2.Rules.OnFailure = procedure.OnFailureRevert
		r := e2.RunAll(context.Background())
		var a *procedure.NodeReport
		for _, n := range r.Nodes {
			if n.Node == "A" {
				a = n
			}
		}
		if a == nil || a.Precaution == nil || a.Precaution.Name != "octopatch-run1-A-2" || a.Result != procedure.Failed || !strings.Contains(a.Reason, "recovered") {
			t.Fatalf("exit %d, %v; %+v", r.Exit, r.Err, a)
		}
		if w.node("A").ubr != patched || w.node("B").ubr != patched {
			t.Errorf("UBR of A %d, of B %d, want %d", w.node("A").ubr, w.node("B").ubr, patched)
		}
		if _, kept := f.points["Aoctopatch-run1-A"]; !kept {
			t.Errorf("what was to be kept is gone: %v", f.points)
		}
	})
}

// TestSecondPassOfAnIllNode: it was patched, opened and fell ill, and the run goes over it again. Its service, which ran
// before the run, runs again; and where that fails, the revert to the precaution of the first pass is proved.
func TestSecondPassOfAnIllNode(t *testing.T) {
	for _, well := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld("A", "B")
			before := w.snapshot()
			e, _, f := w.engineWithProvider()
			w.at("octopus drain false A", func() {
				time.AfterFunc(time.Second, func() { defer w.locked()(); w.nodes[0].service.State = "Stopped" })
			})
			if r := e.RunAll(context.Background()); r.Exit != ExitFailed || w.nodes[0].journal == nil || !w.nodes[0].journal.Host.Restored {
				t.Fatalf("exit %d, %v; %s", r.Exit, r.Err, w.snapshot())
			}
			w.inject = nil
			if !well {
				w.at("host start A", func() { w.nodes[0].neverRuns = w.nodes[0].reverts == 0 })
			}
			e2, _ := w.engine()
			e2.Run, e2.Provider, e2.Rules = "other", f, e.Rules
			e2.Rules.OnFailure = procedure.OnFailureRevert
			r := e2.RunAll(context.Background())
			if well && (r.Exit != ExitDone || w.node("A").ubr == 100) || !well && (w.node("A").ubr != 100 || !strings.Contains(r.Nodes[0].Reason, "recovered")) {
				t.Errorf("exit %d, %v; UBR %d", r.Exit, r.Err, w.node("A").ubr)
			}
			if w.snapshot() != before {
				t.Errorf("the world (+got, -want):\n%s", cmp.Diff(before, w.snapshot()))
			}
		})
	}
}

// TestStoppedASecondTime: what the first pass of the run has ended well is no leave to open the node.
func TestStoppedASecondTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		e, _ := w.engine()
		w.at("octopus drain false A", func() {
			time.AfterFunc(time.Second, func() { defer w.locked()(); w.nodes[0].service.State = "Stopped" })
		})
		if r := e.RunAll(context.Background()); r.Exit != ExitFailed || !ended(*w.nodes[0].journal, procedure.Start) {
			t.Fatalf("exit %d, %v; %+v", r.Exit, r.Err, w.nodes[0].journal)
		}
		w.inject = nil
		e, _ = w.engine()
		w.killed(t, e, "host stop A")
		if next := w.nodes[0].journal.Next(); next != procedure.Stop {
			t.Errorf("status says %s", next)
		}
		e, _ = w.engine()
		e.Node = "A"
		p, _ := procedure.Find(procedure.Exit)
		if r := e.Alone(context.Background(), p); r.Exit != ExitRefused || !strings.Contains(fmt.Sprint(r.Err), "must follow start") {
			t.Errorf("exit %d, %v", r.Exit, r.Err)
		}
	})
}

// TestStopAfterAStartThatFailed: it has let go of the start type and the watchdog, and both are held again before anything
// is patched; and a precaution that is taken then is not older than that start.
func TestStopAfterAStartThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		before := w.snapshot()
		n := w.nodes[0]
		n.onDisks, n.neverRuns = []string{"logs on C:"}, true
		e, _, f := w.engineWithProvider()
		f.takeFails = true
		if r := e.RunAll(context.Background()); r.Exit != ExitFailed || n.service.Start != "Auto" || !n.watchdog {
			t.Fatalf("exit %d, %v; %+v", r.Exit, r.Err, n.service)
		}
		f.takeFails, n.neverRuns, n.neverBack = false, false, true
		w.at("host install A", func() {
			if n.service.Start != "Manual" || n.watchdog {
				t.Errorf("its start type is %s and its watchdog %t", n.service.Start, n.watchdog)
			}
		})
		e2, _ := w.engine()
		e2.Run, e2.Provider, e2.Rules = "other", f, e.Rules
		e2.Rules.OnFailure = procedure.OnFailureRevert
		r := e2.RunAll(context.Background())
		if !strings.Contains(r.Nodes[0].Reason, "recovered") || n.ubr != 100 || w.snapshot() != before {
			t.Errorf("exit %d, %v; UBR %d; %s", r.Exit, r.Err, n.ubr, cmp.Diff(before, w.snapshot()))
		}
	})
}
