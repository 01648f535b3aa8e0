package engine

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

// TestAFolderThatCannotBeRemoved changes nothing about how the run ended; whoever comes next knows that it has, and
// removes it.
func TestAFolderThatCannotBeRemoved(t *testing.T) {
	for _, c := range []struct {
		name     string
		fails    string // what fails besides
		kept     bool   // the next process has the copies of the first
		finished bool   // it is known to have ended
		next     string
	}{
		{"", "", false, true, "run"},
		{"by enter", "", false, true, procedure.Enter},
		{"its end is not written either", "host record A", false, false, "run"},
		{"its end is at the runner", "host record A", true, true, "run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("A")
				before := w.snapshot()
				kept := keeper{}
				failing := false
				w.inject = func(_ int, what string) string {
					failing = failing || what == "host clear A"
					if failing && (what == "host clear A" || what == c.fails) {
						return "unapplied"
					}
					return ""
				}
				e, events := w.engine()
				e.Keep = kept.keep
				if r := e.RunAll(context.Background()); r.Exit != ExitDone || r.Next != "" {
					t.Errorf("exit %d, next %q, %v", r.Exit, r.Next, r.Err)
				}
				told := ""
				for _, ev := range events.events {
					if ev.Type == procedure.Warning {
						told += ev.Message + "\n"
					}
				}
				if !strings.Contains(told, "the next octopatch run removes them") || !strings.Contains(told, `%ProgramData%\octopatch`) {
					t.Errorf("it does not say how it goes: %q", told)
				}
				w.inject = nil
				time.Sleep(2 * time.Hour)
				process := func() *Engine {
					e, _ := w.engine()
					w.named(e)
					e.Run, e.Node = "another", "A"
					if c.kept {
						e.Copy = kept.copy
					}
					return e
				}
				open, err := process().Status(context.Background())
				if err != nil || len(open) != 1 || open[0].Finished != c.finished {
					t.Errorf("status: %v, %+v", err, open)
				}
				if c.next == procedure.Enter {
					if r := process().Alone(context.Background(), phaseOf(t, procedure.Enter)); r.Exit != ExitDone || r.Run != "another" || w.nodes[0].journal.Run != "another" {
						t.Errorf("exit %d, run %s, %v", r.Exit, r.Run, r.Err)
					}
					return
				}
				r := process().RunAll(context.Background())
				if r.Exit != ExitDone || (r.Run == "another") != c.finished {
					t.Errorf("exit %d, run %s, %v", r.Exit, r.Run, r.Err)
				}
				if got := w.snapshot(); got != before || w.nodes[0].boot != 3 {
					t.Errorf("booted %d times; the world differs (+got, -want):\n%s", w.nodes[0].boot-1, cmp.Diff(before, got))
				}
			})
		})
	}
}

func phaseOf(t *testing.T, name string) procedure.Phase {
	t.Helper()
	p, ok := procedure.Find(name)
	if !ok {
		t.Fatal(name)
	}
	return p
}
