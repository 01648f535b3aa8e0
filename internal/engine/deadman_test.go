package engine

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// TestHourOfTheSwitch: after a phase that ran alone the hour is told that the switch is set to, in the runner's time, and
// the switch goes by the host's clock.
func TestHourOfTheSwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		n := w.nodes[0]
		n.ahead = 7 * time.Minute
		for _, phase := range []string{procedure.Enter, procedure.Wait, procedure.Stop, procedure.Precaution, procedure.Patch, procedure.Start} {
			e, events := w.engine()
			e.Node, e.Rules.Deadman = "A", 4*time.Hour
			if phase == procedure.Start {
				n.neverRuns = true
			}
			p, _ := procedure.Find(phase)
			e.Alone(context.Background(), p)
			told := ""
			for _, ev := range events.events {
				if strings.Contains(ev.Message, "starts the service again at") {
					told = ev.Message
				}
			}
			want := "starts the service again at " + clockTime(n.deadman.Until.Add(-n.ahead).Truncate(time.Second))
			if set := !n.deadman.Until.IsZero(); set != (told != "") || set && !strings.Contains(told, want) || set != (phase != procedure.Enter && phase != procedure.Wait) {
				t.Errorf("after %s: told %q; the switch is set to %s", phase, told, n.deadman.Until)
			}
			time.Sleep(time.Hour)
		}
		fires := n.deadman.Until
		if left := fires.Sub(time.Now().Add(n.ahead)); left <= 0 || left > 4*time.Hour {
			t.Errorf("it fires in %s by the host's clock", left)
		}
	})
}
