package main

import (
	"context"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/notify"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/report"
	"github.com/octopatch/octopatch/internal/settings"
)

// openNotify proves that every address of OCTOPATCH_NOTIFY can be used.
func (s *session) openNotify() error {
	sender, err := notify.New(notify.Services(s.settings.Notify))
	s.notify = &notify.Sink{Sender: sender, Server: s.settings.URL, Clean: s.out.Clean}
	if err != nil {
		return procedure.Refuse("OCTOPATCH_NOTIFY", strings.ReplaceAll(err.Error(), "\n", "; "), "write the addresses as shoutrrr does, with blanks between them")
	}
	return nil
}

// announces: looking is nobody else's business, but for what status finds to have happened meanwhile.
func (s *session) announces() bool {
	return s.command.need == settings.Change || s.command.name == procedure.Schedule || s.command.name == "status"
}

// announced tells the teams of the window.
func (s *session) announced(n procedure.Notice) {
	var text strings.Builder
	report.Notice(&text, n)
	s.notify.Announce(text.String())
}

// How long the last messages may take, on the wall clock: an interrupted run has little time left.
const (
	lastMessages  = 20 * time.Second
	hastyMessages = 3 * time.Second
)

// sendLast sends what is left to tell. That it could not be sent is a warning and no more.
func (s *session) sendLast(ctx context.Context, end procedure.Event) {
	if !s.announces() {
		return
	}
	limit := lastMessages
	if ctx.Err() != nil {
		limit = hastyMessages
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	faults := s.notify.End(limited, end)
	for _, err := range faults {
		s.sink.Event(procedure.Event{Type: procedure.Warning, Message: err.Error()})
	}
	if len(faults) == 0 && s.remember != nil && len(notify.Services(s.settings.Notify)) > 0 {
		s.remember()
	}
}
