package report

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
)

// screen is what a terminal shows that knows only carriage return and line feed.
func screen(text string) string {
	lines, column := [][]rune{{}}, 0
	for _, r := range text {
		line := &lines[len(lines)-1]
		switch {
		case r == '\n':
			lines, column = append(lines, nil), 0
		case r == '\r':
			column = 0
		case column < len(*line):
			(*line)[column] = r
			column++
		default:
			*line = append(*line, r)
			column++
		}
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strings.TrimRight(string(l), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	var b, plainText safeBuffer
	term, text := NewTerminal(&b, clock.New(at(0), 1)), NewText(&plainText)
	step := func(e procedure.Event) string {
		term.Event(e)
		text.Event(e)
		shown := screen(b.String())
		return shown[strings.LastIndexByte(shown, '\n')+1:]
	}
	now := (clock.New(at(0), 1)).Now()
	long := strings.Repeat("ServerTasks-1 ", 20)
	for _, c := range []struct {
		event procedure.Event
		live  string // what the last line holds
	}{
		{procedure.Event{Type: procedure.PhaseStarted, Time: now, Node: "OCTO-01", Phase: "wait", Title: "Wait for tasks"}, ", Wait for tasks"},
		{procedure.Event{Type: procedure.Waiting, Time: now, Node: "OCTO-01", Phase: "wait", WaitingFor: "ServerTasks-1", Since: now.Add(-65 * time.Second), Limit: 3600}, "of at most 1 h, waiting for ServerTasks-1"},
		{procedure.Event{Type: procedure.Waiting, Time: now, Node: "OCTO-01", Phase: "wait", WaitingFor: long, Since: now, Limit: 3600}, "..."},
		{procedure.Event{Type: procedure.Warning, Time: now, Node: "OCTO-01", Message: "beware"}, "..."},
	} {
		last := step(c.event)
		if !strings.HasPrefix(last, "OCTO-01 wait: ") || !strings.HasSuffix(last, c.live) || len(last) > columns {
			t.Errorf("%s: the live line is %q, want %q", c.event.Type, last, c.live)
		}
	}
	step(procedure.Event{Type: procedure.PhaseEnded, Time: now, Node: "OCTO-01", Phase: "wait", Result: procedure.Done})
	term.Close()
	if got, want := screen(b.String()), strings.TrimRight(plainText.String(), "\n"); got != want {
		t.Errorf("what stays on the screen differs from the log\n%s\n---\n%s", got, want)
	}
	before := len(b.String())
	time.Sleep(1100 * time.Millisecond)
	if len(b.String()) != before {
		t.Error("it draws after its end")
	}
}

// TestTerminalTicks: the live line moves on although nothing happens.
func TestTerminalTicks(t *testing.T) {
	t.Parallel()
	var b safeBuffer
	clk := clock.New(time.Now(), 100)
	term := NewTerminal(&b, clk)
	defer term.Close()
	term.Event(procedure.Event{Type: procedure.PhaseStarted, Time: clk.Now(), Node: "OCTO-01", Phase: "patch", Title: "Apply patches"})
	for range 40 {
		if strings.Contains(b.String(), "OCTO-01 patch: 1 min") {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("after 4 s of 100 the live line is still\n%q", b.String())
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
