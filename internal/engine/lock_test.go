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

// killed runs until the moment and leaves the world as a runner that was killed does: nothing more reaches it.
func killed(w *world, at time.Duration, set func(*Engine)) {
	e, _ := w.engine()
	if set != nil {
		set(e)
	}
	ctx, cancel := context.WithCancel(context.Background())
	dead := make(chan struct{})
	time.AfterFunc(at, func() { close(dead); cancel() })
	open := e.Open
	e.Open = func(node, host string) (procedure.Host, error) {
		h, err := open(node, host)
		return deadHost{Host: h, dead: dead}, err
	}
	e.Cluster = deadCluster{e.Cluster, dead}
	near := e.Near
	e.Near = func(n string) procedure.Cluster { return deadCluster{near(n), dead} }
	e.RunAll(ctx)
}

// named lists the nodes, for a stopped Octopus cannot be asked which they are.
func (w *world) named(e *Engine) {
	e.All, e.Nodes = false, nil
	for _, n := range w.nodes {
		e.Nodes = append(e.Nodes, Listed{Name: n.state.Name})
	}
}

// TestTwoProcesses: of two that begin at once one patches, and the other is refused and told by whom.
func TestTwoProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("B", "A", "C")
		before := w.snapshot()
		results := map[string]chan Result{"ann@jump": make(chan Result, 1), "bob@home": make(chan Result, 1)}
		for owner, done := range results {
			e, _ := w.engine()
			e.Owner, e.Run = owner, "run-of-"+owner
			go func() { done <- e.RunAll(context.Background()) }()
		}
		ann, bob := <-results["ann@jump"], <-results["bob@home"]
		if ann.Exit == ExitRefused {
			ann, bob = bob, ann
		}
		winner := strings.TrimPrefix(ann.Run, "run-of-")
		if ann.Exit != ExitDone || bob.Exit != ExitRefused || !strings.Contains(fmt.Sprint(bob.Err), "node A: "+winner+" works on it") {
			t.Errorf("exit %d, %v; exit %d, %v", ann.Exit, ann.Err, bob.Exit, bob.Err)
		}
		if got := w.snapshot(); got != before {
			t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
		}
		for _, n := range w.nodes {
			if n.boot != 3 {
				t.Errorf("%s booted %d times", n.state.Name, n.boot-1)
			}
		}
	})
}

// TestAKilledRun: its lease refuses everybody while it is live; afterwards the same owner goes on, and another one
// only when told so. The world ends as if nothing had happened, wherever the runner died.
func TestAKilledRun(t *testing.T) {
	for _, names := range [][]string{{"A"}, {"A", "B"}} {
		for at := time.Second; at < time.Duration(len(names))*10*time.Minute; at += 100 * time.Second {
			t.Run(fmt.Sprintf("%d nodes after %s", len(names), at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(names...)
					before := w.snapshot()
					killed(w, at, w.named)
					if w.snapshot() == before {
						t.Fatal("it was killed before it did anything")
					}
					run := func(set func(*Engine)) Result {
						e, _ := w.engine()
						w.named(e)
						e.Run = "another run"
						set(e)
						return e.RunAll(context.Background())
					}
					time.Sleep(5 * time.Minute) // a host that restarts is back
					writes := len(w.writes)
					same := func(e *Engine) {}
					bob := func(e *Engine) { e.Owner = "bob@home" }
					if r := run(same); r.Exit != ExitRefused || !strings.Contains(fmt.Sprint(r.Err), "ann@jump works on it: run run1") {
						t.Errorf("while the lease is live: exit %d, %v", r.Exit, r.Err)
					}
					time.Sleep(91 * time.Minute)
					if r := run(bob); r.Exit != ExitRefused || !strings.Contains(fmt.Sprint(r.Err), "OCTOPATCH_TAKEOVER=run1") {
						t.Errorf("another owner: exit %d, %v", r.Exit, r.Err)
					}
					if r := run(func(e *Engine) { bob(e); e.Takeover = "run2" }); r.Exit != ExitRefused || !strings.Contains(fmt.Sprint(r.Err), "OCTOPATCH_TAKEOVER: says run2") {
						t.Errorf("another owner who names another run: exit %d, %v", r.Exit, r.Err)
					}
					if len(w.writes) != writes {
						t.Errorf("refused, and yet wrote %q", w.writes[writes:])
					}
					r := run(func(e *Engine) { bob(e); e.Takeover = "run1" })
					if r.Exit != ExitDone || r.Run != "run1" {
						t.Errorf("exit %d, run %s, %v", r.Exit, r.Run, r.Err)
					}
					if got := w.snapshot(); got != before {
						t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
					}
					for _, n := range w.nodes {
						if n.boot != 3 || n.ubr != 102 {
							t.Errorf("%s booted %d times, UBR %d", n.state.Name, n.boot-1, n.ubr)
						}
					}
				})
			})
		}
	}
}

// TestTheLateComer: a runner that was cut off while another took its run over is stopped by the host itself.
func TestTheLateComer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		w.task("ServerTasks-1", "Deploy", "A", 50*time.Minute)
		e, _ := w.engine()
		time.AfterFunc(10*time.Minute, func() { // somebody has decided that it is dead
			defer w.locked()()
			w.nodes[0].lease = &procedure.Lease{Format: 1, Run: "run1", Owner: "bob@home", Nonce: "bob", Every: 300, Renewed: time.Now().Unix()}
		})
		r := e.RunAll(context.Background())
		if r.Exit != ExitUnknown || !strings.Contains(fmt.Sprint(r.Err), "another process works on this host") {
			t.Errorf("exit %d, %v", r.Exit, r.Err)
		}
		if n := w.nodes[0]; n.boot != 1 || n.service.State != "Running" || n.lease.Owner != "bob@home" {
			t.Errorf("it went on: %+v", n)
		}
	})
}

// TestNothingIsSearchedWhileARunIsLive: plan, preflight and stage report and get in nobody's way.
func TestNothingIsSearchedWhileARunIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		killed(w, 6*time.Minute, nil)
		time.Sleep(5 * time.Minute) // the host is back
		writes := len(w.writes)
		e, _ := w.engine()
		plan, r := e.Plan(context.Background())
		if r.Exit != ExitDone || len(plan.Nodes) != 2 || !strings.Contains(fmt.Sprint(plan.Warnings), "ann@jump works on it") {
			t.Errorf("plan: exit %d, %v, %+v", r.Exit, r.Err, plan)
		}
		e, _ = w.engine()
		if r := e.Stage(context.Background()); r.Exit != ExitDone {
			t.Errorf("stage: exit %d, %v", r.Exit, r.Err)
		}
		e, _ = w.engine()
		if r := e.Preflight(context.Background()); r.Exit != ExitDone {
			t.Errorf("preflight: exit %d, %v", r.Exit, r.Err)
		}
		if len(w.writes) != writes {
			t.Errorf("they wrote %q", w.writes[writes:])
		}
	})
}

// TestPhasesAfterTheDeadman: the node runs and is closed; exit opens it, and nothing is patched under a service that runs.
func TestPhasesAfterTheDeadman(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		before := w.snapshot()
		killed(w, 6*time.Minute, func(e *Engine) { w.named(e); e.Rules.Deadman = 45 * time.Minute })
		time.Sleep(95 * time.Minute)
		w.deadmen(t)
		if j := w.nodes[0].journal; j == nil || j.Deadman == nil || j.Next() != procedure.Exit {
			t.Fatalf("the switch has not fired: %+v", j)
		}
		e, seen := w.engine()
		w.named(e)
		if _, err := e.Status(context.Background()); err != nil {
			t.Error(err)
		}
		told(t, seen, "octopatch run")
		if r := alone(w, "patch", "A"); r.Exit != ExitRefused || !strings.Contains(fmt.Sprint(r.Err), "run octopatch stop first") {
			t.Errorf("patch: exit %d, %v", r.Exit, r.Err)
		}
		e, seen = w.engine()
		e.Node = "A"
		exit, _ := procedure.Find(procedure.Exit)
		if r := e.Alone(context.Background(), exit); r.Exit != ExitDone {
			t.Errorf("exit: exit %d, %v", r.Exit, r.Err)
		}
		told(t, seen, "OCTOPATCH_NODE=A octopatch exit")
		w.nodes[1].lease = nil // of the host that was only waiting
		if got := w.snapshot(); got != before {
			t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
		}
	})
}

// told: people are alerted to the switch of A once, with the command that goes on.
func told(t *testing.T, seen *recorder, next string) {
	t.Helper()
	seen.mu.Lock()
	defer seen.mu.Unlock()
	var alerts []procedure.Event
	for _, e := range seen.events {
		if e.Alert {
			alerts = append(alerts, e)
		}
	}
	if len(alerts) != 1 || alerts[0].Node != "A" || alerts[0].Next != next || !strings.Contains(alerts[0].Message, "the dead-man switch fired at ") || !strings.Contains(alerts[0].Message, "nothing was heard of the run") {
		t.Errorf("alerts: %+v", alerts)
	}
}

// TestRunAfterTheDeadman: the run that goes on alerts people to it first.
func TestRunAfterTheDeadman(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		killed(w, 6*time.Minute, func(e *Engine) { w.named(e); e.Rules.Deadman = 45 * time.Minute })
		time.Sleep(95 * time.Minute)
		w.deadmen(t)
		e, seen := w.engine()
		w.named(e)
		if r := e.RunAll(context.Background()); r.Exit != ExitDone {
			t.Errorf("run: exit %d, %v", r.Exit, r.Err)
		}
		told(t, seen, "octopatch run")
	})
}

// TestPeopleAreAlertedOnce: of each firing, however often somebody looks; what is said stays.
func TestPeopleAreAlertedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		killed(w, 6*time.Minute, func(e *Engine) { w.named(e); e.Rules.Deadman = 45 * time.Minute })
		time.Sleep(95 * time.Minute)
		w.deadmen(t)
		told := map[Firing]bool{}
		for look := range 3 {
			e, seen := w.engine()
			w.named(e)
			e.Told = func(f Firing) bool { return told[f] }
			if _, err := e.Status(context.Background()); err != nil {
				t.Error(err)
			}
			alerts, words := 0, 0
			for _, ev := range seen.events {
				if strings.Contains(ev.Message, "the dead-man switch fired at ") {
					words++
				}
				if ev.Alert {
					alerts++
				}
			}
			if want := look < 2; words != 1 || (alerts == 1) != want || len(e.Fired) != alerts {
				t.Errorf("look %d: %d alerts, said %d times", look, alerts, words)
			}
			if look == 1 { // the first message did not arrive
				for _, f := range e.Fired {
					told[f] = true
				}
			}
		}
	})
}
