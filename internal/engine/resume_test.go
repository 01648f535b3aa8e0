package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// aloneThrough runs the phases one by one on a node, each from a process of its own.
func aloneThrough(t *testing.T, w *world, node, phases string) {
	t.Helper()
	for phase := range strings.FieldsSeq(phases) {
		if r := alone(w, phase, node); r.Exit != ExitDone {
			t.Fatalf("%s on %s: exit %d, %v", phase, node, r.Exit, r.Err)
		}
	}
}

// TestAnOpenNodeComesFirst: the node that an unfinished run left out of service is finished before another one
// is drained.
func TestAnOpenNodeComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B", "C")
		aloneThrough(t, w, "B", "enter wait stop")
		writes := len(w.writes)
		e, _ := w.engine()
		e.Resume = "run-of-enter"
		if r := e.RunAll(context.Background()); r.Exit != ExitDone {
			t.Errorf("exit %d, %v", r.Exit, r.Err)
		}
		opened := slices.Index(w.writes, "octopus drain false B")
		if first := slices.Index(w.writes, "octopus drain true A"); opened < writes || first < opened {
			t.Errorf("B was opened at %d, A drained at %d of %q", opened, first, w.writes)
		}
	})
}

// TestTwoOpenNodes: when the first is held the second stays out of service too, and both are told of.
func TestTwoOpenNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B", "C")
		aloneThrough(t, w, "B", "enter")
		aloneThrough(t, w, "A", "enter wait stop")
		w.nodes[0].neverRuns = true
		e, _ := w.engine()
		e.Resume = "run-of-enter"
		r := e.RunAll(context.Background())
		if r.Exit != ExitFailed {
			t.Errorf("exit %d, %v", r.Exit, r.Err)
		}
		for i, want := range []string{"octopatch run", "octopatch run", ""} {
			if got := r.Nodes[i].Next; !strings.HasSuffix(got, want) || (got == "") != (want == "") {
				t.Errorf("node %s: next %q, want %q", r.Nodes[i].Node, got, want)
			}
		}
	})
}

// TestStoppedServerNamedByNobody: with OCTOPATCH_NODES=all a stopped server cannot tell its nodes.
func TestStoppedServerNamedByNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A")
		aloneThrough(t, w, "A", "enter wait stop")
		e, _ := w.engine()
		e.Resume = "run-of-enter"
		if r := e.RunAll(context.Background()); r.Exit != ExitRefused || !strings.Contains(fmt.Sprint(r.Err), "name the nodes in OCTOPATCH_NODES") {
			t.Errorf("exit %d, %v", r.Exit, r.Err)
		}
	})
}

// TestTheQueueIsHeldByTheFlag: the journal of a runner that died between intent and call says that the node is
// drained, and it is not.
func TestTheQueueIsHeldByTheFlag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A")
		aloneThrough(t, w, "A", "enter")
		w.nodes[0].journal.Octopus.OursDrain = true
		aloneThrough(t, w, "A", "wait")
		if !w.nodes[0].state.Drained {
			t.Error("the queue is not held")
		}
	})
}

func TestRebootNeverDoesNotStrandANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		before := w.snapshot()
		for _, p := range nodePhases() {
			e, _ := w.engine()
			e.Node, e.Rules.Reboot = "A", procedure.RebootNever
			r := e.Alone(context.Background(), p)
			if r.Exit != ExitDone {
				t.Fatalf("%s: exit %d, %v", p.Name, r.Exit, r.Err)
			}
			if p.Name == procedure.Exit && !r.Nodes[0].RebootPending {
				t.Error("the report does not say that a reboot is pending")
			}
		}
		if got := w.snapshot(); got != before || len(w.nodes[0].pending) == 0 {
			t.Errorf("got the world\n%s, pending %q", got, w.nodes[0].pending)
		}
	})
}

func TestTheGuardIsAskedForEachPhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		for _, p := range nodePhases() {
			e, _ := w.engine()
			e.Node = "A"
			asked := procedure.ServerInfo{}
			e.Guard = func(_ context.Context, s procedure.ServerInfo, hosts []procedure.HostFacts) []error {
				asked = s
				return []error{procedure.Refuse("octopatch", "runs on "+hosts[0].Computer, "run it elsewhere")}
			}
			writes := len(w.writes)
			if r := e.Alone(context.Background(), p); r.Exit != ExitRefused || asked.InstallationID != "installation" || len(w.writes) != writes {
				t.Errorf("%s: exit %d, %v, asked about %+v", p.Name, r.Exit, r.Err, asked)
			}
			aloneThrough(t, w, "A", p.Name)
		}
	})
}

// TestTheGuardIsAskedForARecovery: who reverts the machine that he runs on does not see it come back. One that does not
// answer is another machine, and yet its server may be the one whose step this is.
func TestTheGuardIsAskedForARecovery(t *testing.T) {
	for hosts, spoil := range map[int]func(*world){
		1: func(w *world) { w.nodes[0].neverRuns = true },
		0: func(w *world) { w.nodes[0].neverBack = true },
	} {
		synctest.Test(t, func(t *testing.T) {
			w, e, _, _ := recoverWorld(t, spoil, keeper{})
			asked := procedure.ServerInfo{}
			e.Guard = func(_ context.Context, s procedure.ServerInfo, read []procedure.HostFacts) []error {
				if asked = s; len(read) != hosts {
					t.Errorf("asked about %d hosts, want %d", len(read), hosts)
				}
				return []error{procedure.Refuse("octopatch", "runs on it", "run it elsewhere")}
			}
			writes := len(w.writes)
			if r := e.Recover(context.Background()); r.Exit != ExitRefused || asked.InstallationID != "installation" || len(w.writes) != writes {
				t.Errorf("exit %d, %v, asked about %+v, wrote %q", r.Exit, r.Err, asked, w.writes[writes:])
			}
		})
	}
}

func TestTwoInstancesOfOneName(t *testing.T) {
	t.Parallel()
	x := newTarget("A", "")
	for _, service := range []string{"OctopusDeploy", "OctopusDeploy: Old"} {
		x.facts.Instances = append(x.facts.Instances, procedure.Instance{Service: procedure.Service{Name: service}, Node: "A"})
	}
	if err := x.findInstance(nil); !errors.Is(err, procedure.ErrRefused) || !strings.Contains(err.Error(), `"OctopusDeploy: Old"`) {
		t.Errorf("got %v", err)
	}
}

// TestARefusedLoginIsNotTriedForEver: after a lost reply to the reboot and a refused login nobody is asked again.
func TestARefusedLoginIsNotTriedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		w.nodes[0].readyDenied = true
		w.inject = func(_ int, what string) string {
			if what == "host reboot A" {
				return "lost"
			}
			return ""
		}
		e, _ := w.engine()
		if r := e.RunAll(context.Background()); r.Exit != ExitUnknown || w.nodes[0].readyCalls != 1 {
			t.Errorf("exit %d, asked %d times: %v", r.Exit, w.nodes[0].readyCalls, r.Err)
		}
	})
}

func TestScheduleThatFailsSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A")
		reads := 0
		e, _ := w.engine()
		e.Cluster = silentTasks{w, &reads}
		p, _ := procedure.Find(procedure.Schedule)
		if r := e.Alone(context.Background(), p); r.Exit != ExitUnknown || r.Err == nil {
			t.Errorf("exit %d, %v", r.Exit, r.Err)
		}
	})
}

// silentTasks answers the first question for the tasks only: preflight's.
type silentTasks struct {
	*world
	reads *int
}

func (s silentTasks) Tasks(ctx context.Context) ([]procedure.Task, error) {
	if *s.reads++; *s.reads > 1 {
		return nil, &procedure.Fault{Kind: procedure.ErrUnreadable, Problem: "an HTML page"}
	}
	return s.world.Tasks(ctx)
}

// TestRequestsWhileAwaitingAHuman: at most 12 requests a minute reach Octopus, the probe included.
func TestRequestsWhileAwaitingAHuman(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		w.task("ServerTasks-9", "Deploy", "A", 0)
		w.tasks[0].WaitsForUser = true
		e, _ := w.engine()
		e.Rules.Interruptions = procedure.InterruptionsWait
		began := time.Now()
		if r := e.RunAll(context.Background()); r.Exit != ExitStopped {
			t.Fatalf("exit %d, %v", r.Exit, r.Err)
		}
		minutes := map[int]int{}
		for _, at := range w.reads {
			minutes[int(at.Sub(began).Minutes())]++
		}
		for minute := 5; minute < 55; minute++ {
			if minutes[minute] > 12 || minutes[minute] < 6 {
				t.Errorf("minute %d: %d requests", minute, minutes[minute])
			}
		}
	})
}

// TestAnotherVersionIsNotStarted: a server that was upgraded meanwhile would upgrade its database.
func TestAnotherVersionIsNotStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A")
		aloneThrough(t, w, "A", "enter wait stop")
		w.nodes[0].version = "2027.1"
		if r := alone(w, procedure.Start, "A"); r.Exit != ExitFailed || !strings.Contains(fmt.Sprint(r.Err), "Octopus.Server.exe is of version 2027.1 and was 2026.3.1") || slices.Contains(w.writes, "host start A") {
			t.Errorf("exit %d, %v; %q", r.Exit, r.Err, w.writes)
		}
	})
}
