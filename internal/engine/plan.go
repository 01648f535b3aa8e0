package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Plan tells what a run would do now; it searches for updates and changes nothing.
func (e *Engine) Plan(ctx context.Context) (procedure.Plan, Result) {
	s, err := e.preflight(ctx)
	if err != nil {
		return procedure.Plan{}, e.refused(e.whose(s, err))
	}
	if !e.reportOnly(s.targets) {
		e.stage(ctx, s.targets, procedure.WorkScan)
	}
	plan := procedure.Plan{
		Topology: s.topology, Version: s.version, Precaution: e.Rules.Precaution, Maintenance: s.info.Maintenance, Limits: e.limits(),
		Notice: procedure.Announce(procedure.Notice{Server: e.URL, Topology: s.topology}, s.tasks, e.Rules, e.Clock.Now()),
	}
	if e.Rules.Precaution == procedure.PrecautionNone {
		plan.Warnings = append(plan.Warnings, "no precaution is taken (OCTOPATCH_PRECAUTION=none): if patching breaks a node, only your own backup brings it back")
	}
	for _, t := range s.targets {
		plan.Nodes = append(plan.Nodes, e.planNode(s, t))
		for _, w := range append(t.warnings, t.short()...) {
			plan.Warnings = append(plan.Warnings, "node "+t.name+": "+w)
		}
		if _, err := e.mayTake(t, t.facts.Lease, t.facts.Journal, t.facts.Time); err != nil {
			plan.Warnings = append(plan.Warnings, err.Error())
		}
		if t.doubt != "" {
			plan.Warnings = append(plan.Warnings, "node "+t.name+": "+t.doubt)
		}
		if t.rewound != "" {
			plan.Warnings = append(plan.Warnings, "node "+t.name+": its machine was reverted since, and the journal of its run is the copy "+t.rewound)
		}
		if what := t.installing(); what != "" {
			plan.Warnings = append(plan.Warnings, "node "+t.name+": "+what)
		} else if j := t.facts.Journal; j != nil {
			plan.Warnings = append(plan.Warnings, fmt.Sprintf("node %s: run %s is open there (last: %s); a run goes on with it", t.name, j.Run, intent(j)))
		}
		if t.report.Result != "" {
			plan.Warnings = append(plan.Warnings, "node "+t.name+": "+t.report.Reason)
		}
	}
	return plan, e.result(ctx, s, false)
}

func (e *Engine) planNode(s *survey, t *target) procedure.PlanNode {
	state, _ := procedure.FindNode(s.nodes, t.name)
	must, humans := procedure.HoldsDrain(state, s.tasks, e.Rules)
	n := procedure.PlanNode{
		Node: t.name, Host: t.hostName, Windows: t.facts.Windows, Pending: t.facts.Pending, Services: t.services,
		Holds: must, Humans: humans, Updates: t.staged.Taken(), Free: t.facts.FreeBytes, Need: t.staged.Need,
		Soft: t.facts.Soft, Busy: t.facts.Busy, Policy: t.facts.Policy, Agents: t.facts.Agents, Skew: t.skew.Seconds(),
	}
	for _, u := range t.staged.Updates {
		if u.Skip != "" {
			n.Skipped = append(n.Skipped, u)
		}
	}
	if t.report.Result == "" {
		n.Reason = e.untouched(t)
	} else {
		n.Problem = t.report.Reason
	}
	return n
}

// limits names every limit of the run by the setting that changes it.
func (e *Engine) limits() map[string]string {
	r := e.Rules
	from, to := r.Window(e.Clock.Now())
	list := map[string]string{
		"OCTOPATCH_DRAIN_TIMEOUT":    brief(r.DrainTimeout) + ", then " + r.OnDrainTimeout,
		"OCTOPATCH_REBOOT_TIMEOUT":   brief(r.RebootTimeout),
		"OCTOPATCH_STALL_TIMEOUT":    brief(r.StallTimeout),
		"OCTOPATCH_MAX_ROUNDS":       fmt.Sprint(r.MaxRounds),
		"OCTOPATCH_MAX_REBOOTS":      fmt.Sprint(r.MaxReboots),
		"OCTOPATCH_MAX_FAILED_NODES": fmt.Sprint(r.MaxFailedNodes),
		"OCTOPATCH_SOAK":             brief(r.Soak),
		"OCTOPATCH_WINDOW":           brief(to.Sub(from)),
	}
	if e.Provider != nil {
		list["OCTOPATCH_PRECAUTION_TIMEOUT"] = brief(r.PrecautionTimeout)
		list["OCTOPATCH_PRECAUTION_KEEP"] = "removed once the node is healthy and soaked"
		if r.PrecautionKeep > 0 {
			list["OCTOPATCH_PRECAUTION_KEEP"] = brief(r.PrecautionKeep) + " after it is taken"
		}
	}
	return list
}

// brief writes a duration as it would be set: 1h30m, not 1h30m0s.
func brief(d time.Duration) string {
	text := strings.TrimSuffix(d.String(), "m0s")
	if text != d.String() {
		text = strings.TrimSuffix(text+"m", "h0m")
		if !strings.HasSuffix(text, "m") {
			text += "h"
		}
	}
	return text
}

// Status reads from each listed host where an unfinished run stands there and who works on it. What cannot be read
// is an error beside what can.
func (e *Engine) Status(ctx context.Context) ([]procedure.Standing, error) {
	listed, err := e.everyNode(ctx, nil)
	if err != nil {
		return nil, err
	}
	var read []*target
	var faults []error
	for _, l := range listed {
		t := newTarget(l.Name, l.Host)
		err := e.openHost(t)
		if err == nil {
			err = e.probe(ctx, t)
		}
		if err != nil {
			faults = append(faults, err)
			if errors.Is(err, procedure.ErrDenied) {
				break // the same password is not tried on the next host
			}
			continue
		}
		read = append(read, t)
	}
	faults = append(faults, e.compareAll(read))
	_ = e.each(read, func(t *target) error { // status tells, and refuses nothing
		if t.facts.Journal != nil || t.facts.Lease != nil && t.facts.Lease.Live(t.facts.Time) {
			return nil // somebody may be at work there, and the machine need not be fit for a precaution right now
		}
		if err := e.checkPrecaution(ctx, t); err != nil && ctx.Err() == nil {
			e.warn(t.name, "whether an earlier run has left a precaution there could not be told in full: %v", errors.Unwrap(err))
		}
		return nil
	})
	var open []procedure.Standing
	for _, t := range read {
		e.tellFired(t)
		j, l := t.facts.Journal, t.facts.Lease
		if t.finished != nil {
			j = t.finished
		}
		if j == nil && (l == nil || l.Released) { // one that was let go is there for a copy of another node's journal
			continue
		}
		one := procedure.Standing{Journal: procedure.Journal{Node: t.name}, Lease: l, Live: l != nil && l.Live(t.facts.Time), Armed: t.facts.Deadman, Busy: t.facts.Busy, Rewound: t.rewound, Doubt: t.doubt, Finished: t.finished != nil}
		if j != nil {
			one.Journal = *j
		} else {
			one.Run, one.Owner, one.Updated = l.Run, l.Owner, l.Renewed
		}
		open = append(open, one)
	}
	return open, errors.Join(faults...)
}

// everyNode is what OCTOPATCH_NODES lists; where it is all, Octopus is asked, and those count that are wanted (nil: every
// one).
func (e *Engine) everyNode(ctx context.Context, wanted func(procedure.NodeState) bool) ([]Listed, error) {
	if !e.All {
		return e.Nodes, nil
	}
	nodes, err := e.Cluster.Nodes(ctx)
	if err != nil && procedure.Transient(err) {
		return nil, &procedure.Fault{Kind: procedure.ErrUnreachable, Subject: "OCTOPATCH_NODES", Problem: "says all, and Octopus cannot be asked which its nodes are", Cause: err,
			Remedy: "name the nodes in OCTOPATCH_NODES: an unfinished run may have stopped Octopus"}
	}
	var listed []Listed
	for _, n := range nodes {
		if wanted == nil || wanted(n) {
			listed = append(listed, Listed{Name: n.Name})
		}
	}
	return listed, err
}
