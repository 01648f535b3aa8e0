package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// compare holds the journal on a host against its copies, at the runner and on the other hosts that were read: a revert
// of the machine rewinds the host's own, and then the highest counter wins. Without a newer copy a journal that does not
// account for its Windows leaves in doubt what was done since.
func (e *Engine) compare(t *target, others []*target) error {
	t.rewound, t.doubt, t.left, t.finished = "", "", nil, nil
	host := t.read
	if host == nil { // the host says that no run is open
		for _, o := range others {
			if c := o.facts.Copy; c != nil && strings.EqualFold(c.Node, t.name) {
				t.left = c
			}
		}
		return nil
	}
	kept, where, err := e.kept(t, host.Run, others)
	switch {
	case err != nil:
		return err
	case host.Finished():
		t.finished, t.facts.Journal = host, nil
	case kept != nil && host.Behind(*kept) >= 0 && kept.Finished() && (host.Host == nil || host.Host.Restored):
		t.finished, t.facts.Journal = kept, nil
	case kept != nil && host.Behind(*kept) > 0:
		newer := host.Newer(*kept)
		t.facts.Journal, t.rewound = &newer, where
		e.warnOnce(t.name, "the journal on its host is older (%d) than the copy %s (%d), as after a revert of the machine; the copy counts", host.Counter, where, kept.Counter)
	case kept == nil || host.Behind(*kept) < 0:
		if t.doubt = host.Disagrees(t.facts.Windows); t.doubt != "" {
			t.doubt += ", and no newer copy of the journal was found: the machine may have been reverted, and it is not known what was done since"
			e.warnOnce(t.name, "%s", t.doubt)
		}
	}
	return nil
}

// compareAll does it for hosts that were all read.
func (e *Engine) compareAll(targets []*target) error {
	var faults []error
	for _, t := range targets {
		faults = append(faults, e.compare(t, targets))
	}
	return errors.Join(faults...)
}

// kept is the newest copy of a node's journal of that run, or of its last run where none is named, and where it is.
func (e *Engine) kept(t *target, run string, others []*target) (best *procedure.Journal, where string, err error) {
	if e.Copy != nil {
		if best, err = e.Copy(t.name, run); err != nil {
			return nil, "", err
		}
		where = "at the runner"
	}
	for _, o := range others {
		c := o.facts.Copy
		if c == nil || !strings.EqualFold(c.Node, t.name) || run != "" && c.Run != run {
			continue
		}
		if best == nil || c.Run == best.Run && c.Counter > best.Counter {
			best, where = c, "on the host of node "+o.name
		}
	}
	return best, where, nil
}

// unsure is the end of a command over a node of which it is not known what was done to it, before anything was changed;
// nil where there is none, or where the operator has said to go on. command goes on with the first such node.
func (e *Engine) unsure(command string, targets ...*target) *Result {
	r := Result{Exit: ExitUnknown, Run: e.Run}
	var faults []error
	for _, t := range targets {
		if t.doubt == "" {
			continue
		}
		j := t.facts.Journal
		next := procedure.With("OCTOPATCH_TAKEOVER", j.Run) + procedure.With("OCTOPATCH_NODE", t.name) + "octopatch " + command
		if command == "run" {
			next = procedure.With("OCTOPATCH_TAKEOVER", j.Run) + procedure.GoOn
		}
		if e.Takeover == j.Run {
			e.warnOnce(t.name, "going on all the same, because OCTOPATCH_TAKEOVER says so")
			continue
		}
		r.Run = j.Run
		if r.Next == "" {
			r.Next = next
		}
		t.report.Result, t.report.Reason, t.report.Next = procedure.Unknown, t.doubt, next
		r.Nodes = append(r.Nodes, t.report)
		faults = append(faults, &procedure.Fault{Kind: procedure.ErrUnreadable, Subject: "node " + t.name, Problem: t.doubt,
			Remedy: "look at the machine, and in Octopus at its drain or Maintenance Mode; run it where OCTOPATCH_STATE_DIR holds the copies of run " + j.Run + ", or once you are sure: " + next})
	}
	if r.Err = errors.Join(faults...); r.Err == nil {
		return nil
	}
	return &r
}

// catchUp gives a host whose journal was rewound the newest one, as the first call under its lease. A node that was
// open already is closed again: its service does not run.
func (e *Engine) catchUp(ctx context.Context, t *target, topology procedure.Topology) error {
	if t.rewound == "" {
		return nil
	}
	e.openBook(t, topology)
	note := t.book.Next(procedure.Recover, "go on with the newest journal: the machine was reverted")
	err := e.tellHost(ctx, func() error {
		j, err := t.host.Record(ctx, note)
		if err == nil {
			err = t.book.Took(j)
		}
		return err
	})
	if err != nil {
		return named{t.name, fmt.Errorf("the newest journal could not be written back: %w", err)}
	}
	if host := t.book.Journal().Host; topology == procedure.HA && t.book.Octopus().Released && !t.book.Octopus().Drained && host != nil && !host.Restored {
		if err := e.step(t, topology, procedure.Enter).CloseAgain(ctx); err != nil {
			return named{t.name, err}
		}
	}
	j := t.book.Journal()
	t.facts.Journal, t.rewound = &j, ""
	return nil
}

// tidy removes what a run that has ended on a node could not remove itself.
func (e *Engine) tidy(ctx context.Context, t *target) error {
	if t.finished == nil {
		return nil
	}
	if t.finished.Precaution.Pending() { // ended right before it was removed
		t.book = procedure.OpenBook(*t.finished, e.Clock, e.keep)
		e.step(t, t.finished.Topology, procedure.Exit).EndPrecaution(ctx)
		t.report.Precaution = nil // it is no precaution of this run
	}
	if err := e.tellHost(ctx, func() error { return t.host.Clear(ctx, t.finished.Run) }); err != nil {
		return procedure.Refuse("node "+t.name, fmt.Sprintf("run %s has ended there, and its folder still cannot be removed: %v", t.finished.Run, err), byHand)
	}
	e.warn(t.name, "run %s has ended there and could not remove its folder; it is removed now", t.finished.Run)
	t.finished, t.read = nil, nil
	return nil
}

// byHand is what helps where our folder cannot be removed.
const byHand = "look what holds %ProgramData%\\octopatch on the host; delete it and the scheduled tasks in \\octopatch by hand if need be"

// keepElsewhere keeps the journal of a node on another host of the run, before a revert rewinds its own.
func (e *Engine) keepElsewhere(ctx context.Context, t *target, j procedure.Journal) error {
	var faults []error
	for _, o := range e.leased {
		if o == t {
			continue
		}
		err := e.tellHost(ctx, func() error { return o.host.KeepCopy(ctx, j) })
		if err == nil {
			o.facts.Copy = &j
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		faults = append(faults, named{o.name, err})
	}
	switch err := errors.Join(faults...); {
	case err != nil && e.Keep == nil:
		return procedure.Refuse("node "+t.name, fmt.Sprintf("its journal, which the revert rewinds, can be kept nowhere else: %v", err), "set OCTOPATCH_STATE_DIR to a directory that outlives this process")
	case err != nil:
		e.warn(t.name, "no other host keeps a copy of its journal, only the runner does: %v", err)
	case e.Keep == nil:
		e.warn(t.name, "nobody keeps a copy of its journal, which the revert rewinds: should this process end before the host is back, the node is unknown (set OCTOPATCH_STATE_DIR)")
	}
	return nil
}

// dropCopies removes what other hosts keep of a node's journal, once the run has ended well there.
func (e *Engine) dropCopies(ctx context.Context, t *target) {
	for _, o := range e.leased {
		if c := o.facts.Copy; c == nil || !strings.EqualFold(c.Node, t.name) {
			continue
		}
		if err := e.tellHost(ctx, func() error { return o.host.DropCopy(ctx, t.name) }); err != nil {
			e.warn(o.name, "the copy of the journal of node %s could not be removed from its host; the next run removes it: %v", t.name, err)
			continue
		}
		o.facts.Copy = nil
	}
}

// leftBehind removes copies of journals whose node has no open run any more. Where the run had drained the node and it
// still is, the machine was reverted to before the run: nobody but a person can tell what is to become of it.
func (e *Engine) leftBehind(ctx context.Context, s *survey) error {
	var faults []error
	for _, t := range s.targets {
		if t.left == nil {
			continue
		}
		if n, ok := procedure.FindNode(s.nodes, t.name); ok && n.Drained && t.left.Octopus.OursDrain && !t.left.Octopus.Released {
			faults = append(faults, &procedure.Fault{Kind: procedure.ErrUnreadable, Subject: "node " + t.name,
				Problem: fmt.Sprintf("run %s has drained it, as another host remembers, and its own host knows of no run: the machine was reverted to before that run", t.left.Run),
				Remedy:  "look at the machine; once it serves, exit its drain mode in Configuration > Nodes and run octopatch again"})
			continue
		}
		e.warn(t.name, "the copy of the journal of run %s on another host is left over from a run that has ended; it is removed", t.left.Run)
		e.dropCopies(ctx, t)
	}
	return errors.Join(faults...)
}

// warnOnce warns of what every look at the hosts would find again.
func (e *Engine) warnOnce(node, format string, a ...any) {
	if key := node + fmt.Sprintf(format, a...); !e.warned[key] {
		if e.warned == nil {
			e.warned = map[string]bool{}
		}
		e.warned[key] = true
		e.warn(node, format, a...)
	}
}
