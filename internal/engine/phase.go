package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/octopatch/octopatch/internal/procedure"
)

// phase runs one phase of one node, or of the cluster when t is nil: skip, announce, do, verify, journal.
func (e *Engine) phase(ctx context.Context, p procedure.Phase, t *target, step *procedure.Step) procedure.Result {
	began := e.Clock.Now()
	e.event(procedure.Event{Type: procedure.PhaseStarted, Node: step.Node, Phase: p.Name, Title: p.Title(step.Topology)})
	limit := p.Limit(e.Rules)
	if e.Hook != nil {
		limit += e.Rules.HookTimeout
	}
	limited, cancel := e.Clock.WithTimeout(ctx, limit)
	defer cancel()
	result, begun := e.attempt(limited, p, step)
	if result.Err != nil && limited.Err() != nil && ctx.Err() == nil {
		result = procedure.Unsure(&procedure.Fault{Kind: procedure.ErrTimeout, Subject: step.Node,
			Problem: fmt.Sprintf("the phase took longer than its limit of %s", procedure.Span(limit.Seconds())), Cause: result.Err})
	}
	if ctx.Err() != nil {
		result = procedure.Fail(errInterrupted)
	}
	if result.Err != nil {
		result.Reason = reason(step.Node, result.Err)
	}
	e.ended(p, t, step, result, began.Unix(), begun)
	if begun {
		e.tellHook(ctx, step, result)
	}
	return result
}

// reason is what went wrong, without the name of the node where every line names it already.
func reason(node string, err error) string {
	if f, ok := err.(*procedure.Fault); ok && f.Subject == node { //nolint:errorlint // a wrapped fault has words before its subject
		without := *f
		without.Subject = ""
		return without.Error()
	}
	return err.Error()
}

var errInterrupted = errors.New("interrupted")

// ended reports how a phase ended, in the journal, the report and the log; begun says that it came to doing anything.
func (e *Engine) ended(p procedure.Phase, t *target, step *procedure.Step, r procedure.Result, began int64, begun bool) {
	now := e.Clock.Now()
	seconds := now.Sub(unix(began)).Seconds()
	if r.Kind == procedure.Skipped {
		seconds = 0
	}
	if t != nil {
		if t.book != nil && r.Kind != procedure.Skipped && !errors.Is(r.Err, errInterrupted) { // that one has not ended: it goes on
			record := procedure.PhaseRecord{Result: r.Kind, Reason: r.Reason, Ended: now.Unix()}
			if begun {
				record.Began = began
			}
			t.book.Ended(p.Name, record)
		}
		t.report.Phases = append(t.report.Phases, t.withEarlier(procedure.PhaseReport{Phase: p.Name, Title: p.Title(step.Topology), Result: r.Kind, Reason: r.Reason, Started: unix(began), Seconds: seconds}))
	}
	e.event(procedure.Event{Type: procedure.PhaseEnded, Node: step.Node, Phase: p.Name, Result: r.Kind, Reason: r.Reason, Seconds: seconds})
}

// withEarlier is how a phase ended, with what an earlier process of the run has had of it.
func (t *target) withEarlier(p procedure.PhaseReport) procedure.PhaseReport {
	if t.facts.Journal == nil {
		return p
	}
	record := t.facts.Journal.Phases[p.Phase]
	switch {
	case record.Began == 0:
	case record.Result == "" && p.Result != procedure.Skipped: // begun then, and ended now
		p.Seconds += p.Started.Sub(unix(record.Began)).Seconds()
		p.Started = unix(record.Began)
	case record.Ended != 0 && p.Result == procedure.Skipped:
		p.Started, p.Seconds = unix(record.Began), float64(record.Ended-record.Began)
		p.Reason += "; it ended as " + string(record.Result) + " then"
	}
	return p
}

// skip reports a phase that was not begun.
func (e *Engine) skip(p procedure.Phase, t *target, step *procedure.Step, reason string) {
	e.ended(p, t, step, procedure.Skip(reason), e.Clock.Now().Unix(), false)
}

// attempt asks whether there is anything to do and whether the hook lets it begin, does it and asks whether it
// holds; begun says that it came to doing it.
func (e *Engine) attempt(ctx context.Context, p procedure.Phase, s *procedure.Step) (r procedure.Result, begun bool) {
	if p.Done != nil {
		reason, err := p.Done(ctx, s)
		if err != nil {
			return classify(err), false
		}
		if reason != "" {
			return procedure.Skip(reason), false
		}
	}
	if err := e.mayBegin(ctx, s); err != nil {
		return classify(err), false
	}
	if s.Book != nil {
		s.Book.Began(p.Name)
	}
	if err := p.Do(ctx, s); err != nil {
		return classify(err), true
	}
	if p.Verify != nil {
		if err := p.Verify(ctx, s); err != nil {
			return classify(err), true
		}
	}
	return procedure.Result{Kind: procedure.Done}, true
}

// classify: what the world did not answer, or not to us, is unknown; everything else is known to have failed. A
// host that is refused in the middle of a run (its certificate is another one now, its folder is not ours any
// more) cannot be asked either.
func classify(err error) procedure.Result {
	if errors.Is(err, procedure.ErrStopped) {
		return procedure.Fail(err)
	}
	if procedure.Transient(err) || errors.Is(err, procedure.ErrDenied) || errors.Is(err, procedure.ErrRefused) || errors.Is(err, procedure.ErrTaken) {
		return procedure.Unsure(err)
	}
	return procedure.Fail(err)
}
