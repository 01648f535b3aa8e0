package engine

import (
	"fmt"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// What a node is taken to need as long as this run has measured none.
const (
	assumedNode    = 45 * time.Minute // from drain to reopened, without the soak
	assumedStopped = 35 * time.Minute // of that, from stop on
	assumedPatched = 30 * time.Minute // of that, from patch on
	assumedReboot  = 15 * time.Minute
)

// measured is the longest that a node of this run has taken; zero: none has yet.
type measured struct{ node, stopped, patched, reboot time.Duration }

// take notes what a node that was patched has taken.
func (m *measured) take(began, ended time.Time, r *procedure.NodeReport) {
	line := r.Timeline
	if line.ServiceDown.IsZero() || line.HostDown.IsZero() {
		return // it tells nothing about the next one
	}
	m.node = max(m.node, ended.Sub(began))
	m.stopped = max(m.stopped, ended.Sub(line.ServiceDown))
	for _, p := range r.Phases {
		if p.Phase == procedure.Patch {
			m.patched = max(m.patched, ended.Sub(p.Started))
		}
	}
	m.reboot = max(m.reboot, line.Back.Sub(line.HostDown)/time.Duration(max(r.Reboots, 1)))
}

// predict is what the next node will take, as long as none was measured what it is taken to.
func (m *measured) predict(soak time.Duration) measured {
	if m.node == 0 {
		return measured{assumedNode + soak, assumedStopped + soak, assumedPatched + soak, assumedReboot}
	}
	return *m
}

// ends is when what was begun must be back in service, and what ends then; zero: nothing does.
func (e *Engine) ends() (time.Time, string) {
	if !e.LoginEnds.IsZero() && (e.end.IsZero() || e.LoginEnds.Before(e.end)) {
		return e.LoginEnds, "the login to Octopus"
	}
	return e.end, "the window"
}

// tooLate says why a node is not begun any more, "" while there is time: the window would end before the node is back
// in service, or the login to Octopus. Without OCTOPATCH_WINDOW and with a key there always is time.
func (e *Engine) tooLate(node string) string {
	if e.Clock.Now().Before(e.from) { // what was open is finished whatever the hour
		return "the window begins at " + clockTime(e.from)
	}
	end, whose := e.ends()
	if end.IsZero() {
		return ""
	}
	next := e.pace.predict(e.Rules.Soak)
	need, reserve := next.node, next.reboot
	if !e.Clock.Now().Add(need + reserve).After(end) {
		return ""
	}
	what := "is taken to need"
	if e.pace.node > 0 {
		what = "would need, as the one before,"
	}
	return fmt.Sprintf("%s ends at %s, and node %s %s %s, with a reserve of %s for its reboot", whose, clockTime(end), node, what, brief(need.Round(time.Minute)), brief(reserve.Round(time.Minute)))
}

// openWindow keeps when the window ends, and refuses to begin outside of it. A node that is open is finished
// whatever the hour.
func (e *Engine) openWindow(targets []*target) error {
	if e.Rules.WindowLength == 0 {
		return nil
	}
	now := e.Clock.Now()
	from, to := e.Rules.Window(now)
	e.from, e.end = from, to
	for _, t := range targets {
		if t.facts.Journal != nil {
			return nil
		}
	}
	switch {
	case now.Before(from):
		return procedure.Refuse("OCTOPATCH_WINDOW", fmt.Sprintf("begins at %s, and it is %s", clockTime(from), clockTime(now)), "run octopatch then; octopatch stage can download the updates before")
	case !now.Before(to):
		return procedure.Refuse("OCTOPATCH_WINDOW", fmt.Sprintf("ended at %s, and it is %s", clockTime(to), clockTime(now)), "set it to the next window")
	}
	return nil
}

// latest is the last moment at which a node may be stopped, and at which patch may begin, so that the rest fits before
// the end, with what a reboot that drags on is given on top; zero: any.
func (e *Engine) latest() (stop, patch time.Time, ends string) {
	end, whose := e.ends()
	if end.IsZero() {
		return time.Time{}, time.Time{}, ""
	}
	next := e.pace.predict(e.Rules.Soak)
	return end.Add(-next.stopped - next.reboot), end.Add(-next.patched - next.reboot), whose
}
