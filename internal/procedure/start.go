package procedure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

var start = Phase{
	Name:   Start,
	Single: "Start the Octopus Server windows service",
	HA:     "Start the Octopus Server windows service on that node",
	Limit:  func(Rules) time.Duration { return 3*startLimit + healthLimit },
	Do: func(ctx context.Context, s *Step) error {
		if err := s.sameFiles(s.Instance.Version); err != nil {
			return err
		}
		s.Book.Octopus().StartBegan = true
		err := s.changeServices(ctx, "start "+quoted(s.Services), func(ctx context.Context, c Change) (Journal, error) {
			return s.Host.Start(ctx, c, StartOrder{Limit: startLimit})
		}, "Running")
		if err != nil {
			return err
		}
		return s.becomesHealthy(ctx)
	},
}

// sameFiles refuses an Octopus.Server.exe of another version than before: to start it would upgrade the database.
func (s *Step) sameFiles(version string) error {
	before := s.Book.Octopus().FileVersion
	if version == "" || before == "" || version == before {
		return nil
	}
	return &Fault{Subject: s.Node, Problem: fmt.Sprintf("Octopus.Server.exe is of version %s and was %s before", version, before), Cause: errVersionChanged,
		Remedy: "patching must not change Octopus, and starting this one would upgrade its database: find out who has upgraded it"}
}

// ErrNoNodeURL is what Ping answers for a node without an own URL.
var ErrNoNodeURL = errors.New("the node has no URL of its own")

// becomesHealthy waits until the node is proved healthy: service Running, no hard reboot pending, the node
// itself answers with its own name and the version it had before, and Octopus has seen it since the boot.
func (s *Step) becomesHealthy(ctx context.Context) error {
	boot, version, missing := "", false, ""
	err := s.await(ctx, awaited{what: "the node to be healthy", every: healthEvery, limit: healthLimit}, func(ctx context.Context) (bool, string, error) {
		if missing == itsPing && s.silent(ctx) { // the host need not be asked meanwhile
			return false, missing, nil
		}
		what, health, err := s.unhealthy(ctx, 418)
		missing = what
		if err != nil {
			version = errors.Is(err, errVersionChanged)
			return false, "", err
		}
		if what == "" && boot != "" && boot != health.Windows.Boot {
			s.warn("the host has booted again by itself; waiting for it to be steady")
			what = "a steady boot time"
		}
		boot = health.Windows.Boot
		return what == "", what, nil
	})
	if err != nil && !version {
		return fmt.Errorf("the node's health is not proved: %w", err)
	}
	s.healthy = err == nil
	if s.Report.Timeline.Back.IsZero() {
		s.Report.Timeline.Back = s.Clock.Now()
	}
	return err
}

var errVersionChanged = errors.New("another Octopus version than before")

// answersItself waits until the host says that the node is well; what Octopus thinks of it may be known only once it is
// open.
func (s *Step) answersItself(ctx context.Context) error {
	return s.await(ctx, awaited{what: "the node to be healthy", every: healthEvery, limit: healthLimit}, func(ctx context.Context) (bool, string, error) {
		what, _, err := s.illItself(ctx, 418)
		return err == nil && what == "", what, err
	})
}

// unhealthy asks once and names what is still missing, "" when the node is healthy. Statuses other than 200
// that count as an answer of the node are listed in accept: before exit a drained node answers 418.
func (s *Step) unhealthy(ctx context.Context, accept ...int) (string, HostHealth, error) {
	what, health, err := s.illItself(ctx, accept...)
	if what == "" && err == nil {
		what, err = s.illInOctopus(ctx, health)
	}
	return what, health, err
}

// illItself is what the host and the node's own ping say.
func (s *Step) illItself(ctx context.Context, accept ...int) (string, HostHealth, error) {
	health, err := s.Host.Health(ctx, s.Services, s.Instance.Prefixes)
	if err != nil {
		return "", health, err
	}
	if !allIn(health.Services, running(s.Book.Journal(), s.Services), "Running") {
		return "the service to be Running", health, nil
	}
	if len(health.Pending) > 0 {
		if s.rebootMatters() {
			return "", health, &Fault{Subject: s.Node, Problem: "a reboot is pending: " + strings.Join(health.Pending, ", "), Remedy: "reboot the host, then run octopatch start"}
		}
		s.Report.RebootPending = true
	}
	what, err := s.pingsItself(ctx, health, accept)
	return what, health, err
}

// illInOctopus is what Octopus says of the node.
func (s *Step) illInOctopus(ctx context.Context, health HostHealth) (string, error) {
	node, err := s.node(ctx)
	switch {
	case errors.Is(err, ErrDenied):
		s.warnOnce("Octopus refuses our login (%v); the node is judged by what its host and its own ping say", err)
		return "", nil
	case err != nil:
		return "", err
	case node.Offline:
		return "Octopus to show the node online", nil
	case !node.LastSeen.IsZero() && node.LastSeen.Before(health.BootTime):
		return "Octopus to see the node after its boot", nil
	case node.Version != "" && s.Book.Octopus().Version != "" && node.Version != s.Book.Octopus().Version:
		return "", &Fault{Subject: s.Node, Problem: fmt.Sprintf("runs Octopus %s and ran %s before", node.Version, s.Book.Octopus().Version), Cause: errVersionChanged,
			Remedy: "patching must not change Octopus: find out who upgraded it before it is opened again"}
	}
	return "", nil
}

// rebootMatters: a reboot that is pending counts against the node's health once this run has begun to patch it,
// unless reboots are the operator's own. One that was pending before, on a node that is only put back, is as it was.
func (s *Step) rebootMatters() bool {
	return s.Book.Journal().PatchBegan() && s.Rules.Reboot != RebootNever
}

// running lists those of the services that ran before this run; without a journal's word all of them did.
func running(j Journal, services []string) []string {
	if j.Host == nil {
		return services
	}
	var names []string
	for _, service := range j.Host.Services {
		if service.State == "Running" && slices.Contains(services, service.Name) { // the journal names their dependents too
			names = append(names, service.Name)
		}
	}
	return names
}

// errOtherNode says nothing of the node itself.
var errOtherNode = errors.New("another node's name")

const itsPing = "the node to answer its own ping"

// silent: the node has a URL of its own, and does not answer there yet.
func (s *Step) silent(ctx context.Context) bool {
	_, err := s.Server.Ping(ctx, s.Node)
	return err != nil && Transient(err) && !errors.Is(err, ErrUnreadable) && !errors.Is(err, ErrNoNodeURL)
}

// pingsItself asks the node at its own URL, or takes what the host heard at its own listen prefix.
func (s *Step) pingsItself(ctx context.Context, health HostHealth, accept []int) (string, error) {
	ping, err := s.Server.Ping(ctx, s.Node)
	if errors.Is(err, ErrNoNodeURL) {
		if health.PingError != "" {
			return "the node to answer its own ping (" + health.PingError + ")", nil
		}
		ping, err = health.Ping, nil
	}
	if err != nil {
		if Transient(err) && !errors.Is(err, ErrUnreadable) { // it is still starting
			return itsPing, nil
		}
		return "", err
	}
	if !strings.EqualFold(ping.Name, s.Node) && ping.Name != "" {
		return "", &Fault{Subject: s.Node, Problem: fmt.Sprintf("the address of the node answers as %q", ping.Name), Cause: errOtherNode, Remedy: "correct OCTOPATCH_NODE_URLS"}
	}
	ok := ping.Status == 200 && ping.Name != ""
	for _, status := range accept {
		ok = ok || ping.Status == status && ping.Name != ""
	}
	if !ok {
		return fmt.Sprintf("the node to answer its own ping (HTTP %d so far)", ping.Status), nil
	}
	return "", nil
}
