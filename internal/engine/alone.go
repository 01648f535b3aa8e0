package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// order is the document's order between processes: what must be true of the journal before a phase may run
// alone, and the phase that makes it so. A phase that only puts back what was changed asks for no more than
// that something was.
var order = map[string]struct {
	ready func(procedure.Journal) bool
	first string
}{
	procedure.Wait:       {func(j procedure.Journal) bool { return j.Octopus.EnteredAt != 0 }, procedure.Enter},
	procedure.Stop:       {func(j procedure.Journal) bool { return ended(j, procedure.Wait) }, procedure.Wait},
	procedure.Precaution: {stillStopped, procedure.Stop},
	procedure.Patch:      {stillStopped, procedure.Stop},
	procedure.Start:      {func(j procedure.Journal) bool { return j.Host != nil }, procedure.Stop},
	procedure.Exit:       {func(j procedure.Journal) bool { return j.Host == nil || j.Host.Restored || ended(j, procedure.Start) }, procedure.Start},
}

// stillStopped: the dead-man switch may have started the services since.
func stillStopped(j procedure.Journal) bool {
	return ended(j, procedure.Stop) && (j.Host == nil || !j.Host.Restored)
}

func ended(j procedure.Journal, phase string) bool {
	k := j.Phases[phase].Result
	return k == procedure.Done || k == procedure.Skipped
}

// Alone runs one phase on one node, from what the journal on its host says. Octopus is not asked for anything
// that the journal knows, because it may be down by then.
func (e *Engine) Alone(ctx context.Context, p procedure.Phase) Result {
	if p.Cluster {
		return e.scheduleAlone(ctx)
	}
	var cancel context.CancelFunc
	e.grace, cancel = graceful(ctx)
	defer cancel()
	e.alone = true
	t, topology, others, err := e.aloneTarget(ctx, p)
	if err == nil {
		if r := e.unsure(p.Name, t); r != nil {
			return *r
		}
		err = e.lock(ctx, append(others, t))
	}
	if err != nil {
		return e.refused(err)
	}
	defer e.unlock(e.grace, append(others, t))
	if err := e.tidy(ctx, t); err != nil {
		return e.refused(err)
	}
	if err := e.catchUp(ctx, t, topology); err != nil {
		return e.unproved(err)
	}
	t.works(true)
	if p.Name != procedure.Stop {
		e.rearm(ctx, t, p.Name)
	}
	began := e.Clock.Now()
	t.report.Before, t.report.After = t.before(), t.facts.Windows
	t.resume()
	step := e.step(t, topology, p.Name)
	r := e.phase(ctx, p, t, step)
	switch {
	case p.Name == procedure.Stop && r.Kind == procedure.Done:
		t.armed = step.Deadman.Until
	case p.Name == procedure.Stop && r.Kind == procedure.Skipped: // stopped before, and its switch set then
		e.rearm(ctx, t, p.Name)
	}
	t.report.Result, t.report.Reason = r.Kind, r.Reason
	if r.Kind == procedure.Skipped {
		t.report.Result = procedure.Done
	}
	if p.Name == procedure.Exit && (r.Kind == procedure.Failed || r.Kind == procedure.Unknown) {
		e.closeAgain(ctx, t, topology)
	}
	put := e.closeAlone(e.grace, p, t, r)
	e.tellHour(t, p.Name)
	e.nodeEnded(t, began)
	return e.result(ctx, &survey{topology: topology, targets: []*target{t}, version: t.book.Octopus().Version}, put)
}

// closeAlone writes the phase's end to the host, or removes our folder when nothing is left to undo. A phase alone puts
// nothing back but what enter itself has undone: that is reported.
func (e *Engine) closeAlone(ctx context.Context, p procedure.Phase, t *target, r procedure.Result) (putBack bool) {
	ok := r.Kind == procedure.Done || r.Kind == procedure.Skipped
	if r.Kind == procedure.Skipped {
		t.book.Ended(p.Name, procedure.PhaseRecord{Result: r.Kind, Reason: r.Reason, Began: e.Clock.Now().Unix(), Ended: e.Clock.Now().Unix()})
	}
	j := t.book.Journal()
	if ok && p.Name == procedure.Exit && (j.Host == nil || j.Host.Restored) {
		e.clear(ctx, t)
		return false
	}
	if p.Name == procedure.Enter && j.Host == nil && !j.Octopus.OursDrain && !j.Octopus.OursMaint {
		switch {
		case errors.Is(r.Err, procedure.ErrStopped):
			e.clear(ctx, t)
			t.stopped = true
			return true
		case !ok && !j.Octopus.Known: // Octopus could not be read, so nothing was begun, and there is nothing to exit
			e.clear(ctx, t)
			t.report.Next = procedure.With("OCTOPATCH_NODE", t.name) + "octopatch " + procedure.Enter
			return false
		}
	}
	words := "ended: " + string(r.Kind)
	if errors.Is(r.Err, errInterrupted) {
		words = errInterrupted.Error()
	}
	note := t.book.Next(p.Name, words)
	err := e.tellHost(ctx, func() error {
		j, err := t.host.Record(ctx, note)
		if err == nil {
			err = t.book.Took(j)
		}
		return err
	})
	if err != nil {
		e.warn(t.name, "the end of the phase could not be written to the host: %v", err)
	}
	t.report.Next = e.goOn(t)
	return false
}

// aloneTarget finds the node, reads its host and the others and proves that the phase may run now.
func (e *Engine) aloneTarget(ctx context.Context, p procedure.Phase) (*target, procedure.Topology, []*target, error) {
	if p.Name == procedure.Enter {
		return e.enterTarget(ctx)
	}
	l, err := e.listed()
	if err != nil {
		return nil, "", nil, err
	}
	t := newTarget(l.Name, l.Host)
	if err := e.openHost(t); err != nil {
		return nil, "", nil, err
	}
	if err := e.probe(ctx, t); err != nil {
		return nil, "", nil, err
	}
	e.tellFired(t)
	others, err := e.besides(ctx, t)
	if e.All && (p.Name == procedure.Start || p.Name == procedure.Exit) { // nobody has named them, and this one is to serve again
		others = answered(others)
	}
	if err == nil {
		err = e.compare(t, others)
	}
	if err != nil {
		return nil, "", nil, err
	}
	if p.Name == procedure.Exit && t.finished != nil { // it looks once more whether the node serves, and removes what is left
		t.facts.Journal, t.finished = t.finished, nil
	}
	_, err = e.mayTake(t, t.facts.Lease, t.facts.Journal, t.facts.Time)
	if err := errors.Join(err, e.mapHost(nil, t), e.mayRun(p, t)); err != nil {
		return nil, "", nil, err
	}
	// Octopus may be stopped by now: the journal knows which installation it is.
	server := procedure.ServerInfo{Version: t.facts.Journal.Octopus.Version, InstallationID: t.facts.Journal.Octopus.Installation}
	if err := errors.Join(e.Guard(ctx, server, []procedure.HostFacts{t.facts})...); err != nil {
		return nil, "", nil, err
	}
	e.Run = t.facts.Journal.Run
	e.event(procedure.Event{Type: procedure.Progress, Node: t.name, Phase: p.Name, Message: "going on with run " + e.Run})
	topology := t.facts.Journal.Topology
	e.openBook(t, topology)
	return t, topology, others, nil
}

// mayRun: the document's order holds between processes as well.
func (e *Engine) mayRun(p procedure.Phase, t *target) error {
	j := t.facts.Journal
	if j == nil {
		return procedure.Refuse("node "+t.name, "no run is open on it, so there is nothing for "+p.Name+" to go on with", "begin with octopatch enter, or run the whole procedure with octopatch run")
	}
	if e.Resume != "" && j.Run != e.Resume {
		return procedure.Refuse("OCTOPATCH_RUN_ID", fmt.Sprintf("says %s, and the open run on node %s is %s", e.Resume, t.name, j.Run), "octopatch status shows the open run")
	}
	if need := order[p.Name]; !need.ready(*j) {
		return procedure.Refuse("octopatch "+p.Name, fmt.Sprintf("must follow %s, which has not ended well on node %s", need.first, t.name), "run octopatch "+need.first+" first")
	}
	return nil
}

// enterTarget begins a run on one node, after the whole preflight.
func (e *Engine) enterTarget(ctx context.Context) (*target, procedure.Topology, []*target, error) {
	s, err := e.surveyOctopus(ctx)
	if err != nil {
		return nil, "", nil, err
	}
	name := e.Node
	if name == "" && len(s.targets) == 1 {
		name = s.targets[0].name
	}
	t := find(s.targets, name)
	if t == nil {
		return nil, "", nil, e.whichNode(names(s.nodes))
	}
	all := s.targets
	s.targets = []*target{t}
	if err := e.readHosts(ctx, s); err != nil {
		return nil, "", nil, err
	}
	held, err := e.heldButGone(ctx, &survey{nodes: s.nodes, targets: all})
	if err == nil {
		err = e.proveHosts(ctx, s)
	}
	for _, h := range held {
		err = errors.Join(err, procedure.Refuse("node "+h.name, "is offline: run "+h.facts.Journal.Run+" is unfinished there ("+intent(h.facts.Journal)+")", "finish it first: "+procedure.GoOn))
	}
	if err != nil {
		return nil, "", nil, err
	}
	var listed []Listed
	for _, one := range all {
		listed = append(listed, Listed{Name: one.name, Host: one.hostName})
	}
	others, err := e.others(ctx, t, listed)
	read := append(answered(others), t)
	if err == nil {
		err = e.compareAll(read)
	}
	if err != nil {
		return nil, "", nil, err
	}
	run, err := e.openRun(read) // a cluster has one run at a time
	if err != nil {
		return nil, "", nil, err
	}
	if e.Run = or(run, e.Run); t.facts.Journal != nil {
		e.Run = t.facts.Journal.Run
	}
	e.openBook(t, s.topology)
	return t, s.topology, others, nil
}

// listed is the one node that a phase alone is for, without asking Octopus.
func (e *Engine) listed() (Listed, error) {
	var all []string
	for _, l := range e.Nodes {
		all = append(all, l.Name)
		if strings.EqualFold(l.Name, e.Node) || e.Node == "" && len(e.Nodes) == 1 {
			return l, nil
		}
	}
	if e.All && e.Node != "" {
		return Listed{Name: e.Node}, nil
	}
	return Listed{}, e.whichNode(strings.Join(all, ", "))
}

func (e *Engine) whichNode(all string) error {
	if e.Node != "" {
		return procedure.Refuse("OCTOPATCH_NODE", fmt.Sprintf("%s is not one of the nodes in OCTOPATCH_NODES (%s)", e.Node, or(all, "all")), "set it to one of them")
	}
	return procedure.Refuse("OCTOPATCH_NODE", fmt.Sprintf("does not say which node of OCTOPATCH_NODES (%s) this phase is for", or(all, "all")), "set it to one of them")
}

func (e *Engine) scheduleAlone(ctx context.Context) Result {
	s, err := e.surveyOctopus(ctx)
	if err != nil {
		return e.refused(err)
	}
	notice, r := e.announce(ctx, s)
	result := Result{Run: e.Run, Topology: s.topology, Version: s.version, Notice: notice, Err: r.Err}
	switch r.Kind {
	case procedure.Failed:
		result.Exit = ExitFailed
	case procedure.Unknown:
		result.Exit = ExitUnknown
	}
	return result
}
