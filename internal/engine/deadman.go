package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// deadman is how the switch of a host is set while its services are stopped: a run renews the lease and is missed
// when it no longer does; after a phase that runs alone nobody does, so the switch has an hour.
func (e *Engine) deadman(t *target) procedure.Deadman {
	switch {
	case e.Rules.Deadman == 0:
		return procedure.Deadman{Off: true}
	case e.alone:
		_, until := e.Rules.Window(e.Clock.Now())
		if !until.After(e.Clock.Now()) { // the window is over already
			until = e.Clock.Now().Add(e.Rules.Deadman)
		}
		return procedure.Deadman{Until: until.Add(t.skew)} // the host goes by its own clock
	}
	return procedure.Deadman{After: e.Rules.Deadman}
}

// rearm sets the switch of a node whose services an earlier process has stopped: it was armed for that one.
func (e *Engine) rearm(ctx context.Context, t *target, phase string) {
	host := t.book.Journal().Host
	if host == nil || host.Restored || phase == procedure.Start || phase == procedure.Exit {
		return
	}
	d := e.deadman(t)
	j, err := t.host.Arm(ctx, t.book.Next(phase, "go on with the service stopped"), d)
	if err == nil {
		t.armed, err = d.Until, t.book.Took(j)
	}
	if err != nil {
		e.warn(t.name, "the dead-man switch of the host could not be set: %v", err)
	}
}

// tellFired alerts people to a switch that has fired, once for each firing: nobody was at work on the node any more.
func (e *Engine) tellFired(t *target) {
	j := t.facts.Journal
	if j == nil || j.Deadman == nil {
		return
	}
	f := j.Deadman
	words := fmt.Sprintf("the dead-man switch fired at %s and started the service again: %s", clockTime(time.Unix(f.At, 0)), f.Why)
	if f.Faults != "" {
		words += "; it could not put back: " + f.Faults
	}
	next := procedure.GoOn
	if e.alone { // the process that opens the node by hand
		next = j.Alone()
	}
	one := Firing{Run: j.Run, Node: t.name, At: f.At}
	alert := !slices.Contains(e.Fired, one) && (e.Told == nil || !e.Told(one))
	if alert {
		e.Fired = append(e.Fired, one)
	}
	e.event(procedure.Event{Type: procedure.Warning, Alert: alert, Node: t.name, Message: words, Next: next})
}

// tellHour says when the switch fires after a phase that ran alone: as this process has armed it, or an earlier one.
func (e *Engine) tellHour(t *target, phase string) {
	until := t.armed
	if d := t.facts.Deadman; until.IsZero() && d != nil && d.Until != 0 {
		until = unix(d.Until)
	}
	host := t.book.Journal().Host
	if host == nil || host.Restored || until.IsZero() || t.held {
		return
	}
	e.event(procedure.Event{Type: procedure.Progress, Node: t.name, Phase: phase,
		Message: "the dead-man switch of the host starts the service again at " + clockTime(until.Add(-t.skew).Truncate(time.Second)) + " unless octopatch start has done so before"})
}
