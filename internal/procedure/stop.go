package procedure

import (
	"context"
	"slices"
	"time"
)

var stop = Phase{
	Name:   Stop,
	Single: "Stop the Octopus Server windows service",
	HA:     "Stop the Octopus Server windows service on that node",
	Limit:  func(Rules) time.Duration { return 3 * stopLimit },
	Done: func(ctx context.Context, s *Step) (string, error) {
		j := s.Book.Journal()
		if s.stoppedBefore() == "" || j.Phases[Stop].Result != Done || j.begun(Start) { // a start that failed has let go of start type and watchdog
			return "", nil
		}
		health, err := s.Host.Health(ctx, s.Services, nil)
		if err != nil || !allIn(health.Services, s.Services, "Stopped") {
			return "", nil //nolint:nilerr // then it is stopped once more, which says what is wrong
		}
		return "this run has stopped it before, and it is stopped", nil
	},
	Do: func(ctx context.Context, s *Step) error {
		s.Book.OnceMore()
		if s.Book.Journal().Precaution.Pending() { // taken of the stopped service, and it runs again
			s.Book.Octopus().StartBegan = true
		}
		order := StopOrder{Services: s.Services, Ran: s.ran(), Limit: stopLimit, Deadman: s.Deadman}
		if s.Report.Timeline.ServiceDown.IsZero() {
			s.Report.Timeline.ServiceDown = s.Clock.Now()
		}
		return s.changeServices(ctx, "stop "+quoted(s.Services), func(ctx context.Context, c Change) (Journal, error) {
			return s.Host.Stop(ctx, c, order)
		}, "Stopped")
	},
}

// ran is the node's own service: preflight lets no run begin on a node that is down.
func (s *Step) ran() []string {
	if s.Instance.Service.Name == "" {
		return nil
	}
	return []string{s.Instance.Service.Name}
}

// changeServices makes a call that stops or starts services. The host does only what is not done yet, so after
// a lost reply the same change, with the same counter, is sent again once the host has been asked.
func (s *Step) changeServices(ctx context.Context, what string, call func(context.Context, Change) (Journal, error), want string) error {
	const tries = 3
	change := s.Book.Next(s.Phase, what)
	if err := s.Book.Save(); err != nil {
		return err
	}
	for try := 1; ; try++ {
		journal, err := call(ctx, change)
		if err == nil {
			return s.Book.Took(journal)
		}
		if !Transient(err) || try == tries {
			return err
		}
		s.warn("no answer to %q (%v); asking the host", what, err)
		health, askErr := s.Host.Health(ctx, s.Services, nil)
		if askErr == nil && allIn(health.Services, s.Services, want) {
			s.warn("the services are %s all the same", want)
		}
		if err := s.Clock.Sleep(ctx, sampleEvery); err != nil {
			return err
		}
	}
}

// allIn reports whether every named service is in the state.
func allIn(services []Service, names []string, state string) bool {
	for _, name := range names {
		i := slices.IndexFunc(services, func(s Service) bool { return s.Name == name })
		if i < 0 || services[i].State != state {
			return false
		}
	}
	return len(names) > 0
}

func quoted(names []string) string {
	text := ""
	for i, n := range names {
		if i > 0 {
			text += ", "
		}
		text += "\"" + n + "\""
	}
	return text
}

// stoppedBefore says that this run has come past stop already, so that Octopus may be down and must not be
// asked to enter or to run empty again; "" where it has not. Once the services run again the node may be open
// and at work: then it is closed and awaited like any other.
func (s *Step) stoppedBefore() string {
	if host := s.Book.Journal().Host; host == nil || host.Restored {
		return ""
	}
	return "this run has begun to stop the service before"
}
