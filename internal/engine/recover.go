package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Recover restores the operating system of one node to just before patching, starts it and opens it again. The
// host need not answer: then the runner's copy of the journal is what is known of it.
func (e *Engine) Recover(ctx context.Context) Result {
	var cancel context.CancelFunc
	e.grace, cancel = graceful(ctx)
	defer cancel()
	e.alone = true
	t, others, err := e.recoverTarget(ctx)
	if err != nil {
		return e.refused(err)
	}
	if r := e.unsure(procedure.Recover, t); r != nil {
		return *r
	}
	all, first := append(others, t), others
	if t.read != nil { // a host that does not answer has nobody's lease taken from it before the revert
		first = all
	}
	if err := e.lock(ctx, first); err != nil {
		return e.refused(err)
	}
	defer e.unlock(e.grace, all)
	t.works(true)
	began := e.Clock.Now()
	topology := t.book.Journal().Topology
	t.report.Before, t.report.After = t.facts.Windows, t.facts.Windows
	r, refused := e.recoverNode(ctx, t, topology)
	if refused {
		return e.refused(r.Err)
	}
	t.report.Result, t.report.Reason = r.Kind, r.Reason
	e.nodeEnded(t, began)
	return e.result(ctx, &survey{topology: topology, targets: []*target{t}, version: t.book.Octopus().Version}, false)
}

// recoverNode runs the phase, and leaves the node open and clean, or held; refused says that nothing was changed.
func (e *Engine) recoverNode(ctx context.Context, t *target, topology procedure.Topology) (r procedure.Result, refused bool) {
	p := procedure.Recovery()
	step := e.step(t, topology, p.Name)
	r = e.phase(ctx, p, t, step)
	if r.Kind == procedure.Done {
		t.held, t.report.Next = false, ""
		e.clear(ctx, t)
		return r, false
	}
	if errors.Is(r.Err, procedure.ErrRefused) && !step.Reverting {
		return r, true
	}
	if !step.Reverting { // a guard could not be evaluated, or was interrupted, and all is as it was
		if !t.held {
			t.report.Next = procedure.With("OCTOPATCH_NODE", t.name) + "octopatch " + p.Name
		}
		return r, false
	}
	if ctx.Err() != nil {
		e.regain(e.grace, t)
		e.leave(e.grace, t, p.Name)
		return r, false
	}
	e.regain(ctx, t)
	e.closeAgain(ctx, t, topology)
	e.hold(ctx, t, p.Name)
	return r, false
}

// regain takes the lease of the host again where a revert that did not end well has let it go. Where the host does not
// answer, or has another's by now, what is written next says so.
func (e *Engine) regain(ctx context.Context, t *target) {
	if t.host.Renewed().IsZero() {
		_, _ = t.host.Take(ctx, procedure.Claim{Run: e.Run, Owner: e.Owner, Attempt: e.Attempt, Nonce: e.Nonce, Every: procedure.LeaseWorking})
	}
}

// recoverByItself is what OCTOPATCH_ON_FAILURE=recover does with a node that would be held. A login that the
// host or Octopus refuses says nothing of the node's health, and neither does a lease that is somebody else's by now:
// then it stays as it is.
func (e *Engine) recoverByItself(ctx context.Context, t *target, topology procedure.Topology, failed procedure.Result) {
	taken := t.book.Journal().Precaution
	if !t.held || e.Rules.OnFailure != procedure.OnFailureRevert || taken == nil || errors.Is(failed.Err, procedure.ErrDenied) || errors.Is(failed.Err, procedure.ErrTaken) || ctx.Err() != nil {
		return
	}
	e.warn(t.name, "its health is not proved; going back to the precaution %s (OCTOPATCH_ON_FAILURE=recover)", taken.Name)
	r, refused := e.recoverNode(ctx, t, topology)
	if r.Kind == procedure.Done {
		t.report.Result = procedure.Failed // it serves, and is not patched
		t.report.Reason += "; recovered: it serves as before patching"
		return
	}
	t.report.Reason += "; recover: " + r.Reason
	if !refused { // then the node is held as it was, and that is known
		t.report.Result = worse(t.report.Result, r.Kind)
	}
}

// recoverTarget finds the node, the newest journal of its open run, and the other hosts that answer: somebody who works
// on one of them must not be met by a revert.
func (e *Engine) recoverTarget(ctx context.Context) (*target, []*target, error) {
	l, err := e.listed()
	if err != nil {
		return nil, nil, err
	}
	t := newTarget(l.Name, l.Host)
	if err := e.openHost(t); err != nil {
		return nil, nil, err
	}
	readErr := e.probe(ctx, t)
	if errors.Is(readErr, procedure.ErrDenied) || e.interrupted(readErr) {
		return nil, nil, readErr
	}
	if readErr == nil {
		if err := e.mapHost(nil, t); err != nil {
			return nil, nil, err
		}
	}
	others, err := e.besides(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	others = answered(others)
	if err := e.openNewest(t, others, readErr); err != nil {
		return nil, nil, err
	}
	var hosts []procedure.HostFacts
	if readErr == nil { // one that does not answer is not the machine that this runs on
		hosts = append(hosts, t.facts)
	}
	known := t.book.Octopus()
	server := procedure.ServerInfo{Version: known.Version, InstallationID: known.Installation}
	return t, others, errors.Join(e.Guard(ctx, server, hosts)...)
}

// openNewest goes on with the newest journal of the node's open run.
func (e *Engine) openNewest(t *target, others []*target, readErr error) error {
	err := e.compare(t, others)
	j := t.facts.Journal
	if readErr != nil {
		j, _, err = e.kept(t, e.Resume, others)
	}
	switch {
	case err != nil:
		return err
	case j == nil && readErr != nil:
		return errors.Join(readErr, procedure.Refuse("OCTOPATCH_STATE_DIR", fmt.Sprintf("has no copy of a journal of node %s, and the host does not answer", t.name),
			"revert the machine by hand; once it is up, run octopatch start and octopatch exit for the node"))
	case readErr != nil && j.Finished(): // whatever became of the machine since, no revert of that run's is due
		return errors.Join(readErr, procedure.Refuse("node "+t.name, "run "+j.Run+" has ended there and put everything back, as the runner's copy of its journal says, and the host does not answer, so that it cannot say that another one is open",
			"look at the machine's console; to go back to a precaution that was kept, revert the machine by hand"))
	case j == nil && t.finished != nil:
		return procedure.Refuse("node "+t.name, "run "+t.finished.Run+" has ended there and put everything back; only what is octopatch's own is left", "it is removed by: "+procedure.With("OCTOPATCH_NODE", t.name)+"octopatch exit")
	case j == nil:
		return procedure.Refuse("node "+t.name, "no run is open on it, so there is nothing to recover from", "octopatch status shows where runs stand")
	case e.Resume != "" && j.Run != e.Resume:
		return procedure.Refuse("OCTOPATCH_RUN_ID", fmt.Sprintf("says %s, and the open run on node %s is %s", e.Resume, t.name, j.Run), "octopatch status shows the open run")
	}
	if readErr != nil && j.Owner != e.Owner && e.Takeover != j.Run { // the lease that would tell whether they live cannot be read
		return procedure.Refuse("node "+t.name, fmt.Sprintf("run %s is %s's, the host does not answer, and whether that process is at work on it (a restart is silent, too) cannot be read", j.Run, or(j.Owner, "an unknown owner")),
			"once it is sure that it is dead: "+procedure.With("OCTOPATCH_TAKEOVER", j.Run)+procedure.With("OCTOPATCH_NODE", t.name)+"octopatch recover")
	}
	if e.Run != j.Run { // the lease of the host is renewed beside, in its name
		e.Run = j.Run
	}
	if readErr != nil && j.Host != nil { // what stopped is known from the journal alone
		for _, s := range j.Host.Services {
			t.services = append(t.services, s.Name)
		}
	}
	t.facts.Journal = j
	e.openBook(t, j.Topology)
	return nil
}

// relock takes the lease of a host whose own was rewound by the revert: that one is an earlier process's of this
// run, and is waited for until it is stale.
func (e *Engine) relock(ctx context.Context, t *target) error {
	claim := procedure.Claim{Run: e.Run, Owner: e.Owner, Attempt: e.Attempt, Nonce: e.Nonce, Every: procedure.LeaseWorking}
	const tries = 40
	for try := 1; ; try++ {
		got, err := t.host.Take(ctx, claim)
		switch {
		case err == nil && got.Held:
			return nil
		case err != nil && !procedure.Transient(err):
			return err
		case try == tries && err != nil:
			return err
		case err == nil && got.Lease != nil && got.Lease.Run != e.Run, try == tries && err == nil && got.Lease != nil:
			return e.inWork(t, *got.Lease)
		case err == nil && got.Lease != nil && !got.Live:
			claim.Expect = got.Lease.Nonce
		}
		if err := e.Clock.Sleep(ctx, time.Minute); err != nil {
			return err
		}
	}
}
