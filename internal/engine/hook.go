package engine

import (
	"context"
	"fmt"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Moments at which hooks run.
const (
	Before = "before"
	After  = "after"
)

// Moment is when a hook runs and what of: a phase that has something to do, right before it and right after.
type Moment struct {
	When     string // Before or After
	Phase    string
	Run      string
	Topology procedure.Topology
	Machine  procedure.Machine // empty where the phase is the cluster's
	Result   procedure.Result  // After: how the phase ended
	Say      func(string)      // takes what the hook prints
}

func (e *Engine) moment(when string, s *procedure.Step, r procedure.Result) Moment {
	return Moment{When: when, Phase: s.Phase, Run: e.Run, Topology: s.Topology, Machine: s.Machine, Result: r, Say: func(line string) {
		e.event(procedure.Event{Type: procedure.Progress, Node: s.Node, Phase: s.Phase, Message: "hook: " + line})
	}}
}

// mayBegin asks the hook before the phase, which can veto: then the phase ends without having done anything.
func (e *Engine) mayBegin(ctx context.Context, s *procedure.Step) error {
	if e.Hook == nil {
		return nil
	}
	err := e.Hook(ctx, e.moment(Before, s, procedure.Result{}))
	if err == nil || ctx.Err() != nil {
		return err
	}
	return &procedure.Fault{Kind: procedure.ErrStopped, Subject: s.Node, Problem: "the hook before " + s.Phase + " forbids it", Cause: err}
}

// tellHook runs the hook after the phase; it has no say in how the phase ended.
func (e *Engine) tellHook(ctx context.Context, s *procedure.Step, r procedure.Result) {
	if e.Hook == nil || ctx.Err() != nil {
		return
	}
	if err := e.Hook(ctx, e.moment(After, s, r)); err != nil {
		e.event(procedure.Event{Type: procedure.Warning, Node: s.Node, Phase: s.Phase, Message: fmt.Sprintf("the hook after %s failed, which changes nothing: %v", s.Phase, err)})
	}
}
