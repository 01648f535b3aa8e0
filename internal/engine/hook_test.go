package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

// TestHookVeto: whatever phase a hook forbids, exit code 5, nothing was patched and the world is as before;
// the hooks of what puts it back run as well.
func TestHookVeto(t *testing.T) {
	for _, phase := range []string{procedure.Enter, procedure.Wait, procedure.Stop, procedure.Patch} {
		t.Run(phase, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("A", "B")
				before := w.snapshot()
				e, events := w.engine()
				var ran []string
				e.Hook = func(_ context.Context, m Moment) error {
					ran = append(ran, strings.Join([]string{m.When, m.Phase, m.Machine.Node, string(m.Result.Kind)}, " "))
					if m.When == Before && m.Phase == phase {
						return errors.New("a ticket is missing")
					}
					return nil
				}
				r := e.RunAll(context.Background())
				if r.Exit != ExitStopped || !strings.Contains(r.Err.Error(), "a ticket is missing") {
					t.Errorf("exit %d, %v", r.Exit, r.Err)
				}
				if got := w.snapshot(); got != before {
					t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
				}
				if w.node("A").ubr != 100 {
					t.Error("it was patched")
				}
				for _, line := range ran {
					if strings.HasPrefix(line, "after "+phase) {
						t.Errorf("%q ran although the phase was not begun", line)
					}
				}
				if phase == procedure.Patch && !strings.Contains(strings.Join(ran, "\n"), "after exit A done") {
					t.Errorf("the hooks that ran are %q", ran)
				}
				onePhaseEndEach(t, events, []string{"A", "B"})
			})
		})
	}
}

// TestHookAfterChangesNothing, and stands around each phase that does something.
func TestHookAfterChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A")
		e, _ := w.engine()
		var ran []string
		e.Hook = func(_ context.Context, m Moment) error {
			ran = append(ran, strings.TrimSpace(m.When+" "+m.Phase+" "+string(m.Result.Kind)))
			if m.When == After {
				return errors.New("no network")
			}
			return nil
		}
		r := e.RunAll(context.Background())
		want := []string{"before schedule", "after schedule done", "before enter", "after enter done", "before wait", "after wait done", "before stop", "after stop done",
			"before patch", "after patch done", "before start", "after start done", "before exit", "after exit done"}
		if r.Exit != ExitDone || !cmp.Equal(ran, want) {
			t.Errorf("exit %d, %v; hooks (+got, -want):\n%s", r.Exit, r.Err, cmp.Diff(want, ran))
		}
	})
}

// fakePatcher is the operator's patch command.
type fakePatcher func() error

func (f fakePatcher) Patch(context.Context, procedure.Machine, string, func(string)) error {
	return f()
}

// TestPatchCommand: no Windows Update is asked, every node is begun, and reboots stay ours.
func TestPatchCommand(t *testing.T) {
	for _, c := range []struct {
		name    string
		pending bool
		err     error
		exit    int
		boots   int
	}{
		{"without_reboot", false, nil, ExitDone, 0},
		{"with_reboot", true, nil, ExitDone, 1},
		{"fails", true, errors.New("exit code 3"), ExitFailed, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("A")
				before := w.snapshot()
				e, _ := w.engine()
				e.Patcher = fakePatcher(func() error {
					defer w.locked()()
					if w.node("A").service.State != "Stopped" {
						t.Error("it runs before the service is stopped")
					}
					if c.pending {
						w.node("A").pending = []string{"Windows Update"}
					}
					return c.err
				})
				r := e.RunAll(context.Background())
				if r.Exit != c.exit || w.node("A").boot-1 != c.boots || w.snapshot() != before {
					t.Errorf("exit %d, %v; %d reboots; world %s", r.Exit, r.Err, w.node("A").boot-1, cmp.Diff(before, w.snapshot()))
				}
				if c.err != nil && !strings.Contains(r.Err.Error(), "exit code 3") {
					t.Errorf("got %v", r.Err)
				}
				for _, what := range w.writes {
					if strings.HasPrefix(what, "host install") {
						t.Error("Windows Update was asked to install")
					}
				}
			})
		})
	}
}
