package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// TestTheReportOfATakeOver counts what the killed process has brought as well, begins where that one began, and says of
// which time nothing is known.
func TestTheReportOfATakeOver(t *testing.T) {
	for _, names := range []string{"A", "A B"} {
		for _, c := range []struct {
			at  string
			nth int
		}{{"host stop A", 1}, {"host install A", 1}, {"host reboot A", 1}, {"host install A", 2}, {"host reboot A", 2}, {"host start A", 1}, {"octopus drain false A", 1}} {
			t.Run(fmt.Sprintf("%s, after %s %d", names, c.at, c.nth), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(strings.Fields(names)...)
					began := time.Now()
					var stopped, rebooted time.Time
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					w.dead = cancel
					seen := 0
					w.inject = func(_ int, what string) string {
						switch what {
						case "host stop A":
							stopped = time.Now()
						case "host reboot A":
							if rebooted.IsZero() {
								rebooted = time.Now()
							}
						}
						if what == c.at {
							if seen++; seen == c.nth {
								return "dead after"
							}
						}
						return ""
					}
					e, _ := w.engine()
					w.named(e)
					e.Nodes = e.Nodes[:1]
					e.RunAll(ctx)
					w.inject, w.died, w.late = nil, false, nil
					time.Sleep(3 * time.Hour)
					again := time.Now()
					e, events := w.engine()
					e.Hook = func(context.Context, Moment) error { time.Sleep(time.Second); return nil } // as nothing else here takes time
					w.named(e)
					e.Nodes = e.Nodes[:1]
					r := e.RunAll(context.Background())
					if r.Exit != ExitDone {
						t.Fatalf("exit %d, %v", r.Exit, r.Err)
					}
					n := r.Nodes[0]
					var kbs []string
					for _, o := range n.Installed {
						kbs = append(kbs, o.KBs...)
					}
					if !slices.Equal(kbs, []string{"5000001", "5000002"}) || n.Reboots != 2 || n.Before.UBR != 100 || n.After.UBR != 102 {
						t.Errorf("installed %q, %d reboots, UBR %d to %d", kbs, n.Reboots, n.Before.UBR, n.After.UBR)
					}
					line := n.Timeline
					if line.Drained.Unix() > stopped.Unix() || line.ServiceDown.Unix() != stopped.Unix() || line.HostDown.IsZero() || !rebooted.IsZero() && line.HostDown.Unix() != rebooted.Unix() || line.Reopened.Before(again) {
						t.Errorf("the timeline is %+v; it was stopped at %s, and rebooted at %s", line, stopped, rebooted)
					}
					for _, p := range n.Phases {
						if (p.Phase == procedure.Enter || p.Phase == procedure.Wait) && p.Result == procedure.Skipped && (p.Started.After(stopped) || !strings.Contains(p.Reason, "it ended as done then")) {
							t.Errorf("%s: %+v", p.Phase, p)
						}
					}
					d := r.Downtime
					if d.Unseen == nil || d.Unseen.From.Before(began) || d.Unseen.From.After(stopped) {
						t.Fatalf("unseen: %+v", d.Unseen)
					}
					known := names == "A" && c.at != "host start A" && c.at != "octopus drain false A" // the only server is stopped since
					switch {
					case known && (d.Unseen.To.Unix() != stopped.Unix() || len(d.Intervals) == 0 || d.Intervals[0].From.Unix() != stopped.Unix() || d.Seconds < (3*time.Hour).Seconds()):
						t.Errorf("downtime: %+v; stopped at %s", d, stopped)
					case !known && (d.Unseen.To.Before(again) || d.Seconds > time.Hour.Seconds()):
						t.Errorf("downtime: %+v; gone on at %s", d, again)
					}
					onePhaseEndEach(t, events, []string{"A"})
				})
			})
		}
	}
}
