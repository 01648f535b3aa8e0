package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// others are the further hosts of a run on one node, as far as they answer: they may hold a copy of its journal.
func (e *Engine) others(ctx context.Context, t *target, listed []Listed) ([]*target, error) {
	var list []*target
	for _, l := range listed {
		if strings.EqualFold(l.Name, t.name) {
			continue
		}
		o := newTarget(l.Name, l.Host)
		if err := e.openHost(o); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	err := e.each(list, func(o *target) error {
		facts, err := o.host.Probe(ctx)
		if err == nil {
			o.facts, o.read = facts, facts.Journal
		} else if !procedure.Transient(err) {
			return named{o.name, err}
		}
		return nil
	})
	return list, err
}

// besides are the hosts that a phase of one node has to look at and lock besides its own. Octopus is asked where
// OCTOPATCH_NODES is all, and not for a single server, which it may be that is stopped. Where it does not say, the phase
// goes on without: the cluster may be down with the node.
func (e *Engine) besides(ctx context.Context, t *target) ([]*target, error) {
	if j := t.facts.Journal; e.All && j != nil && j.Topology == procedure.Single {
		return nil, nil
	}
	listed, err := e.everyNode(ctx, func(n procedure.NodeState) bool { return !e.gone(n) })
	switch {
	case e.interrupted(err):
		return nil, err
	case err != nil:
		e.warn("", "the other nodes' hosts are neither read nor locked: %v", err)
	}
	return e.others(ctx, t, listed)
}

// answered are those that were read.
func answered(list []*target) []*target {
	var up []*target
	for _, t := range list {
		if t.facts.Folder != "" {
			up = append(up, t)
		}
	}
	return up
}

// longGone: a node unseen for longer is taken for a forgotten record, not for one that is down just now.
const longGone = 24 * time.Hour

func (e *Engine) gone(n procedure.NodeState) bool {
	return n.Offline && e.Clock.Since(n.LastSeen) > longGone
}

// heldButGone are nodes, where all are meant, that Octopus has not seen for long because an unfinished run has left them out
// of service: so says the host, or the runner's copy where it is silent. The others are left alone.
// Their hosts are read after those of the run, which have proved our password.
func (e *Engine) heldButGone(ctx context.Context, s *survey) ([]*target, error) {
	var held []*target
	var faults []error
	for _, n := range s.nodes {
		if !e.gone(n) || find(s.targets, n.Name) != nil {
			continue
		}
		t := newTarget(n.Name, "")
		open, err := false, error(nil)
		if e.All { // a list names what it means
			open, err = e.leftOpen(ctx, t)
		}
		if open {
			err = e.compare(t, s.targets)
			open = t.facts.Journal != nil // a copy may know that it has ended since
		}
		switch {
		case err != nil:
			faults = append(faults, err)
		case open:
			held = append(held, t)
		default:
			e.warnOnce("", "node %s is offline and was last seen %s; it is left alone", n.Name, seen(n))
		}
	}
	return held, errors.Join(faults...)
}

// leftOpen reads whether a run is unfinished on a node, from its host or else from the runner's copy.
func (e *Engine) leftOpen(ctx context.Context, t *target) (bool, error) {
	err := e.openHost(t) // a forgotten record need not have a login
	if err == nil {
		t.facts, err = t.host.Probe(ctx)
	}
	if err == nil {
		j := t.facts.Journal
		t.read = j
		return j != nil && !j.Finished() && strings.EqualFold(j.Node, t.name), nil // its name may be another machine's now
	}
	if e.Copy == nil || ctx.Err() != nil {
		return false, ctx.Err()
	}
	switch kept, copyErr := e.Copy(t.name, ""); {
	case copyErr != nil:
		return false, copyErr
	case kept != nil && !kept.Finished() && kept.Host != nil:
		return false, errors.Join(procedure.Refuse("node "+t.name, fmt.Sprintf("run %s is unfinished there (last: %s), as the runner's copy of its journal says, and its host does not answer", kept.Run, intent(kept)),
			"bring the host back, or delete the node's record in Configuration > Nodes if it no longer exists"), named{t.name, err})
	}
	return false, nil
}
