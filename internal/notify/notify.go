// Package notify sends messages that must not be missed to people, through shoutrrr's services. What it may
// import: procedure and secret.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
	"github.com/octopatch/octopatch/internal/secret"
)

// Sender sends to every service; each is asked once, and in the background, so that nobody waits for a chat.
type Sender struct {
	services []service
	sent     sync.WaitGroup
	mu       sync.Mutex
	faults   []error
}

type service struct {
	name   string
	way    *router.ServiceRouter
	hidden []string // the address and its parts, longest first
}

// limit is how long one message may take on its way, on the wall clock.
const limit = 20 * time.Second

// Services takes the addresses of OCTOPATCH_NOTIFY apart: they are separated by blanks, for they may hold commas.
func Services(list secret.Secret) []string { return strings.Fields(list.Reveal()) }

// New proves that every address is one of a service that shoutrrr knows. Its errors name the place in the list
// and never the address, which holds the key to the service.
func New(addresses []string) (*Sender, error) {
	s := &Sender{}
	var faults []error
	for i, address := range addresses {
		name, _, _ := strings.Cut(address, ":")
		way, err := shoutrrr.CreateSender(address)
		switch {
		case errors.Is(err, router.ErrUnknownService):
			faults = append(faults, fmt.Errorf("number %d is of no service that is known", i+1))
			continue
		case err != nil:
			faults = append(faults, fmt.Errorf("number %d is no complete address of the service %s", i+1, name))
			continue
		}
		way.Timeout = limit
		s.services = append(s.services, service{fmt.Sprintf("%s (number %d of OCTOPATCH_NOTIFY)", name, i+1), way, Secrets([]string{address})})
	}
	return s, errors.Join(faults...)
}

// Send sends to all services, and does not wait.
func (s *Sender) Send(title, text string) {
	for _, to := range s.services {
		s.sent.Go(func() {
			for _, err := range to.way.Send(text, &types.Params{types.TitleKey: title}) {
				if err != nil {
					s.fault(fmt.Errorf("a message to %s was not sent: %s", to.name, to.reason(err)))
				}
			}
		})
	}
}

func (s *Sender) fault(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, err)
}

// Wait waits until all is sent or the context ends, and returns what was not.
func (s *Sender) Wait(ctx context.Context) []error {
	done := make(chan struct{})
	go func() { s.sent.Wait(); close(done) }()
	var late error
	select {
	case <-done:
	case <-ctx.Done():
		late = errors.New("messages were still on their way when the run ended")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	faults := s.faults
	if late != nil {
		faults = append(faults, late)
	}
	s.faults = nil
	return faults
}

// reason says what happened, without the address: many errors quote it.
func (s service) reason(err error) string {
	if errors.Is(err, router.ErrServiceTimeout) {
		return "no answer within " + limit.String()
	}
	text := err.Error()
	for _, part := range s.hidden {
		text = strings.ReplaceAll(text, part, "[redacted]")
	}
	return text
}

// Secrets lists what must not be seen of the addresses: each as a whole, and each part of it that could be a key.
func Secrets(addresses []string) []string {
	const shortest = 6
	var parts []string
	for _, address := range addresses {
		parts = append(parts, address)
		u, err := url.Parse(address)
		if err != nil {
			continue
		}
		pieces := strings.Split(u.EscapedPath(), "/")
		if u.User != nil {
			password, _ := u.User.Password()
			pieces = append(pieces, u.User.Username(), password)
		}
		if !strings.HasPrefix(u.Scheme, "generic") && !strings.Contains(u.Host, ".") { // for many services the host is part of the key
			pieces = append(pieces, u.Hostname())
		}
		for _, values := range u.Query() {
			pieces = append(pieces, values...)
		}
		for _, p := range pieces {
			if len(p) >= shortest {
				parts = append(parts, p)
			}
		}
	}
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	return parts
}
