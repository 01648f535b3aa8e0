package engine

import (
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// why is what the dead-man switch of a host acts upon at that time; empty: it does nothing. DEADMAN.md holds it to the
// same verdicts as the script.
func (n *fakeNode) why(now time.Time) string {
	armed, prior := n.deadman, n.journal
	switch {
	case n.hostDown, armed.After == 0 && armed.Until.IsZero(), now.Before(n.working), now.Before(n.servicing):
		return ""
	case prior == nil || prior.Host == nil || prior.Host.Restored:
		return ""
	case !armed.Until.IsZero():
		if now.Before(armed.Until) || n.lease != nil && n.lease.Live(now) {
			return ""
		}
		return "a phase was run alone, and no other had followed by the hour that was set"
	}
	since := n.started
	if n.lease != nil && n.lease.Renewed > since.Unix() {
		since = time.Unix(n.lease.Renewed, 0)
	}
	if now.Sub(since) < armed.After {
		return ""
	}
	return "nothing was heard of the run"
}

// fire is what the switch does then.
func (n *fakeNode) fire(now time.Time, why string) {
	j := *n.journal
	prior := *j.Host
	n.service.Start, n.service.Delayed, n.watchdog = prior.Services[0].Start, prior.Services[0].Delayed, prior.Watchdogs[0].Enabled
	n.runs(true)
	fired := &procedure.Fired{At: now.Unix(), Why: why}
	if n.neverRuns {
		fired.Faults = "the service does not start"
	}
	prior.Restored = fired.Faults == ""
	j.Host, j.Counter, j.Deadman = &prior, j.Counter+1, fired
	n.journal = &j
	if n.lease != nil {
		n.lease.Nonce = "deadman"
	}
	if prior.Restored { // what did not start is tried again
		n.deadman = procedure.Deadman{}
	}
}

// deadmen has the switch of each host look once, and holds it to what it may change.
func (w *world) deadmen(t *testing.T) {
	defer w.locked()()
	for _, n := range w.nodes {
		drained, maintenance, now := n.state.Drained, w.maintenance, time.Now()
		why := n.why(now)
		if why == "" {
			continue
		}
		if w.lives {
			t.Errorf("%s: its dead-man switch fires under a run that lives: %s", n.state.Name, why)
		}
		n.fire(now, why)
		if n.state.Drained != drained || w.maintenance != maintenance || n.service.State != "Running" && !n.neverRuns || n.service.Start != "Auto" || !n.service.Delayed || !n.watchdog {
			t.Errorf("%s after its dead-man switch: drained %t, Maintenance Mode %t, watchdog %t, %+v", n.state.Name, n.state.Drained, w.maintenance, n.watchdog, n.service)
		}
	}
}

// switches has the switches look every five minutes, as the scheduled task does, until the test is over.
func (w *world) switches(t *testing.T) {
	time.AfterFunc(5*time.Minute, func() {
		unlock := w.locked()
		over := w.over
		unlock()
		if !over {
			w.deadmen(t)
			w.switches(t)
		}
	})
}

// outOfService are the nodes whose service this run stopped, that nobody holds and whose switch has not brought it back:
// there are none once a switch was armed for long enough.
func (w *world) outOfService(t *testing.T) {
	defer w.locked()()
	for _, n := range w.nodes {
		stopped := n.journal != nil && n.journal.Host != nil && !n.journal.Host.Restored
		switch {
		case !stopped || n.hostDown || n.deadman.Off: // held in order
		case n.deadman == (procedure.Deadman{}):
			t.Errorf("%s: its service is stopped, and its switch is not armed", n.state.Name)
		case !n.neverRuns:
			t.Errorf("%s: its switch has not fired: %+v, lease %+v", n.state.Name, n.deadman, n.lease)
		case n.journal.Deadman == nil || n.journal.Deadman.Faults == "":
			t.Errorf("%s: its switch has not tried to start it: %+v", n.state.Name, n.journal.Deadman)
		}
	}
}
