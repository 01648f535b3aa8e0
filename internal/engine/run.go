package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Preflight proves rights, reach, mapping and health, and changes nothing.
func (e *Engine) Preflight(ctx context.Context) Result {
	s, err := e.preflight(ctx)
	if err != nil {
		return e.refused(e.whose(s, err))
	}
	return e.result(ctx, s, false)
}

func (e *Engine) preflight(ctx context.Context) (*survey, error) {
	began := e.Clock.Now()
	e.event(procedure.Event{Type: procedure.PhaseStarted, Phase: "preflight", Title: "Prove rights, reach, mapping and health before the first change"})
	s, err := e.look(ctx)
	if known := e.learn(ctx, s, err); known && err != nil {
		s, err = e.look(ctx)
	}
	if s == nil {
		err = errors.Join(err, e.unread)
	}
	r := procedure.Result{Kind: procedure.Done}
	if err != nil {
		r = procedure.Fail(err)
	} else {
		r.Reason = fmt.Sprintf("Octopus %s, %s, %s to patch", s.version, s.topology, procedure.Count(len(s.targets), "node"))
	}
	e.event(procedure.Event{Type: procedure.PhaseEnded, Phase: "preflight", Result: r.Kind, Reason: r.Reason, Seconds: e.Clock.Since(began).Seconds()})
	return s, err
}

// Stage searches and downloads while Octopus serves, and changes nothing else.
func (e *Engine) Stage(ctx context.Context) Result {
	s, err := e.preflight(ctx)
	if err != nil {
		return e.refused(e.whose(s, err))
	}
	if !e.reportOnly(s.targets) {
		e.stage(ctx, s.targets, procedure.WorkDownload)
	}
	for _, t := range s.targets {
		if t.report.Result == "" {
			t.report.Result = procedure.Done
		}
	}
	return e.result(ctx, s, false)
}

// RunAll runs the full procedure, or goes on with a run that is unfinished.
func (e *Engine) RunAll(ctx context.Context) Result {
	var cancel context.CancelFunc
	e.grace, cancel = graceful(ctx)
	defer cancel()
	s, err := e.preflight(ctx)
	if s != nil {
		openFirst(s.targets)
	}
	if known := e.known(s); known != nil {
		run, openErr := e.openRun(known)
		e.goneOn = run != ""
		if s == nil { // Octopus itself does not answer
			openErr = errors.Join(openErr, e.allStopped(known, err))
		}
		if err = errors.Join(openErr, err); err == nil && run != "" && run != e.Run {
			e.warn("", "going on with run %s, which is unfinished", run)
			e.Run = run
		}
	}
	if err == nil {
		err = e.openWindow(s.targets)
	}
	if err == nil {
		if r := e.unsure("run", s.targets...); r != nil {
			return *r
		}
		err = e.lock(ctx, s.targets)
	}
	if err != nil {
		return e.refused(err)
	}
	if err := e.tidyAll(ctx, s.targets); err != nil {
		e.unlock(e.grace, s.targets)
		return e.refused(err)
	}
	if err := e.begin(ctx, s); err != nil {
		e.unlock(e.grace, s.targets)
		return e.unproved(err)
	}
	up := watch(ctx, e.Clock, e.Server.Serving, earlier(s))
	notice, _ := e.announce(ctx, s) // people are told, or it is logged that they were not: patching does not depend on it
	e.stage(ctx, s.targets, procedure.WorkDownload)
	stopped := e.nodes(ctx, s)
	e.unlock(e.grace, s.targets)
	result := e.result(ctx, s, stopped)
	result.Downtime, result.Notice = up.end(), notice
	return result
}

func (e *Engine) tidyAll(ctx context.Context, targets []*target) error {
	return e.each(targets, func(t *target) error { return e.tidy(ctx, t) })
}

// begin sets right what a revert has rewound, before anything else is done.
func (e *Engine) begin(ctx context.Context, s *survey) error {
	err := e.leftBehind(ctx, s)
	for _, t := range s.targets {
		err = errors.Join(err, e.catchUp(ctx, t, s.topology))
	}
	return err
}

// openFirst: a node that an unfinished run has left out of service comes before any that serves.
func openFirst(targets []*target) {
	slices.SortStableFunc(targets, func(a, b *target) int {
		rank := func(t *target) int {
			if t.facts.Journal != nil {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
}

// announce is the schedule phase, which is the cluster's.
func (e *Engine) announce(ctx context.Context, s *survey) (procedure.Notice, procedure.Result) {
	notice := procedure.Notice{Server: e.URL, Topology: s.topology}
	p, _ := procedure.Find(procedure.Schedule)
	step := e.step(nil, s.topology, p.Name)
	if s.stopped {
		r := procedure.Skip("this run has stopped Octopus, so that it cannot be asked what is scheduled")
		e.skip(p, nil, step, r.Reason)
		return notice, r
	}
	step.Notice = &notice
	r := e.phase(ctx, p, nil, step)
	if r.Kind == procedure.Done && e.Announced != nil {
		e.Announced(notice)
	}
	return notice, r
}

// nodes takes the nodes in order; the next begins only when the last is proved healthy and the budget of
// failed nodes is not used up. It reports whether a rule ended the run.
func (e *Engine) nodes(ctx context.Context, s *survey) (stopped bool) {
	failed, reason := 0, ""
	for _, t := range s.targets {
		e.openBook(t, s.topology)
		began := e.Clock.Now()
		touched := t.report.Result == "" && e.untouched(t) == ""
		if touched && reason == "" && t.facts.Journal == nil {
			if reason = e.tooLate(t.name); reason != "" {
				stopped = true
			}
		}
		switch {
		case ctx.Err() != nil:
			e.skipNode(t, s.topology, errInterrupted.Error())
		case reason != "":
			e.skipNode(t, s.topology, "not reached: "+reason)
		case t.report.Result != "": // its updates could not be searched
			kind, why := t.report.Result, t.report.Reason
			e.skipNode(t, s.topology, "its updates are not known")
			t.report.Result, t.report.Reason = kind, why
		case e.untouched(t) != "":
			t.report.Before, t.report.After = t.facts.Windows, t.facts.Windows
			e.skipNode(t, s.topology, e.untouched(t))
			t.current = true
		default:
			e.oneNode(ctx, t, s.topology)
			if t.facts.Journal == nil { // what was begun before tells how long it lay, and not how long one takes
				e.pace.take(began, e.Clock.Now(), t.report)
			}
		}
		e.nodeEnded(t, began)
		if t.report.Result == procedure.Failed || t.report.Result == procedure.Unknown {
			failed++
		}
		if reason == "" {
			reason, stopped = e.mayGoOn(t, failed, s)
		}
	}
	return stopped
}

// mayGoOn says why no further node is begun, and whether that is a rule's doing.
func (e *Engine) mayGoOn(t *target, failed int, s *survey) (reason string, stopped bool) {
	switch {
	case t.report.Result == procedure.Unknown:
		return "the state of node " + t.name + " is unknown", false
	case t.held:
		return "node " + t.name + " is held out of service", false
	case t.stopped:
		return "a rule stopped the run at node " + t.name, true
	case failed > e.Rules.MaxFailedNodes && t != s.targets[len(s.targets)-1]:
		return fmt.Sprintf("%s failed and OCTOPATCH_MAX_FAILED_NODES is %d", procedure.Count(failed, "node"), e.Rules.MaxFailedNodes), true
	}
	return "", false
}

func (e *Engine) nodeEnded(t *target, began time.Time) {
	ev := procedure.Event{Type: procedure.NodeEnded, Node: t.name, Result: t.report.Result, Reason: t.report.Reason, Next: t.report.Next}
	if t.report.Result != procedure.Skipped {
		ev.Seconds = e.Clock.Since(began).Seconds()
	}
	e.event(ev)
}

// skipNode reports a node that was not begun.
func (e *Engine) skipNode(t *target, topology procedure.Topology, reason string) {
	for _, p := range procedure.Phases() {
		if !p.Cluster {
			e.skip(p, t, e.step(t, topology, p.Name), reason)
		}
	}
	t.report.Result, t.report.Reason = procedure.Skipped, reason
	if t.facts.Journal != nil { // an unfinished run has left it out of service, and there it stays
		t.held, t.report.Next = true, e.goOn(t)
		t.report.Result, t.report.Reason = procedure.Failed, "left out of service by the unfinished run "+t.facts.Journal.Run+"; "+reason
	}
}

// result sums up the run.
func (e *Engine) result(ctx context.Context, s *survey, stopped bool) Result {
	r := Result{Exit: exit(ctx, s.targets, stopped), Run: e.Run, Topology: s.topology, Version: s.version}
	var errs []error
	for _, t := range s.targets {
		r.Nodes = append(r.Nodes, t.report)
		if t.report.Next != "" && r.Next == "" {
			r.Next = t.report.Next
		}
		if k := t.report.Result; k == procedure.Failed || k == procedure.Unknown {
			errs = append(errs, fmt.Errorf("node %s: %s", t.name, t.report.Reason))
		}
	}
	if r.Err = errors.Join(errs...); r.Exit == ExitUnknown && r.Next == "" { // it asks again before it changes anything
		r.Next = procedure.GoOn
	}
	return r
}
