package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

// keeper is the runner's directory of copies.
type keeper map[string]procedure.Journal

func (k keeper) keep(j procedure.Journal) error { k[j.Node] = written(j); return nil }

// written is a journal as a file keeps it, whatever its writer makes of it afterwards.
func written(j procedure.Journal) procedure.Journal {
	j.Phases = maps.Clone(j.Phases)
	if j.Precaution != nil {
		taken := *j.Precaution
		j.Precaution = &taken
	}
	return j
}

func (k keeper) copy(node, run string) (*procedure.Journal, error) {
	j, ok := k[node]
	if !ok || run != "" && j.Run != run {
		return nil, nil
	}
	j = written(j)
	return &j, nil
}

// recoverWorld is a world with a run that was held on node A, and an engine of another process for recover.
func recoverWorld(t *testing.T, spoil func(*world), kept keeper) (*world, *Engine, *fakeProvider, string) {
	t.Helper()
	w := newWorld("A", "B")
	before := w.snapshot()
	spoil(w)
	e, _, f := w.engineWithProvider()
	e.Keep, e.Copy = kept.keep, kept.copy
	if r := e.RunAll(context.Background()); r.Exit == ExitDone || len(f.points) != 1 {
		t.Fatalf("exit %d, %v; points %v", r.Exit, r.Err, f.points)
	}
	second, _ := w.engine()
	second.Run, second.Node, second.Provider, second.Rules = "other", "A", f, e.Rules
	second.Keep, second.Copy = kept.keep, kept.copy
	return w, second, f, before
}

func TestRecover(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*world)
	}{
		{"host_that_never_came_back", func(w *world) { w.nodes[0].neverBack = true }},
		{"service_that_never_runs", func(w *world) { w.nodes[0].neverRuns = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, e, f, before := recoverWorld(t, c.spoil, keeper{})
				r := e.Recover(context.Background())
				if r.Exit != ExitDone || r.Err != nil || r.Run != "run1" {
					t.Fatalf("exit %d, run %s, %v", r.Exit, r.Run, r.Err)
				}
				if got := w.snapshot(); got != before {
					t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
				}
				if w.node("A").ubr != 100 || len(f.points) != 0 || r.Nodes[0].Precaution.State != procedure.PrecautionRemoved {
					t.Errorf("UBR %d, points %v, %+v", w.node("A").ubr, f.points, r.Nodes[0].Precaution)
				}
			})
		})
	}
}

// TestRecoverThreeWays: each write of a recovery fails unapplied and fails applied, and it ends all the same; a
// second revert comes only after a lost reply.
func TestRecoverThreeWays(t *testing.T) {
	var writes []string
	run := func(t *testing.T, inject func(n int) string) {
		synctest.Test(t, func(t *testing.T) {
			w, e, _, before := recoverWorld(t, func(w *world) { w.nodes[0].neverBack = true }, keeper{})
			began := len(w.writes)
			if inject != nil {
				w.inject = func(n int, _ string) string { return inject(n - began) }
			}
			r := e.Recover(context.Background())
			if r.Exit != ExitDone || w.snapshot() != before {
				t.Errorf("exit %d, %v; world %s", r.Exit, r.Err, cmp.Diff(before, w.snapshot()))
			}
			writes = w.writes[began:]
		})
	}
	run(t, nil)
	all := writes
	if len(all) < 5 || all[0] != "host lease B" || all[2] != "precaution revert A" || all[3] != "host lease A" || !slices.Contains(all, "host record A") {
		t.Fatalf("the writes are %q", all)
	}
	for i, what := range all {
		for _, mode := range []string{"unapplied", "lost"} {
			t.Run(fmt.Sprintf("%02d %s %s", i+1, what, mode), func(t *testing.T) {
				run(t, func(n int) string {
					if n == i+1 {
						return mode
					}
					return ""
				})
			})
		}
	}
}

func TestRecoverRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*world)
		setup func(*world, *Engine, *fakeProvider)
		exit  int
		says  string
	}{
		{"healthy", func(w *world) { w.nodes[0].neverRuns = true }, func(w *world, _ *Engine, _ *fakeProvider) {
			w.nodes[0].neverRuns, w.nodes[0].service.State = false, "Running"
		}, 4, "is healthy"},
		{"healthy_and_forced", func(w *world) { w.nodes[0].neverRuns = true }, func(w *world, e *Engine, _ *fakeProvider) {
			w.nodes[0].neverRuns, w.nodes[0].service.State = false, "Running"
			e.Rules.Recover = procedure.RecoverForce
		}, 0, ""},
		{"data_on_the_disks", func(w *world) { w.nodes[0].neverRuns, w.nodes[0].onDisks = true, []string{"Octopus.Home"} }, nil, 4, "take back what it wrote since to this machine's disks: Octopus.Home"},
		{"data_on_the_disks_that_may_go", func(w *world) { w.nodes[0].neverRuns, w.nodes[0].onDisks = true, []string{"Octopus.Home"} }, func(_ *world, e *Engine, _ *fakeProvider) {
			e.Rules.Recover = procedure.RecoverLoseData
		}, 0, ""},
		{"data_on_the_disks_before_start", func(w *world) { w.nodes[0].neverBack, w.nodes[0].onDisks = true, []string{"Octopus.Home"} }, nil, 0, ""},
		{"octopus_was_upgraded", func(w *world) { w.nodes[0].neverRuns = true }, func(w *world, _ *Engine, _ *fakeProvider) { w.nodes[0].version = "2027.1" }, 4, "somebody has upgraded Octopus since"},
		{"another_node_was_upgraded", func(w *world) { w.nodes[0].neverBack = true }, func(w *world, _ *Engine, _ *fakeProvider) { w.nodes[1].version = "2027.1" }, 4, "node B: runs Octopus 2027.1"},
		{"precaution_is_gone", func(w *world) { w.nodes[0].neverBack = true }, func(_ *world, _ *Engine, f *fakeProvider) { clear(f.points) }, 4, "is not there any more"},
		{"another_provider", func(w *world) { w.nodes[0].neverBack = true }, func(_ *world, e *Engine, _ *fakeProvider) { e.Rules.Precaution = "none" }, 4, "was taken with fake"},
		{"somebody_elses_and_no_host", func(w *world) { w.nodes[0].neverBack = true }, func(_ *world, e *Engine, _ *fakeProvider) { e.Owner = "bob@jump" }, 4, "OCTOPATCH_TAKEOVER=run1"},
		{"somebody_elses_taken_over", func(w *world) { w.nodes[0].neverBack = true }, func(_ *world, e *Engine, _ *fakeProvider) { e.Owner, e.Takeover = "bob@jump", "run1" }, 0, ""},
		{"no_copy_and_no_host", func(w *world) { w.nodes[0].neverBack = true }, func(_ *world, e *Engine, _ *fakeProvider) { e.Copy = keeper{}.copy }, 4, "has no copy of a journal"},
		{"no_run_is_open", func(w *world) { w.nodes[0].neverRuns = true }, func(w *world, _ *Engine, _ *fakeProvider) { w.nodes[0].journal = nil }, 4, "no run is open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, e, f, _ := recoverWorld(t, c.spoil, keeper{})
				if c.setup != nil {
					c.setup(w, e, f)
				}
				began := len(w.writes)
				r := e.Recover(context.Background())
				if r.Exit != c.exit || c.says != "" && (r.Err == nil || !strings.Contains(r.Err.Error(), c.says)) {
					t.Errorf("exit %d, %v; want %d and %q", r.Exit, r.Err, c.exit, c.says)
				}
				wrote := slices.DeleteFunc(slices.Clone(w.writes[began:]), func(what string) bool {
					return strings.HasPrefix(what, "host lease ") || strings.HasPrefix(what, "host release ")
				})
				if c.exit == 4 && len(wrote) > 0 {
					t.Errorf("refused, and yet wrote %q", wrote)
				}
			})
		})
	}
}

// TestRecoverInTheSoak: the runner dies, or is interrupted, after it has opened the node, and the machine goes down:
// neither it nor, of a single server, Octopus answers. It is closed again before it is reverted, where Octopus can be
// told so.
func TestRecoverInTheSoak(t *testing.T) {
	hosts := map[string]func(*fakeNode){"host": func(n *fakeNode) { n.hostDown = true }, "service": func(n *fakeNode) { n.service.State = "Stopped" }}
	for _, nodes := range []string{"A", "A B"} {
		for _, end := range []string{"dead", "interrupted"} {
			for what, down := range hosts {
				t.Run(nodes+" "+end+" "+what, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { recoverInTheSoak(t, nodes, end == "dead", down) })
				})
			}
		}
	}
}

func recoverInTheSoak(t *testing.T, nodes string, dies bool, down func(*fakeNode)) {
	w, kept := newWorld(strings.Fields(nodes)...), keeper{}
	before, _, _ := strings.Cut(w.snapshot(), "\nB ") // the dead one's lease on B grows stale by itself
	e, _, f := w.engineWithProvider()
	e.Keep, e.Copy, e.Rules.Soak = kept.keep, kept.copy, 10*time.Minute
	ctx, cancel := context.WithCancel(context.Background())
	w.dead = cancel
	w.inject = func(_ int, what string) string {
		switch {
		case what != "octopus drain false A" && what != "octopus maintenance false":
		case dies:
			return "dead after"
		default:
			time.AfterFunc(5*time.Minute, cancel)
		}
		return ""
	}
	if r := e.RunAll(ctx); r.Exit != ExitInterrupted || w.node("A").ubr == 100 {
		t.Fatalf("exit %d, %v", r.Exit, r.Err)
	}
	w.inject, w.died, w.late, w.harmful = nil, false, nil, nil
	down(w.nodes[0])
	time.Sleep(2 * time.Hour)
	began := len(w.writes)
	e, events := w.engine()
	e.Run, e.Node, e.Provider, e.Rules.Precaution, e.Rules.PrecautionTimeout = "other", "A", f, "fake", 30*time.Minute
	e.Keep, e.Copy = kept.keep, kept.copy
	if r := e.Recover(context.Background()); r.Exit != ExitDone || w.node("A").ubr != 100 {
		t.Errorf("exit %d, %v\n%v", r.Exit, r.Err, events.events)
	}
	if got, _, _ := strings.Cut(w.snapshot(), "\nB "); got != before {
		t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
	}
	wrote := w.writes[began:]
	closed, reverted := slices.Index(wrote, "octopus drain true A"), slices.Index(wrote, "precaution revert A")
	if nodes != "A" && (closed < 0 || closed > reverted) {
		t.Errorf("it is reverted while it may take tasks: %q", wrote)
	}
}

// TestDeathWhileItIsClosedForTheRevert: a recovery that dies at the drain before the revert, of a host that is silent,
// is gone through again.
func TestDeathWhileItIsClosedForTheRevert(t *testing.T) {
	for _, fate := range []string{"dead before", "dead after"} {
		synctest.Test(t, func(t *testing.T) {
			w, kept := newWorld("A", "B"), keeper{}
			before, _, _ := strings.Cut(w.snapshot(), "\nB ")
			e, _, f := w.engineWithProvider()
			e.Keep, e.Copy = kept.keep, kept.copy
			w.killed(t, e, "octopus drain false A")
			w.nodes[0].hostDown = true
			again := func(ctx context.Context) Result {
				next, _ := w.engine()
				next.Node, next.Provider, next.Rules, next.Keep, next.Copy = "A", f, e.Rules, kept.keep, kept.copy
				return next.Recover(ctx)
			}
			ctx, cancel := context.WithCancel(context.Background())
			w.dead = cancel
			w.inject = func(_ int, what string) string {
				if what == "octopus drain true A" {
					return fate
				}
				return ""
			}
			again(ctx)
			if !w.died || w.node("A").ubr == 100 {
				t.Fatalf("it was not killed before the revert: %q", w.writes)
			}
			w.inject, w.died, w.late, w.harmful = nil, false, nil, nil
			time.Sleep(2 * time.Hour)
			if r := again(context.Background()); r.Exit != ExitDone || w.node("A").ubr != 100 {
				t.Errorf("%s: exit %d, %v", fate, r.Exit, r.Err)
			}
			if got, _, _ := strings.Cut(w.snapshot(), "\nB "); got != before {
				t.Errorf("%s: the world differs (+got, -want):\n%s", fate, cmp.Diff(before, got))
			}
		})
	}
}

// TestRecoverOfAServerThatRefusesOurLogin: a server that is not well may say anything, and is closed, as the
// journal says. One that was opened is not reverted under its users.
func TestRecoverOfAServerThatRefusesOurLogin(t *testing.T) {
	for _, opened := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, kept := newWorld("A"), keeper{}
			w.inject = func(_ int, what string) string {
				w.nodes[0].sick = w.nodes[0].sick || what == "host start A"
				return ""
			}
			e, _, f := w.engineWithProvider()
			e.Keep, e.Copy = kept.keep, kept.copy
			if r := e.RunAll(context.Background()); r.Exit != ExitFailed {
				t.Fatalf("exit %d, %v", r.Exit, r.Err)
			}
			w.nodes[0].journal.Octopus.Released = opened
			w.denied = true
			second, _ := w.engine()
			second.Run, second.Node, second.Provider, second.Rules = "other", "A", f, e.Rules
			second.Keep, second.Copy = kept.keep, kept.copy
			r := second.Recover(context.Background())
			reverted := slices.Contains(w.writes, "precaution revert A")
			if reverted == opened || opened && !strings.Contains(fmt.Sprint(r.Err), "401") {
				t.Errorf("opened %v: exit %d, %v; reverted %v", opened, r.Exit, r.Err, reverted)
			}
		})
	}
}

// TestRecoverLeavesAFinishedRunAlone: the copy of a run that ended well, with its precaution kept, is no open run,
// and much may have happened on the machine since, whether it answers or not.
func TestRecoverLeavesAFinishedRunAlone(t *testing.T) {
	for name, says := range map[string]string{"answers": "no run is open", "silent": "has ended there"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, kept := newWorld("A", "B"), keeper{}
				e, _, f := w.engineWithProvider()
				e.Keep, e.Copy = kept.keep, kept.copy
				e.Rules.PrecautionKeep = 72 * time.Hour
				if r := e.RunAll(context.Background()); r.Exit != ExitDone || len(f.points) != 2 {
					t.Fatalf("exit %d, %v; points %v", r.Exit, r.Err, f.points)
				}
				w.nodes[0].hostDown = name == "silent"
				began := len(w.writes)
				e, _ = w.engine()
				e.Run, e.Node, e.Provider, e.Rules.Precaution = "other", "A", f, "fake"
				e.Keep, e.Copy = kept.keep, kept.copy
				if r := e.Recover(context.Background()); r.Exit != ExitRefused || len(w.writes) != began || !strings.Contains(fmt.Sprint(r.Err), says) {
					t.Errorf("exit %d, %v; writes %v", r.Exit, r.Err, w.writes[began:])
				}
			})
		})
	}
}

// TestRecoverByItself: a node that would be held serves again as before patching, and the run has failed.
func TestRecoverByItself(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"never_back": func(w *world) { w.nodes[0].neverBack = true },
		"never_runs": func(w *world) { w.nodes[0].neverRuns = true },
		"ill_in_the_soak": func(w *world) {
			w.inject = func(_ int, what string) string {
				if what == "octopus drain false A" && w.nodes[0].ubr > 100 {
					w.nodes[0].service.State = "Stopped"
				}
				return ""
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("A", "B")
				before := w.snapshot()
				spoil(w)
				e, events, _ := w.engineWithProvider()
				e.Rules.OnFailure = procedure.OnFailureRevert
				r := e.RunAll(context.Background())
				if r.Exit != ExitStopped && r.Exit != ExitFailed || w.snapshot() != before || w.node("A").ubr != 100 {
					t.Errorf("exit %d, %v; UBR %d; world %s", r.Exit, r.Err, w.node("A").ubr, cmp.Diff(before, w.snapshot()))
				}
				if !strings.Contains(r.Nodes[0].Reason, "recovered") || r.Nodes[0].Next != "" {
					t.Errorf("the node's end: %q, next %q", r.Nodes[0].Reason, r.Nodes[0].Next)
				}
				n := 0
				for _, ev := range events.events {
					if ev.Type == procedure.PhaseEnded && ev.Node == "A" && ev.Phase == procedure.Recover {
						n++
					}
				}
				if n != 1 {
					t.Errorf("%d ends of recover", n)
				}
			})
		})
	}
}

// TestRecoverThatIsNotProved: what came back is not the earlier system, so the node stays out of service and
// its state is unknown.
func TestRecoverThatIsNotProved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e, _, _ := recoverWorld(t, func(w *world) { w.nodes[0].neverBack = true }, keeper{})
		time.AfterFunc(time.Minute, func() { defer w.locked()(); w.nodes[0].ubr = 999 })
		r := e.Recover(context.Background())
		if r.Exit != ExitUnknown || !strings.Contains(r.Err.Error(), "it is 20348.999 and was 20348.100") || w.node("A").service.State != "Stopped" {
			t.Errorf("exit %d, %v; service %s", r.Exit, r.Err, w.node("A").service.State)
		}
	})
}

// slowPoint is a restore point: Windows goes back to it while it restarts, which it does some time after it was asked.
type slowPoint struct{ *fakeProvider }

func (slowPoint) Rewinds() string { return procedure.RewindsWindows }

func (f slowPoint) Revert(ctx context.Context, p procedure.Point, say func(string)) error {
	time.AfterFunc(10*time.Second, func() { _ = f.fakeProvider.Revert(ctx, p, say) })
	return nil
}

// TestRecoverAwaitsTheRestart: a restore point is gone back to by a restart, also of a host that had none since the stop.
func TestRecoverAwaitsTheRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		before, boot := w.snapshot(), w.nodes[0].boot
		w.nodes[0].neverRuns = true
		e, _, f := w.engineWithProvider()
		e.Provider, e.Rules.Reboot = slowPoint{f}, procedure.RebootNever
		kept := keeper{}
		e.Keep, e.Copy = kept.keep, kept.copy
		if r := e.RunAll(context.Background()); r.Exit != ExitFailed || w.nodes[0].boot != boot {
			t.Fatalf("exit %d, %v, boot %d", r.Exit, r.Err, w.nodes[0].boot)
		}
		second, _ := w.engine()
		second.Node, second.Provider, second.Rules, second.Keep, second.Copy = "A", e.Provider, e.Rules, e.Keep, e.Copy
		if r := second.Recover(context.Background()); r.Exit != ExitDone || w.snapshot() != before || w.nodes[0].reverts != 1 {
			t.Errorf("exit %d, %v, %d reverts; the world (+got, -want):\n%s", r.Exit, r.Err, w.nodes[0].reverts, cmp.Diff(before, w.snapshot()))
		}
	})
}
