package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// stage is what a run of the matrix happens on: one world, with what outlives its processes.
type stage struct {
	*world
	snapshots *fakeProvider
	kept      keeper // the runner's own directory
	deadman   time.Duration
}

// process is a new process on the same runner.
func (s *stage) process() (*Engine, *recorder) {
	e, events := s.surviving(s.snapshots, s.deadman)
	e.Keep = func(j procedure.Journal) error {
		defer s.locked()()
		if s.world.died {
			return errDead
		}
		return s.kept.keep(j)
	}
	e.Copy = func(node, run string) (*procedure.Journal, error) {
		defer s.locked()()
		return s.kept.copy(node, run)
	}
	return e, events
}

// surviving is a process with a precaution and a dead-man switch; 0: without one.
func (w *world) surviving(snapshots *fakeProvider, deadman time.Duration) (*Engine, *recorder) {
	e, events := w.engine()
	w.named(e)
	e.Rules.Deadman = deadman
	e.Provider, e.Rules.Precaution, e.Rules.PrecautionTimeout = snapshots, "fake", 30*time.Minute
	return e, events
}

// faultRun is one run of the procedure whose every write is tried in every way.
type faultRun struct {
	name   string
	nodes  int                               // 0: one and two
	says   string                            // what happens, for the table
	before func(t *testing.T, s *stage)      // what is so, and was done, before the run; nil: nothing
	play   func(context.Context, *stage) int // the run; its exit code
	plain  int                               // the exit code without any fault
	wait   time.Duration                     // until the leases are stale and the switch has fired; 0: 91 min
	mend   func(s *stage)                    // what people set right before they run it again; nil: nothing
	finish func(*Engine) Result              // what is run afterwards; nil: run
	ends   []int                             // its exit codes besides 0; after them a further command ends in 0
}

func (f faultRun) afterwards(e *Engine) Result {
	if f.finish != nil {
		return f.finish(e)
	}
	return e.RunAll(context.Background())
}

func playRun(ctx context.Context, s *stage) int {
	e, _ := s.process()
	return e.RunAll(ctx).Exit
}

// playWith is a run with other rules.
func playWith(set func(*Engine)) func(context.Context, *stage) int {
	return func(ctx context.Context, s *stage) int {
		e, _ := s.process()
		set(e)
		return e.RunAll(ctx).Exit
	}
}

// playInterrupted is a run that is interrupted after a while.
func playInterrupted(after time.Duration) func(context.Context, *stage) int {
	return func(ctx context.Context, s *stage) int {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer time.AfterFunc(after, cancel).Stop()
		return playRun(ctx, s)
	}
}

// playAlone runs each phase of each node from a process of its own, until one does not end well.
func playAlone(ctx context.Context, s *stage) int {
	for _, n := range s.nodes {
		for _, p := range nodePhases() {
			e, _ := s.process()
			e.Run, e.Node = "run-of-"+p.Name, n.state.Name
			if r := e.Alone(ctx, p); r.Exit != ExitDone {
				return r.Exit
			}
		}
	}
	return ExitDone
}

// playSpoiled is a run in which something happens to the world right before a phase begins.
func playSpoiled(phase string, spoil func(*stage)) func(context.Context, *stage) int {
	return func(ctx context.Context, s *stage) int {
		return playWith(func(e *Engine) {
			e.Hook = func(_ context.Context, m Moment) error {
				if m.When == Before && m.Phase == phase {
					defer s.locked()()
					spoil(s)
				}
				return nil
			}
		})(ctx, s)
	}
}

func recovers(e *Engine) Result {
	e.Run, e.Node = "another", "A"
	return e.Recover(context.Background())
}

func playRecover(ctx context.Context, s *stage) int {
	e, _ := s.process()
	e.Node = "A"
	return e.Recover(ctx).Exit
}

// held is a node A that an earlier run has left out of service.
func held(spoil func(*stage)) func(*testing.T, *stage) {
	return func(t *testing.T, s *stage) {
		spoil(s)
		if exit := playRun(context.Background(), s); exit != ExitFailed && exit != ExitUnknown || len(s.snapshots.points) != 1 {
			t.Fatalf("the earlier run: exit %d, snapshots %v", exit, s.snapshots.points)
		}
	}
}

func neverRuns(s *stage) { s.nodes[0].neverRuns = true }
func neverBack(s *stage) { s.nodes[0].neverBack = true }
func sick(s *stage)      { s.nodes[0].sick = true }
func denied(s *stage)    { s.denied = true }
func endless(s *stage)   { s.task("ServerTasks-9", "Deploy", "A", 0) }

// repaired is node A after people have seen to it: its service can run, and it is powered on.
func repaired(s *stage) {
	defer s.locked()()
	n := s.nodes[0]
	s.denied = false
	n.neverRuns, n.sick, n.fails = false, false, ""
	if n.neverBack = false; n.hostDown {
		n.comesBack()
	}
	s.endTask("ServerTasks-9", "Success")
}

// faultRuns are the runs of the matrix, for one node and for two.
func faultRuns() []faultRun {
	failed := []int{ExitFailed, ExitSomeFailed, ExitStopped} // the fresh run only finishes what the dead one had given up
	ill := func(t *testing.T, s *stage) { neverRuns(s) }
	return []faultRun{
		{name: "run", says: "every phase goes well", play: playRun},
		{name: "phases", says: "each phase of each node is run alone, from a process of its own", play: playAlone, wait: 5 * time.Hour},
		{name: "hold", says: "the service does not start after patching, so the node is held; it is repaired before the fresh run", before: ill, play: playRun, plain: ExitFailed, mend: repaired},
		{name: "hold of a service that runs", says: "the service runs after patching and does not answer, so the node is held; it answers before the fresh run", play: playSpoiled(procedure.Start, sick), plain: ExitFailed, mend: repaired},
		{name: "gone", says: "the host does not come back from its reboot; it is powered on before the fresh run", before: func(_ *testing.T, s *stage) { neverBack(s) }, play: playRun, plain: ExitUnknown, mend: repaired},
		{name: "slow reboot", says: "a reboot takes 25 minutes, longer than a host is given to show that it restarts when the reply was lost", before: func(_ *testing.T, s *stage) { s.nodes[0].away = 25 * time.Minute }, play: playRun},
		{name: "drain time-out", says: "a task does not end, so what was changed is put back; it has ended before the fresh run", before: func(_ *testing.T, s *stage) { endless(s) }, play: playRun, plain: ExitStopped, mend: repaired},
		{name: "cancel", says: "a task does not end, and OCTOPATCH_ON_DRAIN_TIMEOUT=cancel cancels it", before: func(_ *testing.T, s *stage) { endless(s) }, play: playWith(func(e *Engine) { e.Rules.OnDrainTimeout = "cancel" }), mend: repaired},
		{name: "lost login", nodes: 2, says: "Octopus refuses our login from the stop on, so the host itself exits drain mode; the fresh run has a login", before: func(_ *testing.T, s *stage) { s.nodes[1].queue, s.nodes[1].ubr = nil, 102 }, play: playSpoiled(procedure.Stop, denied), mend: repaired},
		{name: "veto", says: "a hook forbids to patch, so the node is put back; it allows the fresh run", play: playWith(forbidPatch), plain: ExitStopped, ends: failed},
		{name: "failed update", says: "an update fails, and the node serves again all the same; it can be installed in the fresh run", before: func(_ *testing.T, s *stage) { s.nodes[0].fails = "5000001" }, play: playWith(func(e *Engine) { e.Rules.MaxFailedNodes = 1 }), plain: ExitFailed, mend: repaired, ends: failed},
		{name: "interrupt in wait", says: "it is interrupted while it waits for a task, and undoes what it did", before: func(_ *testing.T, s *stage) { s.task("ServerTasks-1", "Deploy", "A", 10*time.Minute) }, play: playInterrupted(5 * time.Minute), plain: ExitInterrupted},
		{name: "interrupt in patch", says: "it is interrupted while the host restarts, and leaves the node to the next run", play: playInterrupted(3 * time.Minute), plain: ExitInterrupted},
		{name: "recover by itself", says: "the service does not start after patching, and OCTOPATCH_ON_FAILURE=recover goes back to the precaution", before: ill, play: playWith(func(e *Engine) { e.Rules.OnFailure = procedure.OnFailureRevert }), plain: ExitFailed, mend: repaired, ends: failed},
		{name: "recover, then run", says: "a held node is recovered, from the same runner; afterwards it is repaired and run patches it", before: held(neverRuns), play: playRecover, mend: repaired, ends: failed},
		{name: "recover, then recover", says: "a node whose host never came back is recovered, and afterwards recovered again; where that says that the node is healthy already, octopatch exit opens it, and where it says that no run is open, octopatch run removes the lease that was left", before: held(neverBack), play: playRecover,
			finish: recovers, ends: []int{ExitRefused}},
	}
}

func forbidPatch(e *Engine) {
	e.Hook = func(_ context.Context, m Moment) error {
		if m.When == Before && m.Phase == procedure.Patch {
			return errors.New("a ticket is missing")
		}
		return nil
	}
}
