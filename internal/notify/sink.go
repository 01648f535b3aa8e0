package notify

import (
	"context"
	"fmt"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Sink watches the events of a run for what must not be missed: a node that is held, failed or unknown, and
// what is marked as an alert.
type Sink struct {
	Sender *Sender
	Server string              // OCTOPUS_URL, for people
	Clean  func(string) string // takes secrets out
	told   bool
}

// Event sends a message where it must not be missed.
func (s *Sink) Event(e procedure.Event) {
	switch {
	case e.Alert:
		s.send(e, e.Message) // how the run ends is news beside it
	case e.Type == procedure.NodeEnded && (e.Result == procedure.Failed || e.Result == procedure.Unknown):
		words := string(e.Result)
		if e.Next != "" {
			words += " and out of service"
		}
		s.send(e, words+": "+e.Reason)
		s.told = true
	}
}

// End tells of a run that ended badly, unless a node's end said so already, and waits for all messages.
func (s *Sink) End(ctx context.Context, e procedure.Event) []error {
	if e.Exit != nil && *e.Exit != 0 && !s.told {
		s.send(e, fmt.Sprintf("ended with exit code %d: %s", *e.Exit, e.Reason))
	}
	return s.Sender.Wait(ctx)
}

func (s *Sink) send(e procedure.Event, words string) {
	subject := "octopatch of " + s.Server
	if e.Node != "" {
		subject = "octopatch, node " + e.Node
	}
	lines := []string{subject + " " + words}
	if e.Node != "" {
		lines = append(lines, "Octopus Server: "+s.Server)
	}
	lines = append(lines, "Run: "+e.Run)
	if e.Next != "" {
		lines = append(lines, "Next: "+e.Next)
	}
	s.Sender.Send(s.Clean(subject), s.Clean(strings.Join(lines, "\n")))
}

// Announce sends the notice of the window to the teams.
func (s *Sink) Announce(text string) {
	s.Sender.Send("Maintenance of "+s.Server, s.Clean(text))
}
