package engine

import (
	"context"
	"errors"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// look reads Octopus and every host.
func (e *Engine) look(ctx context.Context) (*survey, error) {
	s, err := e.surveyOctopus(ctx)
	if err == nil {
		err = e.readHosts(ctx, s)
	}
	if err == nil {
		var held []*target
		held, err = e.heldButGone(ctx, s)
		s.targets = append(s.targets, held...)
	}
	if err == nil {
		err = e.proveHosts(ctx, s)
	}
	return s, err
}

// learn keeps what an unfinished run has done so far. A cluster in the middle of a run looks out of shape, and a look
// with that knowledge sees it as it was before. It reports whether anything was learnt.
func (e *Engine) learn(ctx context.Context, s *survey, err error) bool {
	if s == nil && outOfShape(err) && !e.looked {
		e.looked = true
		e.peeked, e.unread = e.peek(ctx)
	}
	if e.resumed != nil {
		return false
	}
	for _, t := range e.known(s) {
		if j := t.facts.Journal; j != nil {
			if e.resumed == nil {
				e.resumed = map[string]procedure.Journal{}
			}
			e.resumed[t.name] = *j
		}
	}
	return e.resumed != nil
}

// resuming is what an unfinished run has done so far to a node, whose name may be typed in another case than Octopus'.
func (e *Engine) resuming(node string) (procedure.Journal, bool) {
	for name, j := range e.resumed {
		if strings.EqualFold(name, node) {
			return j, true
		}
	}
	return procedure.Journal{}, false
}

// known are the hosts as far as they were read.
func (e *Engine) known(s *survey) []*target {
	if s != nil {
		return s.targets
	}
	return e.peeked
}

// outOfShape: Octopus does not answer, or not with as many nodes online as the topology needs, as it does
// while a run is half way.
func outOfShape(err error) bool {
	var f *procedure.Fault
	return procedure.Transient(err) || errors.As(err, &f) && f.Subject == "OCTOPATCH_TOPOLOGY"
}

// peek reads the listed hosts when Octopus does not show the cluster as it should be: an unfinished run may well be
// the reason.
func (e *Engine) peek(ctx context.Context) ([]*target, error) {
	listed, err := e.everyNode(ctx, nil)
	if err != nil {
		return nil, err
	}
	var seen []*target
	var faults []error
	for _, l := range listed {
		t := newTarget(l.Name, l.Host)
		err := e.openHost(t)
		if err == nil {
			t.facts, err = t.host.Probe(ctx)
			t.read = t.facts.Journal
		}
		if err == nil {
			seen = append(seen, t)
			continue
		}
		faults = append(faults, named{t.name, err})
		if errors.Is(err, procedure.ErrDenied) {
			break // the same password is not tried on the next host
		}
	}
	return seen, errors.Join(append(faults, e.compareAll(seen))...)
}

// allStopped names what brings Octopus back where no node of a cluster answers, and an unfinished run has stopped some.
func (e *Engine) allStopped(targets []*target, err error) error {
	if !procedure.Transient(err) {
		return nil
	}
	var faults []error
	takeover := ""
	for _, t := range targets {
		if l := t.facts.Lease; l != nil && l.Live(t.facts.Time) {
			return nil // somebody is at it
		}
		if run, refused := e.mayTake(t, t.facts.Lease, t.facts.Journal, t.facts.Time); refused != nil {
			takeover = procedure.With("OCTOPATCH_TAKEOVER", run)
		}
	}
	for _, t := range targets {
		if j := t.facts.Journal; j != nil && j.Topology == procedure.HA && j.Host != nil && !j.Host.Restored {
			start := takeover + procedure.With("OCTOPATCH_NODE", t.name) + "octopatch start"
			faults = append(faults, procedure.Refuse("node "+t.name, "run "+j.Run+" has stopped its service, and no node of the cluster answers", "start it: "+start+"; then "+procedure.GoOn))
		}
	}
	return errors.Join(faults...)
}

// whose says who works on the cluster or has left a run open, beside what a survey found wrong with it.
func (e *Engine) whose(s *survey, err error) error {
	if err == nil {
		return nil
	}
	var faults []error
	for _, t := range e.known(s) {
		if l := t.facts.Lease; l != nil && l.Nonce != e.Nonce && l.Live(t.facts.Time) {
			faults = append(faults, e.inWork(t, *l))
		}
	}
	if s == nil {
		faults = append(faults, e.allStopped(e.known(s), err))
	}
	return errors.Join(append(faults, err)...)
}

// reportOnly: while another process works on the cluster, what changes nothing reports from its journal, and starts
// no search that could get in its way.
func (e *Engine) reportOnly(targets []*target) bool {
	busy := false
	for _, t := range targets {
		if l := t.facts.Lease; l != nil && l.Live(t.facts.Time) {
			what := "nothing begun"
			if j := t.facts.Journal; j != nil {
				what = intent(j)
			}
			e.warn(t.name, "%s works on it (run %s: %s); updates are not searched meanwhile", or(l.Owner, "an unknown owner"), l.Run, what)
			busy = true
		}
	}
	return busy
}
