package procedure

import (
	"context"
	"errors"
	"time"
)

// settled reads the host once it is quiet: it may have restarted once more by itself, or still be configuring
// updates.
func (r *rounds) settled(ctx context.Context) (HostFacts, error) {
	facts, err := r.Host.Probe(ctx)
	if err == nil && facts.Busy == "" && facts.Windows.Boot == r.Report.After.Boot {
		return facts, nil
	}
	if err != nil && !Transient(err) {
		return facts, err
	}
	began := r.Clock.Now()
	_, err = r.Host.Ready(ctx, Readiness{Quiet: quietPeriod, Limit: r.Rules.RebootTimeout}, func(what string) {
		r.say(Event{Type: Waiting, WaitingFor: what, Since: began, Seconds: r.Clock.Since(began).Seconds(), Limit: r.Rules.RebootTimeout.Seconds()})
	})
	if err != nil {
		return facts, r.notBack(err)
	}
	return r.Host.Probe(ctx)
}

// reboot restarts Windows and sees it come back with another boot time. It is asked for a second time only
// after the host itself has shown that the first request did nothing.
func (r *rounds) reboot(ctx context.Context) error {
	before := r.Report.After.Boot
	r.reboots++
	for try := 1; ; try++ {
		if r.Report.Timeline.HostDown.IsZero() {
			r.Report.Timeline.HostDown = r.Clock.Now()
		}
		r.brought()
		change := r.Book.Next(Patch, "reboot")
		if err := r.Book.Save(); err != nil {
			return err
		}
		err := r.Host.Reboot(ctx, change)
		if err != nil && !Transient(err) {
			return err
		}
		limit := r.Rules.RebootTimeout
		if err != nil {
			r.warn("no answer to the reboot request (%v); asking the host whether it restarts", err)
			if try == 1 {
				limit = min(limit, 10*time.Minute)
			}
		}
		readyErr := r.comesBack(ctx, before, limit)
		if readyErr == nil {
			return nil
		}
		if err == nil || try == 2 || errors.Is(readyErr, ErrDenied) { // a login that was refused is not tried any further
			return r.notBack(readyErr)
		}
		facts, probeErr := r.Host.Probe(ctx)
		if probeErr != nil || facts.Windows.Boot != before { // it restarts, only slowly
			return r.notBack(r.comesBack(ctx, before, r.Rules.RebootTimeout))
		}
		r.warn("the host still runs since the same boot: the reboot request did nothing; asking once more")
	}
}

// goesDown: the host shuts down by somebody else's doing, and our reboot would be in its way. A shutdown that was
// taken back in between is no reason to wait for long.
func (r *rounds) goesDown(ctx context.Context) error {
	r.warn("the host is shutting down by somebody else's doing; waiting for it to come back")
	before := r.Report.After.Boot
	err := r.comesBack(ctx, before, min(r.Rules.RebootTimeout, 10*time.Minute))
	if err == nil || errors.Is(err, ErrDenied) {
		return r.notBack(err)
	}
	if facts, probeErr := r.Host.Probe(ctx); probeErr == nil && facts.Windows.Boot == before {
		r.warn("the host still runs since the same boot: its shutdown was taken back; going on")
		return nil
	}
	return r.notBack(r.comesBack(ctx, before, r.Rules.RebootTimeout))
}

// comesBack waits until the host is back with another boot time, and quiet.
func (r *rounds) comesBack(ctx context.Context, before string, limit time.Duration) error {
	began := r.Clock.Now()
	now, err := r.Host.Ready(ctx, Readiness{BootBefore: before, Quiet: quietPeriod, Limit: limit}, func(what string) {
		r.say(Event{Type: Waiting, WaitingFor: what, Since: began, Seconds: r.Clock.Since(began).Seconds(), Limit: limit.Seconds()})
	})
	if err == nil {
		r.Report.After, r.Report.Timeline.Back, r.Report.Reboots = now, r.Clock.Now(), r.reboots
		r.brought()
	}
	return err
}

func (r *rounds) notBack(err error) error {
	if err == nil {
		return nil
	}
	return &Fault{Kind: ErrUnreadable, Subject: r.Node, Problem: "it is not proved that the host is back from its reboot", Cause: err,
		Remedy: "look at its console; once it is up, run " + GoOn + "; to serve as it is, unpatched: " + With("OCTOPATCH_NODE", r.Node) + "octopatch start, then octopatch exit"}
}

// rebootedSince: the reboot that an earlier process's installation asks for has been made by somebody meanwhile.
func (r *rounds) rebootedSince(ctx context.Context, boot string) (bool, error) {
	facts, err := r.settled(ctx)
	if err != nil || boot == "" || facts.Windows.Boot == boot || len(facts.Pending) > 0 {
		return false, err
	}
	r.progress("the host has restarted since, and nothing is pending; going on with another round")
	r.Report.After = facts.Windows
	return true, nil
}

// restartedByItself: a host that booted under the worker has cut it off; that is no failure of the updates, and
// another round finds what is left.
func (r *rounds) restartedByItself(ctx context.Context, result WorkResult) (bool, error) {
	before := r.Report.After.Boot
	facts, err := r.settled(ctx)
	if err != nil || facts.Windows.Boot == before {
		return false, err
	}
	r.warn("the host restarted by itself while the worker was at it (%s); going on with another round", result.Problem)
	r.Report.After = facts.Windows
	return true, nil
}
