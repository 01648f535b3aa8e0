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

// alone runs one phase with a new engine, as another process on another machine would.
func alone(w *world, phase, node string) Result {
	p, _ := procedure.Find(phase)
	e, _ := w.engine()
	e.Run = "run-of-" + phase // only the first phase's run id may reach the journal
	e.Node = node
	return e.Alone(context.Background(), p)
}

func TestEachPhaseFromItsOwnProcess(t *testing.T) {
	for _, names := range [][]string{{"OCTO1"}, {"OCTO1", "OCTO2"}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(names...)
			w.nodes[0].watchdog = false // it was off before, and must be off afterwards
			before := w.snapshot()
			for _, name := range names {
				for _, p := range procedure.Phases() {
					if r := alone(w, p.Name, name); r.Exit != ExitDone {
						t.Fatalf("%s on %s: exit %d, %v", p.Name, name, r.Exit, r.Err)
					}
					if j := w.node(name).journal; j != nil && (j.Run != "run-of-enter" || j.Phases[p.Name].Result == "") {
						t.Errorf("after %s the journal says %+v", p.Name, j)
					}
				}
			}
			if got := w.snapshot(); got != before {
				t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
			}
			if n := w.nodes[0]; n.ubr != 102 {
				t.Errorf("UBR %d, want 102", n.ubr)
			}
		})
	}
}

func TestPhasesAloneKeepTheOrder(t *testing.T) {
	for _, c := range []struct{ done, phase, says string }{
		{"", "wait", "begin with octopatch enter"},
		{"", "exit", "begin with octopatch enter"},
		{"enter", "stop", "run octopatch wait first"},
		{"enter wait", "patch", "run octopatch stop first"},
		{"enter wait stop", "exit", "run octopatch start first"},
		{"enter wait stop patch", "exit", "run octopatch start first"},
	} {
		t.Run(fmt.Sprintf("%s after %q", c.phase, c.done), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("OCTO1", "OCTO2")
				for phase := range strings.FieldsSeq(c.done) {
					if r := alone(w, phase, "OCTO1"); r.Exit != ExitDone {
						t.Fatalf("%s: exit %d, %v", phase, r.Exit, r.Err)
					}
				}
				writes := len(w.writes)
				r := alone(w, c.phase, "OCTO1")
				if r.Exit != ExitRefused || !strings.Contains(fmt.Sprint(r.Err), c.says) {
					t.Errorf("exit %d, %v; want 4 and %q", r.Exit, r.Err, c.says)
				}
				if len(w.writes) != writes {
					t.Errorf("refused, and yet wrote %q", w.writes[writes:])
				}
			})
		})
	}
}

func TestAPhaseOfAClusterNeedsItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("OCTO1", "OCTO2")
		for _, phase := range []string{"enter", "stop"} {
			if r := alone(w, phase, ""); r.Exit != ExitRefused || !strings.Contains(fmt.Sprint(r.Err), "OCTOPATCH_NODE") {
				t.Errorf("%s: exit %d, %v", phase, r.Exit, r.Err)
			}
		}
	})
}

// TestRunOverAnUnfinishedRun: phases that ran alone have let go, so that any run goes on where they stand.
func TestRunOverAnUnfinishedRun(t *testing.T) {
	for _, done := range []string{"enter", "enter wait", "enter wait stop", "enter wait stop patch", "enter wait stop patch start"} {
		for _, names := range [][]string{{"OCTO1"}, {"OCTO1", "OCTO2"}} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(names...)
				before := w.snapshot()
				for phase := range strings.FieldsSeq(done) {
					if r := alone(w, phase, "OCTO1"); r.Exit != ExitDone {
						t.Fatalf("%s: exit %d, %v", phase, r.Exit, r.Err)
					}
				}
				named := func(e *Engine) { // a stopped Octopus cannot be asked which its nodes are
					e.All = false
					for _, name := range names {
						e.Nodes = append(e.Nodes, Listed{Name: name})
					}
				}
				e, events := w.engine()
				named(e)
				e.Owner = "another runner"
				if r := e.RunAll(context.Background()); r.Exit != ExitDone {
					t.Errorf("after %q: exit %d, %v", done, r.Exit, r.Err)
				}
				if got := w.snapshot(); got != before {
					t.Errorf("after %q the world differs (+got, -want):\n%s", done, cmp.Diff(before, got))
				}
				if n := w.nodes[0]; n.ubr != 102 {
					t.Errorf("after %q: UBR %d, want 102", done, n.ubr)
				}
				onePhaseEndEach(t, events, names)
			})
		}
	}
}

func TestStatusShowsAnOpenRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("OCTO1", "OCTO2")
		alone(w, "enter", "OCTO2")
		e, _ := w.engine()
		journals, err := e.Status(context.Background())
		if err != nil || len(journals) != 1 || journals[0].Node != "OCTO2" || !journals[0].Octopus.OursDrain {
			t.Errorf("got %+v, %v", journals, err)
		}
	})
}

func TestPlanChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("OCTO1", "OCTO2")
		w.nodes[1].queue = nil
		w.task("ServerTasks-1", "Deploy", "OCTO1", 0)
		before := w.snapshot()
		e, _ := w.engine()
		plan, r := e.Plan(context.Background())
		if r.Exit != ExitDone || len(w.writes) != 0 || w.snapshot() != before {
			t.Errorf("exit %d, %v, writes %q", r.Exit, r.Err, w.writes)
		}
		first, second := plan.Nodes[0], plan.Nodes[1]
		if len(first.Updates) != 1 || len(first.Skipped) != 1 || len(first.Holds) != 1 || first.Reason != "" {
			t.Errorf("the first node's plan is %+v", first)
		}
		if second.Reason != "nothing to install" {
			t.Errorf("the second node's plan is %+v", second)
		}
	})
}

func TestBrief(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{time.Hour: "1h", 90 * time.Minute: "1h30m", 2 * time.Minute: "2m", 90 * time.Second: "1m30s", 0: "0s", 30 * time.Second: "30s", 4*time.Hour + time.Second: "4h0m1s"} {
		if got := brief(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}
