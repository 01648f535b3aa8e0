package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// TestWindow: a node that cannot finish in the window is not begun; what the first took decides about the next.
func TestWindow(t *testing.T) {
	for _, c := range []struct {
		name    string
		length  time.Duration
		starts  time.Duration // from now; 0: with the run
		away    time.Duration // of the hosts in a reboot
		queue   time.Duration // how long a task keeps the first node from stopping
		exit    int
		says    string
		patched string
	}{
		{"none", 0, 0, time.Hour, 0, ExitDone, "", "A B C"},
		{"long", 4 * time.Hour, 0, 0, 0, ExitDone, "", "A B C"},
		{"short", 50 * time.Minute, 0, 0, 0, ExitStopped, "is taken to need 47m, with a reserve of 15m", ""},
		{"slow reboots", 4 * time.Hour, 0, 40 * time.Minute, 0, ExitStopped, "would need, as the one before, 1h", "A B"},
		{"first fits", 80 * time.Minute, 0, 20 * time.Minute, 0, ExitStopped, "node B would need", "A"},
		{"busy", 2 * time.Hour, 0, 0, 70 * time.Minute, ExitStopped, "leaves no time to patch it", ""},
		{"not yet", 4 * time.Hour, time.Hour, 0, 0, ExitRefused, "begins at", ""},
		{"over", time.Hour, -2 * time.Hour, 0, 0, ExitRefused, "ended at", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("A", "B", "C")
				before := w.snapshot()
				for _, n := range w.nodes {
					n.away = c.away
				}
				if c.queue > 0 {
					w.task("ServerTasks-1", "Deploy", "A", c.queue)
				}
				e, events := w.engine()
				e.Rules.WindowLength, e.Rules.DrainTimeout = c.length, 3*time.Hour
				if c.starts != 0 {
					e.Rules.WindowStart = time.Now().Add(c.starts)
				}
				r := e.RunAll(context.Background())
				var patched, reasons []string
				for _, n := range w.nodes {
					if n.ubr == 102 {
						patched = append(patched, n.state.Name)
					}
				}
				for _, n := range r.Nodes {
					reasons = append(reasons, n.Reason)
				}
				if r.Exit != c.exit || strings.Join(patched, " ") != c.patched || !strings.Contains(fmt.Sprint(reasons, r.Err), c.says) {
					t.Errorf("exit %d, patched %q, %q, %v", r.Exit, patched, reasons, r.Err)
				}
				if got := w.snapshot(); got != before {
					t.Errorf("not put back:\n%s", got)
				}
				if c.exit != ExitRefused {
					onePhaseEndEach(t, events, []string{"A", "B", "C"})
				}
			})
		})
	}
}

// TestAnOpenNodeIsFinishedAfterTheWindow: what is open is finished, the rest is left.
func TestAnOpenNodeIsFinishedAfterTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		before := w.snapshot()
		aloneThrough(t, w, "A", "enter wait stop")
		e, _ := w.engine()
		e.Rules.WindowLength, e.Rules.WindowStart = time.Hour, time.Now().Add(-2*time.Hour)
		r := e.RunAll(context.Background())
		if r.Exit != ExitStopped || w.node("A").ubr != 102 || w.node("B").ubr != 100 || w.snapshot() != before {
			t.Errorf("exit %d, %v\n%s", r.Exit, r.Err, w.snapshot())
		}
	})
}

// TestTheEndIsAskedAgain: after an idle sample that came late, and once the precaution is taken. Until patch begins
// everything can be put back, and is.
func TestTheEndIsAskedAgain(t *testing.T) {
	const least = 62 * time.Minute // what a node is taken to need, with its soak and reserve
	for _, c := range []struct {
		name    string
		names   string
		login   bool // it is the login that ends
		task    time.Duration
		drag    time.Duration // of the hook after precaution
		pending bool          // a reboot was pending before
		exit    int
		says    string
	}{
		{"idle in time", "A B", false, 9 * time.Minute, 0, false, ExitDone, ""},
		{"idle too late", "A B", false, 10*time.Minute + time.Second, 0, false, ExitStopped, "the window leaves no time"},
		{"idle too late for the login", "A B", true, 10*time.Minute + time.Second, 0, false, ExitStopped, "the login to Octopus leaves no time"},
		{"single, idle too late", "A", false, 10*time.Minute + time.Second, 0, false, ExitStopped, "the window leaves no time"},
		{"quick precaution", "A B", false, 0, 13 * time.Minute, false, ExitDone, ""},
		{"slow precaution", "A B", false, 0, 20 * time.Minute, false, ExitStopped, "patch: the window leaves no time"},
		{"slow precaution, reboot pending before", "A B", true, 0, 20 * time.Minute, true, ExitStopped, "patch: the login to Octopus leaves no time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(strings.Fields(c.names)...)
				before := w.snapshot()
				if c.task > 0 {
					w.task("ServerTasks-1", "Deploy", "A", c.task)
				}
				if c.pending {
					w.nodes[0].pending = []string{"component servicing"}
				}
				e, events, f := w.engineWithProvider()
				e.Nodes, e.All = []Listed{{Name: "A"}}, false
				e.Rules.DrainTimeout, e.Rules.HookTimeout = 3*time.Hour, time.Hour
				if c.login {
					e.LoginEnds = time.Now().Add(least)
				} else {
					e.Rules.WindowLength = least
				}
				e.Hook = func(_ context.Context, m Moment) error {
					if m.When == After && m.Phase == procedure.Precaution {
						time.Sleep(c.drag)
					}
					return nil
				}
				r := e.RunAll(context.Background())
				if r.Exit != c.exit || !strings.Contains(fmt.Sprint(r.Err), c.says) || len(f.points) != 0 || w.snapshot() != before {
					t.Errorf("exit %d, %v; points %v; world\n%s", r.Exit, r.Err, f.points, w.snapshot())
				}
				if patched := w.node("A").boot > 1; patched != (c.exit == ExitDone) {
					t.Errorf("patched %t; writes %q", patched, w.writes)
				}
				onePhaseEndEach(t, events, []string{"A"})
			})
		})
	}
}
