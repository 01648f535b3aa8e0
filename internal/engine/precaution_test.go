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

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

// fakeProvider keeps recovery points in memory, of the machines of a world.
type fakeProvider struct {
	w         *world
	points    map[string]procedure.Point // by machine and name
	disks     map[string]fakeNode        // the machine as it was, by the same
	databases map[string]database        // what of Octopus' database lies on its disks
	left      []procedure.Leftover
	refuses   error
	takeFails bool
	vanishes  bool // what was taken is not there afterwards
	lesser    bool // what was taken is less than was asked for
}

func newProvider(w *world) *fakeProvider {
	return &fakeProvider{w: w, points: map[string]procedure.Point{}, disks: map[string]fakeNode{}, databases: map[string]database{}}
}

func (f *fakeProvider) Check(context.Context, procedure.Machine) ([]procedure.Leftover, error) {
	return f.left, f.refuses
}

func (f *fakeProvider) Take(_ context.Context, p procedure.Point, progress func(string)) error {
	defer f.w.locked()()
	n := f.w.node(p.Node)
	if n.service.State != "Stopped" {
		return errors.New("the service still runs")
	}
	if _, there := f.points[p.Node+p.Name]; there {
		if f.lesser {
			return &procedure.Fault{Subject: p.Node, Problem: "it was taken without quiescing"}
		}
		return nil
	}
	f.w.tries("precaution take " + p.Node)
	if f.w.died {
		return errDead
	}
	apply, err := f.w.write("precaution take " + p.Node)
	if f.takeFails {
		return &procedure.Fault{Subject: p.Node, Problem: "no space on the datastore", Remedy: "make room"}
	}
	if apply && !f.vanishes {
		f.points[p.Node+p.Name] = p
		disk := *n
		journal := *n.journal
		disk.journal = &journal
		if n.lease != nil {
			lease := *n.lease
			disk.lease = &lease
		}
		f.disks[p.Node+p.Name], f.databases[p.Node+p.Name] = disk, f.w.db.copy()
	}
	progress("100 %")
	return err
}

func (f *fakeProvider) Find(_ context.Context, p procedure.Point) (bool, error) {
	defer f.w.locked()()
	_, there := f.points[p.Node+p.Name]
	return there, nil
}

// Revert puts the disks back and boots: what Octopus knows of the node is not on them.
func (f *fakeProvider) Revert(_ context.Context, p procedure.Point, _ func(string)) error {
	defer f.w.locked()()
	disk, there := f.disks[p.Node+p.Name]
	f.w.tries("precaution revert " + p.Node)
	if f.w.died {
		return errDead
	}
	if !there {
		return errors.New("no such point")
	}
	apply, err := f.w.write("precaution revert " + p.Node)
	if apply {
		n := f.w.node(p.Node)
		journal := *disk.journal
		n.service, n.watchdog, n.journal, n.ubr, n.queue, n.pending = disk.service, disk.watchdog, &journal, disk.ubr, disk.queue, disk.pending
		n.deadman, n.copy, n.job, n.result = disk.deadman, disk.copy, disk.job, disk.result // they lie on the disks, too
		if n.lease = nil; disk.lease != nil {                                               // rewound as well
			lease := *disk.lease
			n.lease = &lease
		}
		if n.ownDatabase {
			f.w.db = f.databases[p.Node+p.Name].copy()
			f.w.maintenance, n.state.Drained = f.w.db.rows["maintenance"] == "true", f.w.db.rows["node "+p.Node+" drained"] == "true"
		}
		n.neverBack, n.neverRuns, n.sick, n.hostDown = false, false, false, true
		n.boot++
		n.reverts++
		time.AfterFunc(3*time.Minute, func() {
			defer f.w.locked()()
			n.hostDown, n.started = false, time.Now()
		})
	}
	return err
}

func (f *fakeProvider) Remove(_ context.Context, p procedure.Point) error {
	defer f.w.locked()()
	f.w.tries("precaution remove " + p.Node)
	if f.w.died {
		return errDead
	}
	apply, err := f.w.write("precaution remove " + p.Node)
	if apply {
		delete(f.points, p.Node+p.Name)
	}
	return err
}

func (f *fakeProvider) Rewinds() string { return procedure.RewindsDisks }

func (w *world) engineWithProvider() (*Engine, *recorder, *fakeProvider) {
	e, r := w.engine()
	f := newProvider(w)
	e.Provider, e.Rules.Precaution, e.Rules.PrecautionTimeout = f, "fake", 30*time.Minute
	return e, r, f
}

// TestPrecautionThreeWays: taken between stop and patch, removed after the soak; each write of it works, fails
// unapplied and fails applied, and the run ends as if nothing had happened.
func TestPrecautionThreeWays(t *testing.T) {
	var writes []string
	run := func(t *testing.T, inject func(int, string) string) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld("A", "B")
			before := w.snapshot()
			w.inject = inject
			e, events, f := w.engineWithProvider()
			r := e.RunAll(context.Background())
			if r.Exit != ExitDone || len(f.points) != 0 || w.snapshot() != before {
				t.Errorf("exit %d, %v; left %v; world %s", r.Exit, r.Err, f.points, cmp.Diff(before, w.snapshot()))
			}
			for _, n := range r.Nodes {
				if n.Precaution == nil || n.Precaution.State != procedure.PrecautionRemoved || n.Precaution.Name != "octopatch-run1-"+n.Node {
					t.Errorf("the report says %+v", n.Precaution)
				}
			}
			onePhaseEndEach(t, events, []string{"A", "B"})
			writes = w.writes
		})
	}
	run(t, nil)
	ours := []string{}
	for i, what := range writes {
		if !strings.HasPrefix(what, "precaution ") {
			continue
		}
		ours = append(ours, what)
		for _, mode := range []string{"unapplied", "lost"} {
			t.Run(what+" "+mode, func(t *testing.T) {
				run(t, func(n int, _ string) string {
					if n == i+1 {
						return mode
					}
					return ""
				})
			})
		}
	}
	if want := []string{"precaution take A", "precaution remove A", "precaution take B", "precaution remove B"}; !slices.Equal(ours, want) {
		t.Errorf("the precaution's writes are %q, want %q", ours, want)
	}
	at := func(what string) int { return slices.Index(writes, what) }
	if at("host stop A") > at("precaution take A") || at("precaution take A") > at("host install A") || at("octopus drain false A") > at("precaution remove A") {
		t.Errorf("the order of writes is %q", writes)
	}
}

func TestPrecautionOutcomes(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup func(*Engine, *world, *fakeProvider)
		exit  int
		says  string // part of the error, or of a warning where the exit code is 0
		left  int
		state string
	}{
		{"kept", func(e *Engine, _ *world, _ *fakeProvider) { e.Rules.PrecautionKeep = 72 * time.Hour }, 0, "", 1, procedure.PrecautionKept},
		{"cannot_be_taken", func(_ *Engine, _ *world, f *fakeProvider) { f.takeFails = true }, 1, "no space", 0, procedure.PrecautionRemoved},
		{"is_not_there_afterwards", func(_ *Engine, _ *world, f *fakeProvider) { f.vanishes = true }, 1, "did not take effect", 0, procedure.PrecautionRemoved},
		{"is_less_than_asked_for_and_the_answer_was_lost", func(_ *Engine, w *world, f *fakeProvider) {
			f.lesser = true
			w.inject = func(_ int, what string) string {
				if what == "precaution take A" {
					return "lost"
				}
				return ""
			}
		}, 1, "without quiescing", 0, procedure.PrecautionRemoved},
		{"refused_by_preflight", func(_ *Engine, _ *world, f *fakeProvider) {
			f.refuses = procedure.Refuse("OCTOPATCH_X", "no such machine", "correct it")
		}, 4, "no such machine", 0, ""},
		{"forgotten_one", func(_ *Engine, _ *world, f *fakeProvider) {
			f.left = []procedure.Leftover{{Name: "octopatch-old-A"}, {Name: "octopatch-kept-A", Expires: time.Now().Add(time.Hour)}}
		}, 0, "octopatch-old-A of an earlier run is still there", 0, procedure.PrecautionRemoved},
		{"kept_while_unhealthy", func(_ *Engine, w *world, _ *fakeProvider) { w.nodes[0].neverRuns = true }, 1, "Running", 1, procedure.PrecautionTaken},
		{"removed_although_an_update_failed", func(_ *Engine, w *world, _ *fakeProvider) { w.nodes[0].fails = "5000001" }, 1, "KB5000001", 0, procedure.PrecautionRemoved},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("A")
				e, events, f := w.engineWithProvider()
				c.setup(e, w, f)
				r := e.RunAll(context.Background())
				text := fmt.Sprint(r.Err)
				for _, ev := range events.events {
					text += "\n" + ev.Message
				}
				if r.Exit != c.exit || !strings.Contains(text, c.says) {
					t.Errorf("exit %d, want %d; %q is not in %s", r.Exit, c.exit, c.says, text)
				}
				if strings.Contains(text, "octopatch-kept-A") {
					t.Error("it warns of one that has not expired")
				}
				if len(f.points) != c.left {
					t.Errorf("left: %v, want %d", f.points, c.left)
				}
				for _, p := range f.points {
					if c.name == "kept" && procedure.LeftoverOf(p.Name, p.Description()).Expires.IsZero() {
						t.Errorf("no expiry can be read from %q", p.Description())
					}
				}
				if c.exit == 1 && c.state == procedure.PrecautionRemoved && w.node("A").service.State != "Running" {
					t.Error("the node was not put back")
				}
				if c.exit != 4 && (r.Nodes[0].Precaution == nil || r.Nodes[0].Precaution.State != c.state) {
					t.Errorf("the report says %+v, want %s", r.Nodes[0].Precaution, c.state)
				}
			})
		})
	}
}

// TestPrecautionIsAskedForBeforeItIsTaken: whether one can be taken is asked of a node until this run has taken its
// own; a run that is gone on with after its removal is not refused for what the removal still does.
func TestPrecautionIsAskedForBeforeItIsTaken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		taken   *procedure.TakenPrecaution
		started bool
		refused bool
	}{
		{"no run is open", nil, false, true},
		{"being taken", &procedure.TakenPrecaution{Provider: "hyperv", State: procedure.PrecautionTaking}, false, false},
		{"taken", &procedure.TakenPrecaution{Provider: "hyperv", State: procedure.PrecautionTaken}, false, false},
		{"taken by another provider", &procedure.TakenPrecaution{Provider: "vsphere", State: procedure.PrecautionTaken}, true, true},
		{"half taken and removed", &procedure.TakenPrecaution{Provider: "hyperv", State: procedure.PrecautionRemoved}, false, true},
		{"removed at the end", &procedure.TakenPrecaution{Provider: "hyperv", State: procedure.PrecautionRemoved}, true, false},
	} {
		e := &Engine{Rules: procedure.Rules{Precaution: "hyperv"}, Provider: &fakeProvider{refuses: errors.New("disks are merged")}}
		target := newTarget("OCTO-01", "octo-01")
		if c.taken != nil {
			target.facts.Journal = &procedure.Journal{Precaution: c.taken, Octopus: procedure.OctopusPrior{StartBegan: c.started}}
		}
		if err := e.checkPrecaution(t.Context(), target); (err != nil) != c.refused {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
