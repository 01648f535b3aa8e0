package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// openRun is the unfinished run that the hosts know of, "" where there is none. It refuses where this process may
// not go on with it: somebody works on it, somebody else's word is missing, or there are two of them.
func (e *Engine) openRun(targets []*target) (string, error) {
	run := ""
	var faults []error
	for _, t := range targets {
		e.tellFired(t)
		open, err := e.mayTake(t, t.facts.Lease, t.facts.Journal, t.facts.Time)
		faults = append(faults, err)
		if open != "" && run != "" && open != run {
			faults = append(faults, procedure.Refuse("node "+t.name, fmt.Sprintf("run %s is unfinished there, and run %s on another node", open, run), "finish one of them first, with OCTOPATCH_NODES naming its nodes only"))
		}
		if open != "" {
			run = open
		}
	}
	for variable, named := range map[string]string{"OCTOPATCH_RUN_ID": e.Resume, "OCTOPATCH_TAKEOVER": e.Takeover} {
		switch {
		case named == "" || named == run:
		case run == "":
			faults = append(faults, procedure.Refuse(variable, "no node of OCTOPATCH_NODES has an open run "+named, "octopatch status shows the open run; leave the variable out to begin a new one"))
		default:
			faults = append(faults, procedure.Refuse(variable, fmt.Sprintf("says %s, and the open run is %s", named, run), "octopatch status shows the open run"))
		}
	}
	return run, errors.Join(faults...)
}

// mayTake is the run that is unfinished on a host, and why this process may not go on with it.
func (e *Engine) mayTake(t *target, l *procedure.Lease, j *procedure.Journal, now time.Time) (run string, err error) {
	owner, last := "", "nothing was changed yet"
	if j != nil {
		run, owner, last = j.Run, j.Owner, "last: "+intent(j)
	}
	switch {
	case l != nil && j != nil: // whoever came last; the run that is unfinished there is the journal's
		owner = l.Owner
	case l != nil && !l.Released:
		run, owner = l.Run, l.Owner
	}
	switch {
	case l != nil && l.Nonce == e.Nonce:
		return run, nil
	case l != nil && l.Live(now):
		return run, e.inWork(t, *l)
	case run == "", l != nil && l.Released, owner == e.Owner, run == e.Takeover:
		return run, nil
	}
	return run, procedure.Refuse("node "+t.name, fmt.Sprintf("run %s of %s is unfinished there (%s), and its owner has not let go of it", run, or(owner, "an unknown owner"), last),
		"octopatch status shows where it stands; once it is sure that it is dead, go on with it: "+procedure.With("OCTOPATCH_TAKEOVER", run)+procedure.GoOn)
}

// inWork refuses because of a live lease, and names its owner.
func (e *Engine) inWork(t *target, l procedure.Lease) error {
	return procedure.Refuse("node "+t.name, fmt.Sprintf("%s works on it: run %s, last heard of at %s", or(l.Owner, "an unknown owner"), l.Run, clockTime(time.Unix(l.Renewed, 0))),
		fmt.Sprintf("wait for that run to end; if it is dead, its lease is stale at %s", clockTime(l.StaleAt())))
}

func clockTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

// lock takes the lease of every host, in name order, so that of two processes one gets all and the other none.
func (e *Engine) lock(ctx context.Context, targets []*target) error {
	byName := slices.Clone(targets)
	slices.SortFunc(byName, func(a, b *target) int { return strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)) })
	for i, t := range byName {
		if err := e.take(ctx, t); err != nil {
			e.unlock(e.grace, byName[:i+1]) // the last one too: the reply may be what was lost
			return err
		}
	}
	e.leased = byName
	keep, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.endKeeping = stop
	claim := procedure.Claim{Run: e.Run, Owner: e.Owner, Attempt: e.Attempt, Nonce: e.Nonce}
	for _, t := range byName {
		e.keeping.Go(func() { e.keepLease(keep, t, claim) })
	}
	return nil
}

// take asks one host for its lease.
func (e *Engine) take(ctx context.Context, t *target) error {
	claim := procedure.Claim{Run: e.Run, Owner: e.Owner, Attempt: e.Attempt, Nonce: e.Nonce, Every: procedure.LeaseWaiting}
	for try := 1; ; try++ {
		got, err := t.host.Take(ctx, claim)
		switch {
		case err != nil && procedure.Transient(err) && try < 5:
			if err := e.Clock.Sleep(ctx, probeEvery); err != nil {
				return err
			}
			continue
		case err != nil:
			return named{t.name, err}
		case got.Held:
			return e.asRead(t, got.Journal)
		case got.Lease == nil:
			return procedure.Refuse("node "+t.name, "its host neither gives its lease nor says who has it", "octopatch status shows what is open there")
		case got.Live:
			return e.inWork(t, *got.Lease)
		case claim.Expect == got.Lease.Nonce:
			return procedure.Refuse("node "+t.name, "its host does not give a lease that is stale", "run octopatch again")
		}
		if _, err := e.mayTake(t, got.Lease, got.Journal, got.Lease.StaleAt()); err != nil {
			return err
		}
		claim.Expect = got.Lease.Nonce
	}
}

// asRead: what this process knows of the host must still be so now that it alone may change it.
func (e *Engine) asRead(t *target, now *procedure.Journal) error {
	was := t.read
	if t.facts.Folder == "" || was == nil && now == nil || was != nil && now != nil && was.Run == now.Run && was.Counter == now.Counter {
		return nil
	}
	return procedure.Refuse("node "+t.name, "another process has changed its journal a moment ago", "run octopatch again")
}

// unlock lets every lease go; a host without an open run has nothing of ours left afterwards.
func (e *Engine) unlock(ctx context.Context, targets []*target) {
	if e.endKeeping != nil {
		e.endKeeping()
		e.keeping.Wait()
	}
	_ = e.each(targets, func(t *target) error {
		err := e.tellHost(ctx, func() error { return t.host.Release(ctx) })
		if err != nil && !errors.Is(err, procedure.ErrTaken) {
			e.warn(t.name, "the lease could not be given back, so others are refused until it is stale: %v", err)
			if t.report.Next != "" { // whoever follows it may be somebody else
				t.report.Next = procedure.With("OCTOPATCH_TAKEOVER", e.Run) + t.report.Next
			}
		}
		return nil
	})
}

// keepLease renews a host's lease where no other call does.
func (e *Engine) keepLease(ctx context.Context, t *target, claim procedure.Claim) {
	lost, denied := false, time.Time{}
	for e.Clock.Sleep(ctx, time.Minute) == nil {
		claim.Every = t.pace()
		if lost || !denied.IsZero() && !t.host.Renewed().After(denied) { // a login that was refused is not tried again here
			continue
		}
		renewed := t.host.Renewed()
		if renewed.IsZero() || e.Clock.Since(renewed) < claim.Every-time.Minute { // never: it was let go, for a revert that rewinds it
			continue
		}
		got, err := t.host.Take(ctx, claim)
		if errors.Is(err, procedure.ErrDenied) {
			denied = e.Clock.Now()
		}
		if err == nil && !got.Held { // its calls will hear it from the host as well
			lost = true
			e.warn(t.name, "the lease of its host is somebody else's now; nothing more is changed there")
		}
	}
}

// works marks the node as the one in work, whose lease is renewed more often.
func (t *target) works(yes bool) {
	t.working.Store(yes)
	t.host.Pace(t.pace())
}

func (t *target) pace() time.Duration {
	if t.working.Load() {
		return procedure.LeaseWorking
	}
	return procedure.LeaseWaiting
}
