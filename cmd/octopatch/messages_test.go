package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/report"
	"github.com/octopatch/octopatch/internal/secret"
)

// TestWhatWasSentIsRemembered: a message that did not arrive is sent again by the next call.
func TestWhatWasSentIsRemembered(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]int{http.StatusOK: 1, http.StatusForbidden: 0} {
		hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
		defer hook.Close()
		s := &session{command: command{name: "status"}, sink: &report.Warnings{}, out: report.NewRedact(&strings.Builder{})}
		s.settings.Notify = secret.New("generic://" + strings.TrimPrefix(hook.URL, "http://") + "/x?disabletls=yes")
		if err := s.openNotify(); err != nil {
			t.Fatal(err)
		}
		remembered := 0
		s.remember = func() { remembered++ }
		s.notify.Event(procedure.Event{Type: procedure.Warning, Alert: true, Message: "the dead-man switch fired"})
		s.sendLast(context.Background(), procedure.Event{})
		if remembered != want {
			t.Errorf("answered %d: remembered %d times, want %d", code, remembered, want)
		}
	}
}
