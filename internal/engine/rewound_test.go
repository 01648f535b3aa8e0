package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

// rewoundWorld is a world whose node A was patched, is held, and was then reverted to before that: by a recovery that
// was killed right after, or by a person in the hypervisor: of a node that was held, whose run was killed when it
// installed, or whose run has ended well and left its precaution.
type rewoundWorld struct {
	*world
	before   string
	provider *fakeProvider
	kept     keeper
}

// nothing was killed: the run has ended well.
const nothing = "nothing"

func rewind(t *testing.T, killed string, names ...string) *rewoundWorld {
	t.Helper()
	r := &rewoundWorld{world: newWorld(names...), kept: keeper{}}
	r.before = r.snapshot()
	r.nodes[0].neverRuns = killed != "host install A" && killed != nothing
	e, _, f := r.engineWithProvider()
	r.provider = f
	e.Keep = r.kept.keep
	if killed == nothing {
		e.Rules.PrecautionKeep = 72 * time.Hour
		if got := e.RunAll(context.Background()); got.Exit != ExitDone {
			t.Fatalf("exit %d, %v", got.Exit, got.Err)
		}
	} else if killed != "" {
		e.Rules.OnFailure = procedure.OnFailureRevert
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r.dead = cancel
		r.inject = func(_ int, what string) string {
			if what == killed {
				return "dead after"
			}
			return ""
		}
		e.RunAll(ctx)
		r.inject, r.died, r.late, r.harmful = nil, false, nil, nil
	} else if got := e.RunAll(context.Background()); got.Exit != ExitFailed {
		t.Fatalf("exit %d, %v", got.Exit, got.Err)
	}
	if killed != "precaution revert A" {
		if err := f.Revert(context.Background(), f.point("A"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Contains(r.writes, "precaution revert A") {
		t.Fatalf("nothing was reverted: %q", r.writes)
	}
	time.Sleep(2 * time.Hour) // the host is back, and every lease stale
	if r.nodes[0].ubr != 100 || r.nodes[0].journal.Phases[procedure.Patch].Began != 0 {
		t.Fatalf("it was not rewound: UBR %d, %+v", r.nodes[0].ubr, r.nodes[0].journal)
	}
	return r
}

func (f *fakeProvider) point(node string) procedure.Point {
	for _, p := range f.points {
		if p.Node == node {
			return p
		}
	}
	return procedure.Point{}
}

// process is another process of the same owner; runner says whether it has the copies of the first.
func (r *rewoundWorld) process(runner bool) (*Engine, *recorder) {
	e, events := r.engine()
	r.named(e)
	e.Run, e.Node, e.Provider = "another", "A", r.provider
	e.Rules.Precaution, e.Rules.PrecautionTimeout = "fake", 30*time.Minute
	if runner {
		e.Keep, e.Copy = r.kept.keep, r.kept.copy
	}
	return e, events
}

// TestARevertRewindsTheJournal: whoever comes next recognises it by a newer copy, writes that back as the first call
// under its lease, and brings the world back to what it was; nothing of ours is left.
func TestARevertRewindsTheJournal(t *testing.T) {
	for _, c := range []struct {
		name     string
		killed   string // at this write; empty: it was held
		runner   bool   // the copies of the first process are at hand
		names    []string
		commands string
	}{
		{"killed, at the same runner", "precaution revert A", true, []string{"A"}, "run"},
		{"killed, elsewhere", "precaution revert A", false, []string{"A", "B"}, "run"},
		{"killed, elsewhere, by phases", "precaution revert A", false, []string{"A", "B"}, "start exit"},
		{"killed, elsewhere, patched by phases", "precaution revert A", false, []string{"A", "B"}, "patch start exit"},
		{"killed, elsewhere, recovered", "precaution revert A", false, []string{"A", "B"}, "recover"},
		{"by hand", "", true, []string{"A"}, "run"},
		{"by hand, of two", "", true, []string{"A", "B"}, "run"},
		{"by hand, by phases", "", true, []string{"A"}, "start exit"},
		{"killed when it installed, by hand", "host install A", true, []string{"A"}, "run"},
		{"by hand, recovered", "", true, []string{"A", "B"}, "recover"},
		{"by hand, after its end", nothing, true, []string{"A"}, "run"},
		{"by hand, after its end, of two", nothing, true, []string{"A", "B"}, "run"},
		{"by hand, after its end, by phases", nothing, true, []string{"A", "B"}, "start exit"},
		{"by hand, after its end, recovered", nothing, true, []string{"A"}, "recover"},
		{"by hand, after its end, of two, recovered", nothing, true, []string{"A", "B"}, "recover"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rewind(t, c.killed, c.names...)
				if other := r.nodes[len(r.nodes)-1].copy; c.killed != "" && c.killed != nothing && len(c.names) > 1 && (other == nil || other.Node != "A" || other.Counter <= r.nodes[0].journal.Counter) {
					t.Fatalf("no newer copy is on the other host: %+v", other)
				}
				e, _ := r.process(c.runner)
				open, err := e.Status(context.Background())
				if err != nil || len(open) == 0 || open[0].Rewound == "" || open[0].Doubt != "" || open[0].Counter <= r.nodes[0].journal.Counter {
					t.Errorf("status: %v, %+v", err, open)
				}
				for i, command := range strings.Fields(c.commands) {
					began, counter := len(r.writes), r.nodes[0].journal.Counter
					e, _ := r.process(c.runner)
					if got := do(e, command); got.Exit != ExitDone {
						t.Fatalf("%s: exit %d, %v", command, got.Exit, got.Err)
					}
					first := slices.DeleteFunc(slices.Clone(r.writes[began:]), func(what string) bool { return strings.HasPrefix(what, "host lease") })
					if command != "recover" && i == 0 && first[0] != "host record A" {
						t.Errorf("%s: the first calls are %q (counter %d)", command, first[:3], counter)
					}
				}
				if got := r.snapshot(); got != r.before {
					t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(r.before, got))
				}
				if want := 102; strings.Contains(c.commands, "patch") || c.commands == "run" {
					if r.nodes[0].ubr != want {
						t.Errorf("UBR %d, want %d", r.nodes[0].ubr, want)
					}
				}
			})
		})
	}
}

// TestARewoundJournalWithoutACopy: what was done since is not known, so nobody goes on, and everybody is told how.
func TestARewoundJournalWithoutACopy(t *testing.T) {
	for _, command := range []string{"run", "start", "recover"} {
		t.Run(command, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rewind(t, "", "A")
				writes := len(r.writes)
				e, _ := r.process(false)
				open, err := e.Status(context.Background())
				if err != nil || len(open) != 1 || !strings.Contains(open[0].Doubt, "Windows has booted") {
					t.Errorf("status: %v, %+v", err, open)
				}
				e, _ = r.process(false)
				got := do(e, command)
				if got.Exit != ExitUnknown || !strings.HasPrefix(got.Next, "OCTOPATCH_TAKEOVER=run1 ") || !strings.HasSuffix(got.Next, "octopatch "+command) || !strings.Contains(fmt.Sprint(got.Err), got.Next) {
					t.Errorf("exit %d, next %q, %v", got.Exit, got.Next, got.Err)
				}
				if len(r.writes) != writes {
					t.Errorf("it wrote %q", r.writes[writes:])
				}
				e, _ = r.process(false)
				e.Takeover = "run1"
				if got := do(e, command); got.Exit != ExitDone {
					t.Errorf("told to go on: exit %d, %v", got.Exit, got.Err)
				}
			})
		})
	}
}

// TestACopyOfTheSameAge proves that nothing was rewound: Windows has restarted by itself.
func TestACopyOfTheSameAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A")
		kept := keeper{}
		for _, phase := range []string{"enter", "wait", "stop"} {
			e, _ := w.engine()
			e.Run, e.Node, e.Keep = "run1", "A", kept.keep
			p, _ := procedure.Find(phase)
			if r := e.Alone(context.Background(), p); r.Exit != ExitDone {
				t.Fatal(r.Err)
			}
		}
		w.nodes[0].boot++
		e, _ := w.engine()
		w.named(e)
		if r := e.RunAll(context.Background()); r.Exit != ExitUnknown {
			t.Errorf("without a copy: exit %d, %v", r.Exit, r.Err)
		}
		e, _ = w.engine()
		w.named(e)
		e.Copy = kept.copy
		if r := e.RunAll(context.Background()); r.Exit != ExitDone {
			t.Errorf("with one: exit %d, %v", r.Exit, r.Err)
		}
	})
}

// TestACopyThatIsLeftBehind is removed by the next run, unless it shows that a node was reverted to before its run.
func TestACopyThatIsLeftBehind(t *testing.T) {
	for _, drained := range []bool{false, true} {
		t.Run(fmt.Sprint("drained ", drained), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("A", "B", "C")
				before := w.snapshot()
				w.nodes[1].copy = &procedure.Journal{Format: 1, Run: "old", Node: "A", Counter: 9, Octopus: procedure.OctopusPrior{OursDrain: true}}
				w.nodes[0].state.Drained = drained
				e, _ := w.engine()
				r := e.RunAll(context.Background())
				switch {
				case !drained && (r.Exit != ExitDone || w.snapshot() != before):
					t.Errorf("exit %d, %v; world %s", r.Exit, r.Err, cmp.Diff(before, w.snapshot()))
				case drained && (r.Exit != ExitUnknown || !strings.Contains(fmt.Sprint(r.Err), "reverted to before that run") || w.nodes[1].copy == nil):
					t.Errorf("exit %d, %v", r.Exit, r.Err)
				}
			})
		})
	}
}

// TestACopyOutlivesItsKeeper: the lease of the host that keeps a copy is let go, and the copy stays until the node is
// back in service.
func TestACopyOutlivesItsKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		w.nodes[0].neverRuns = true
		e, _, _ := w.engineWithProvider()
		e.Rules.OnFailure = procedure.OnFailureRevert
		w.inject = func(_ int, what string) string {
			if what == "precaution revert A" {
				time.AfterFunc(time.Minute, func() { defer w.locked()(); w.nodes[0].ubr = 999 }) // it is not the earlier system
			}
			return ""
		}
		r := e.RunAll(context.Background())
		if r.Exit != ExitUnknown || w.nodes[1].copy == nil || w.nodes[1].lease == nil || !w.nodes[1].lease.Released {
			t.Fatalf("exit %d, %v; %+v", r.Exit, r.Err, w.nodes[1])
		}
	})
}

// TestRecoverMeetsNobody: a live lease on another host of the cluster refuses, also where the node's own host is down.
func TestRecoverMeetsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e, _, _ := recoverWorld(t, func(w *world) { w.nodes[0].neverBack = true }, keeper{})
		w.named(e)
		w.nodes[1].lease = &procedure.Lease{Format: 1, Run: "other", Owner: "bob@home", Nonce: "bob", Every: 1800, Renewed: time.Now().Unix()}
		began := len(w.writes)
		if r := e.Recover(context.Background()); r.Exit != ExitRefused || !strings.Contains(fmt.Sprint(r.Err), "node B: bob@home works on it") || slices.Contains(w.writes[began:], "precaution revert A") {
			t.Errorf("exit %d, %v; %q", r.Exit, r.Err, w.writes[began:])
		}
	})
}

// TestALeaseOfAnotherClock: a renewal that is still to come was noted before the host's clock was set back.
func TestALeaseOfAnotherClock(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for ahead, live := range map[time.Duration]bool{-14 * time.Minute: true, -15 * time.Minute: false, 0: true, 5 * time.Minute: true, 5*time.Minute + time.Second: false, 24 * time.Hour: false} {
		if got := (procedure.Lease{Renewed: now.Add(ahead).Unix(), Every: 300}).Live(now); got != live {
			t.Errorf("renewed %s from now: live %t", ahead, got)
		}
	}
}

// TestTheDeadmanOfARewoundMachine: the snapshot holds an armed switch, and where nobody comes it fires and counts on
// from the old journal. That hides neither the newer copy nor the doubt.
func TestTheDeadmanOfARewoundMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rewind(t, "", "A", "B")
		n := r.nodes[0]
		n.deadman = procedure.Deadman{After: 45 * time.Minute}
		r.deadmen(t)
		n.journal.Counter += 50 // it tries again and again where something does not start
		if n.journal.Deadman == nil || n.service.State != "Running" {
			t.Fatalf("it has not fired: %+v", n.journal)
		}
		e, _ := r.process(false)
		open, err := e.Status(context.Background())
		if err != nil || len(open) == 0 || !strings.Contains(open[0].Doubt, "Windows has booted") {
			t.Errorf("without a copy: %v, %+v", err, open)
		}
		e, _ = r.process(true)
		if open, err = e.Status(context.Background()); err != nil || len(open) == 0 || open[0].Rewound == "" {
			t.Errorf("with one: %v, %+v", err, open)
		}
		e, _ = r.process(true)
		if got := e.RunAll(context.Background()); got.Exit != ExitDone || r.snapshot() != r.before {
			t.Errorf("exit %d, %v; %s", got.Exit, got.Err, cmp.Diff(r.before, r.snapshot()))
		}
	})
}
