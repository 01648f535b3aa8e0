package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// stageName is the phase of the log in which updates are searched and downloaded while Octopus serves.
const stageName = "stage"

// stage lets every host search, and in download mode fetch, its updates before anything is entered.
func (e *Engine) stage(ctx context.Context, targets []*target, mode string) {
	_ = e.each(targets, func(t *target) error {
		began := e.Clock.Now()
		e.event(procedure.Event{Type: procedure.PhaseStarted, Node: t.name, Phase: stageName, Title: "Scan for updates and download them while Octopus serves"})
		result := e.scan(ctx, t, mode)
		e.event(procedure.Event{Type: procedure.PhaseEnded, Node: t.name, Phase: stageName, Result: result.Kind, Reason: result.Reason, Seconds: e.Clock.Since(began).Seconds()})
		return nil
	})
}

func (e *Engine) scan(ctx context.Context, t *target, mode string) procedure.Result {
	if e.Patcher != nil {
		return procedure.Skip("OCTOPATCH_PATCH_COMMAND patches instead of Windows Update")
	}
	if what := t.installing(); what != "" {
		return procedure.Skip(what + "; updates are not searched meanwhile")
	}
	order := procedure.WorkOrder{Job: fmt.Sprintf("%s-%s-%s", e.Run, mode, t.name), Mode: mode, Filter: e.Rules.Filter, Keep: t.facts.Journal != nil, Stall: e.Rules.StallTimeout}
	result, err := t.host.Work(ctx, procedure.Change{}, order, func(p procedure.WorkProgress) {
		e.event(procedure.Event{Type: procedure.Progress, Node: t.name, Phase: stageName, Message: strings.TrimSpace(p.Stage + " " + p.Title), Percent: p.Percent})
	})
	if err == nil && (result.Code != "" || result.Problem != "") {
		err = &procedure.Fault{Subject: "node " + t.name, Problem: strings.TrimSpace(result.Problem + " " + result.Code), Remedy: result.Next}
	}
	if err != nil {
		r := classify(err)
		if t.facts.Journal == nil { // a node that is out of service already goes on: only its phases can bring it back
			t.report.Result, t.report.Reason = r.Kind, "updates cannot be searched or downloaded: "+reason(t.name, err)
		}
		return r
	}
	t.staged = result
	t.report.Add(result)
	taken := result.Taken()
	var size int64
	for _, u := range taken {
		size += u.Bytes
	}
	return procedure.Result{Kind: procedure.Done, Reason: fmt.Sprintf("%s to install (%d MB), %d left out", procedure.Count(len(taken), "update"), size>>20, len(result.Updates)-len(taken))}
}

// installing says that the node's open run has begun an installation whose end is not known yet: a search would end the
// worker that is at it, or take its result away from the process that goes on.
func (t *target) installing() string {
	j := t.facts.Journal
	switch {
	case j == nil:
		return ""
	case j.Intent != nil && j.Intent.Job != "":
		return fmt.Sprintf("run %s has begun an installation there, and its end is not recorded (last: %s, %s)", j.Run, intent(j), clockTime(unix(j.Intent.At)))
	case t.facts.Busy != "":
		return fmt.Sprintf("run %s is open there, and Windows installs right now: %s", j.Run, t.facts.Busy)
	}
	return ""
}

// untouched says why a run would not touch the node; "" means it would.
func (e *Engine) untouched(t *target) string {
	switch {
	case t.facts.Journal != nil, e.Patcher != nil, e.Rules.Reboot == procedure.RebootAlways, len(t.facts.Pending) > 0, len(t.staged.Taken()) > 0:
		return ""
	}
	return "nothing to install"
}
