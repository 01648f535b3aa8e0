package procedure

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Recover is the phase that is not in the document's list: it is what the precaution was for.
const Recover = "recover"

// What OCTOPATCH_RECOVER allows, and what OCTOPATCH_ON_FAILURE decides.
const (
	RecoverForce    = "force"     // although the node is healthy
	RecoverLoseData = "lose-data" // although data would be rewound; and although the node is healthy
	OnFailureHold   = "hold"
	OnFailureRevert = "recover"
)

// Recovery restores the operating system to just before patching, starts the service and exits. It never
// touches the database.
func Recovery() Phase {
	const title = "Restore the operating system to just before patching, start the service, exit"
	return Phase{
		Name: Recover, Single: title, HA: title,
		Limit: func(r Rules) time.Duration {
			return 2*r.PrecautionTimeout + 2*r.RebootTimeout + start.Limit(r) + exit.Limit(r)
		},
		Do: func(ctx context.Context, s *Step) error { return s.recover(ctx) },
	}
}

func (s *Step) recover(ctx context.Context) error {
	before, err := s.mayRevert(ctx)
	if err != nil {
		return err
	}
	if err := s.revert(ctx); err != nil {
		return err
	}
	if err := s.reverted(ctx, before); err != nil {
		return err
	}
	if err := start.Do(ctx, s); err != nil {
		return err
	}
	if err := exit.Do(ctx, s); err != nil {
		return err
	}
	if err := s.servesAgain(ctx); err != nil {
		return err
	}
	s.recovered(ctx)
	return nil
}

// recovered notes on the host that nothing is left to do there but to remove the precaution, before that is begun:
// without it a run that goes on would take the node out of service again, to be patched, and find nothing to revert to.
func (s *Step) recovered(ctx context.Context) {
	now := s.Clock.Now().Unix()
	s.Book.Ended(Exit, PhaseRecord{Result: Done, Reason: "after the revert", Began: now, Ended: now})
	if err := s.intend(ctx, "remove the precaution, for the node is recovered"); err != nil {
		s.warn("that the node is recovered could not be written to its host: %v", err)
	}
	s.EndPrecaution(ctx)
}

// revert asks the provider, once more after a lost reply: nothing was started in between, so a second revert to
// the same point changes nothing.
func (s *Step) revert(ctx context.Context) error {
	p := s.point()
	switch err := s.intend(ctx, "revert to "+p.Name); { // the host's counter is then below ours once it is reverted
	case err != nil && !Transient(err):
		return err
	case err != nil:
		s.warn("%v; the runner's copy of the journal is what counts", err)
	}
	if err := s.Book.Save(); err != nil {
		return err
	}
	if err := s.KeepCopy(ctx, s.Book.Journal()); err != nil {
		return err
	}
	s.Reverting = true
	// The revert rewinds the lease as well, and calls that held it would be refused from then on. Windows goes back by
	// itself, asked under the lease.
	if s.Provider.Rewinds() == RewindsWindows {
		defer s.Host.LetGo()
	} else {
		s.Host.LetGo()
	}
	for try := 1; ; try++ {
		limited, cancel := s.Clock.WithTimeout(ctx, s.Rules.PrecautionTimeout)
		err := s.Provider.Revert(limited, p, func(text string) { s.progress("%s", text) })
		late := limited.Err() != nil && ctx.Err() == nil
		cancel()
		if err != nil && late {
			return &Fault{Kind: ErrUnreadable, Subject: s.Node, Problem: "the revert was not seen to end within " + Span(s.Rules.PrecautionTimeout.Seconds()) + ", and may go on", Cause: err,
				Remedy: "look at the provider's own log; once it has ended, run octopatch recover again"}
		}
		if err == nil || !Transient(err) || try == 2 || ctx.Err() != nil {
			return err
		}
		s.warn("no answer to the revert (%v); asking for it once more, nothing was started meanwhile", err)
	}
}

// reverted waits for the host, proves that its operating system is the earlier one, and gives it the newest
// journal back, for its own is as old as the precaution.
func (s *Step) reverted(ctx context.Context, before HostFacts) error {
	prior := s.Book.Journal().Host
	began := s.Clock.Now()
	want := Readiness{Quiet: quietPeriod, Limit: s.Rules.RebootTimeout}
	// A snapshot with its memory goes on in the boot that it was taken in; a restore point always restarts.
	if prior != nil && (before.Windows.Boot != prior.Boot || s.Provider.Rewinds() == RewindsWindows) {
		want.BootBefore = before.Windows.Boot
	}
	now, err := s.Host.Ready(ctx, want, func(what string) {
		s.say(Event{Type: Waiting, WaitingFor: what, Since: began, Seconds: s.Clock.Since(began).Seconds(), Limit: want.Limit.Seconds()})
	})
	if err != nil {
		return &Fault{Kind: ErrUnreadable, Subject: s.Node, Problem: "it is not proved that the host is back after the revert", Cause: err, Remedy: "look at its console; once it is up, run octopatch recover again"}
	}
	s.Report.After, s.unheard = now, false
	facts, err := s.Host.Probe(ctx)
	if err != nil {
		return err
	}
	unproved := func(problem string) error {
		return &Fault{Kind: ErrUnreadable, Subject: s.Node, Problem: "it is not proved that the operating system is the one before patching: " + problem, Remedy: "look at the machine and at the provider's own log"}
	}
	ours := s.Book.Journal()
	switch {
	case prior == nil:
		return unproved("the journal does not say what it was")
	case now.Build != prior.Build || now.UBR != prior.UBR:
		return unproved(fmt.Sprintf("it is %s.%d and was %s.%d", now.Build, now.UBR, prior.Build, prior.UBR))
	case facts.Journal == nil || facts.Journal.Run != ours.Run:
		return unproved("this run's journal is not on the host")
	case s.Provider.Rewinds() == RewindsDisks && facts.Journal.Counter >= ours.Counter:
		return unproved("the journal on the host was not rewound")
	}
	if prover, ok := s.Provider.(Prover); ok {
		if err := prover.Reverted(ctx, s.point()); err != nil {
			return err
		}
	}
	for _, i := range facts.Instances { // the host may not have answered before
		if strings.EqualFold(i.Node, s.Node) {
			s.Instance = i
		}
	}
	s.Book.Rewound()
	s.progress("the operating system is the one before patching: %s.%d, booted %s", now.Build, now.UBR, facts.BootTime.UTC().Format("2006-01-02 15:04:05 MST"))
	if len(facts.Pending) > 0 {
		s.Report.RebootPending = true
		s.warn("a reboot was pending before patching already (%s), and is again", strings.Join(facts.Pending, ", "))
	}
	if err := s.Relock(ctx); err != nil {
		return err
	}
	return s.intend(ctx, "go on after the revert") // with the newest journal, as the first call
}
