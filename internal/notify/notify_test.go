package notify

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

// hook is a webhook on loopback.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	got  []string
	code int
	hold chan struct{}
}

func newHook(t *testing.T, code int) *hook {
	h := &hook{code: code, hold: make(chan struct{})}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		h.got = append(h.got, string(text))
		h.mu.Unlock()
		if h.code == 0 {
			<-h.hold
			return
		}
		w.WriteHeader(h.code)
	}))
	t.Cleanup(func() { close(h.hold); h.Close() })
	return h
}

func (h *hook) address() string {
	return "generic://" + strings.TrimPrefix(h.URL, "http://") + "/key-that-nobody-sees?disabletls=yes&template=json"
}

func (h *hook) messages() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

func newSink(t *testing.T, addresses ...string) *Sink {
	t.Helper()
	sender, err := New(addresses)
	if err != nil {
		t.Fatal(err)
	}
	return &Sink{Sender: sender, Server: "https://octopus", Clean: func(s string) string { return strings.ReplaceAll(s, "hunter2", "[redacted]") }}
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestWhatMustNotBeMissed(t *testing.T) {
	t.Parallel()
	code, zero := 6, 0
	for _, c := range []struct {
		name  string
		event procedure.Event
		says  []string // nothing: no message
	}{
		{"held", procedure.Event{Type: procedure.NodeEnded, Node: "A", Run: "r1", Result: procedure.Failed, Reason: "start: no service, hunter2", Next: "OCTOPATCH_NODE=A octopatch start"},
			[]string{"node A failed and out of service: start: no service, [redacted]", "Next: OCTOPATCH_NODE=A octopatch start", "https://octopus", "r1"}},
		{"unknown", procedure.Event{Type: procedure.NodeEnded, Node: "A", Result: procedure.Unknown, Reason: "no route"}, []string{"node A unknown: no route"}},
		{"done", procedure.Event{Type: procedure.NodeEnded, Node: "A", Result: procedure.Done}, nil},
		{"dead_man", procedure.Event{Type: procedure.Warning, Alert: true, Node: "A", Message: "the dead-man switch fired"}, []string{"node A the dead-man switch fired"}},
		{"warning", procedure.Event{Type: procedure.Warning, Node: "A", Message: "a small thing"}, nil},
		{"run_unknown", procedure.Event{Type: procedure.RunEnded, Exit: &code, Reason: "no route", Next: "octopatch status"}, []string{"ended with exit code 6: no route", "Next: octopatch status"}},
		{"run_done", procedure.Event{Type: procedure.RunEnded, Exit: &zero}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHook(t, 200)
			s := newSink(t, h.address(), h.address())
			end := procedure.Event{}
			if c.event.Type == procedure.RunEnded {
				end = c.event
			} else {
				s.Event(c.event)
			}
			if faults := s.End(soon(t), end); len(faults) > 0 {
				t.Error(faults)
			}
			got := h.messages()
			if want := 2; len(c.says) > 0 && len(got) != want || len(c.says) == 0 && len(got) != 0 {
				t.Fatalf("got %q", got)
			}
			for _, part := range c.says {
				if !strings.Contains(got[0], part) {
					t.Errorf("%q is not in %s", part, got[0])
				}
			}
		})
	}
}

// TestRunIsToldOnce: whoever was told of the node is not told of the run as well.
func TestRunIsToldOnce(t *testing.T) {
	t.Parallel()
	h, code := newHook(t, 200), 1
	s := newSink(t, h.address())
	s.Event(procedure.Event{Type: procedure.NodeEnded, Node: "A", Result: procedure.Failed})
	s.End(soon(t), procedure.Event{Type: procedure.RunEnded, Exit: &code})
	if got := h.messages(); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// TestFailureIsAWarning: an error, silence and nobody there are told without the address, and keep nobody.
func TestFailureIsAWarning(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]func(*testing.T) string{
		"HTTP 500": func(t *testing.T) string { return newHook(t, 500).address() },
		"silence":  func(t *testing.T) string { return newHook(t, 0).address() },
		"nobody":   func(*testing.T) string { return "generic://127.0.0.1:1/key-that-nobody-sees?disabletls=yes" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink(t, address(t))
			began := time.Now()
			s.Announce("maintenance")
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			faults := s.Sender.Wait(ctx)
			if len(faults) != 1 || strings.Contains(fmt.Sprint(faults), "nobody-sees") {
				t.Errorf("got %v", faults)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it kept us for %s", took)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	list := secret.New("slack://token:xoxb-1234567890-abcdefgh@channel   telepathy://someone generic://h/path-with-key")
	addresses := Services(list)
	_, err := New(addresses)
	if err == nil || !strings.Contains(err.Error(), "number 2 is of no service") {
		t.Errorf("got %v", err)
	}
	for _, part := range []string{"xoxb", "someone", "path-with-key"} {
		if strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("%v shows %q", err, part)
		}
	}
	hidden := Secrets(addresses)
	for _, want := range []string{"xoxb-1234567890-abcdefgh", "path-with-key", "generic://h/path-with-key"} {
		if !slices.Contains(hidden, want) {
			t.Errorf("%q is not hidden in %q", want, hidden)
		}
	}
}
