package procedure

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var exit = Phase{
	Name:   Exit,
	Single: "Exit Maintenance Mode",
	HA:     "Exit drain mode for that node so it will start accepting Octopus Tasks again",
	Limit:  func(r Rules) time.Duration { return exitLimit + healthLimit + r.Soak + r.PrecautionTimeout },
	Done: func(ctx context.Context, s *Step) (string, error) {
		prior := s.Book.Octopus()
		was := s.Topology == HA && prior.Drained || s.Topology == Single && prior.Maintenance
		if prior.Known && was && !prior.OursDrain && !prior.OursMaint {
			if s.Book.Journal().Host != nil { // the machine was changed all the same
				if err := s.servesAgain(ctx); err != nil {
					return "", err
				}
			}
			s.EndPrecaution(ctx)
			return "it was so before this run, and stays so", nil
		}
		return "", nil
	},
	Do: func(ctx context.Context, s *Step) error {
		if !s.Book.Octopus().Known {
			return &Fault{Kind: ErrRefused, Subject: s.Node, Problem: "no run has entered it, so there is nothing to exit", Remedy: "octopatch status shows where a run stands"}
		}
		// The dead-man switch may have started the service, or a start was not seen to its end.
		if j := s.Book.Journal(); j.Host != nil && j.Phases[Start].Result != Done && !s.healthy {
			if err := s.answersItself(ctx); err != nil {
				return fmt.Errorf("the node's health is not proved, so it is not opened: %w", err)
			}
		}
		return s.Release(ctx)
	},
	Verify: func(ctx context.Context, s *Step) error {
		if err := s.servesAgain(ctx); err != nil {
			return err
		}
		s.EndPrecaution(ctx)
		return nil
	},
}

// servesAgain proves that the node is healthy and stays so. One that was out of service before us answers 418 for ever,
// and that is as it was.
func (s *Step) servesAgain(ctx context.Context) error {
	if prior := s.Book.Octopus(); prior.Drained || s.Topology == Single && prior.Maintenance {
		return s.staysHealthy(ctx, 418)
	}
	return s.staysHealthy(ctx)
}

// Release undoes in Octopus what this run did, and nothing else: drain mode first, then Maintenance Mode.
func (s *Step) Release(ctx context.Context) error {
	prior := s.Book.Octopus()
	if prior.OursDrain {
		if err := s.undrain(ctx); err != nil {
			return err
		}
		prior.OursDrain = false
	}
	if prior.OursMaint {
		if err := s.exitMaintenanceMode(ctx); err != nil {
			return err
		}
		prior.OursMaint = false
	}
	prior.Released = true
	s.Report.Timeline.Reopened = s.Clock.Now()
	return nil
}

// CloseAgain takes a node out of service that was opened and is not healthy after all.
func (s *Step) CloseAgain(ctx context.Context) error {
	s.Book.Octopus().Released = false
	s.Report.Timeline.Reopened = time.Time{}
	if s.Topology == Single {
		return s.enterMaintenanceMode(ctx)
	}
	return s.drain(ctx)
}

// undrain goes through Octopus' API; where Octopus cannot be reached that way or refuses our login, through
// Octopus.Server.exe on the host.
func (s *Step) undrain(ctx context.Context) error {
	if err := s.intend(ctx, "exit drain mode"); err != nil {
		return err
	}
	err := s.settle(ctx, "exit drain mode",
		func(ctx context.Context) error { return s.octopus().SetDrain(ctx, s.Node, false) },
		func(ctx context.Context) (bool, error) { d, err := s.isDrained(ctx); return !d, err })
	if err == nil || !Transient(err) && !errors.Is(err, ErrDenied) {
		return err
	}
	s.warn("drain mode cannot be exited through Octopus (%v); doing it on the host with Octopus.Server.exe", err)
	change := s.Book.Next(s.Phase, "exit drain mode on the host")
	if hostErr := s.insist(ctx, func() error { return s.Host.Undrain(ctx, change, s.Instance.Name) }); hostErr != nil {
		return errors.Join(err, hostErr)
	}
	return nil
}

// exitMaintenanceMode waits until the address that users use answers, then lets them in.
func (s *Step) exitMaintenanceMode(ctx context.Context) error {
	err := s.await(ctx, awaited{what: "OCTOPUS_URL to answer", every: healthEvery, limit: exitLimit}, func(ctx context.Context) (bool, string, error) {
		if err := s.Server.Serving(ctx); err != nil {
			return false, fmt.Sprintf("OCTOPUS_URL to answer (%v)", err), nil
		}
		return true, "", nil
	})
	if err != nil {
		return err
	}
	if err := s.intend(ctx, "exit Maintenance Mode"); err != nil {
		return err
	}
	return s.settle(ctx, "exit Maintenance Mode",
		func(ctx context.Context) error { return s.octopus().SetMaintenanceMode(ctx, false) },
		func(ctx context.Context) (bool, error) { on, err := s.octopus().MaintenanceMode(ctx); return !on, err })
}

// staysHealthy waits until the node is healthy, with ping 200 or what else is accepted, and then for the soak: healthy at
// its begin, at its end and between.
func (s *Step) staysHealthy(ctx context.Context, accepted ...int) error {
	err := s.await(ctx, awaited{what: "the node to be healthy", every: healthEvery, limit: healthLimit}, func(ctx context.Context) (bool, string, error) {
		what, _, err := s.unhealthy(ctx, accepted...)
		return err == nil && what == "", what, err
	})
	if err != nil {
		return err
	}
	since := s.Clock.Now()
	return s.await(ctx, awaited{what: "the soak", every: s.soakEvery(), limit: healthLimit + s.Rules.Soak}, func(ctx context.Context) (bool, string, error) {
		if s.Clock.Since(since) < s.soakEvery() && s.Rules.Soak > 0 {
			return false, "the soak of " + Span(s.Rules.Soak.Seconds()) + " to pass in good health", nil
		}
		what, _, err := s.unhealthy(ctx, accepted...)
		if err != nil || what != "" {
			since = s.Clock.Now()
			return false, what, err
		}
		return s.Clock.Since(since) >= s.Rules.Soak, "the soak of " + Span(s.Rules.Soak.Seconds()) + " to pass in good health", nil
	})
}

// soakEvery looks at least twice in the soak, and not so often that the host's PowerShell starts add up.
func (s *Step) soakEvery() time.Duration {
	return max(s.Rules.Soak/2, healthEvery)
}
