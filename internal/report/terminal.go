package report

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
)

// Terminal writes the lines of Text, and below them a live one: node, phase, what is awaited, for how long.
type Terminal struct {
	mu    sync.Mutex
	w     io.Writer
	clock clock.Clock
	text  *Text
	now   procedure.Event // what the live line is about
	began time.Time       // of now's phase
	shown int             // characters of the live line on the screen
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// columns is the width of the live line: it is redrawn with a carriage return alone, which every terminal
// understands, and so must not reach the second line of a narrow one.
const columns = 79

// NewTerminal writes to w until Close.
func NewTerminal(w io.Writer, clk clock.Clock) *Terminal {
	ctx, stop := context.WithCancel(context.Background())
	t := &Terminal{w: w, clock: clk, text: NewText(w), stop: stop}
	t.done.Go(func() {
		for (clock.Clock{}).Sleep(ctx, time.Second) == nil { // by the wall: it is for the eye
			t.mu.Lock()
			t.draw("")
			t.mu.Unlock()
		}
	})
	return t
}

// Event writes the line above the live one.
func (t *Terminal) Event(e procedure.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.Type {
	case procedure.PhaseStarted:
		t.now, t.began = e, e.Time
	case procedure.Waiting, procedure.Progress:
		if e.Node != t.now.Node || e.Phase != t.now.Phase {
			t.began = e.Time
		}
		t.now = e
	case procedure.PhaseEnded, procedure.NodeEnded, procedure.RunEnded:
		if e.Node == t.now.Node {
			t.now = procedure.Event{}
		}
	}
	line := ""
	if t.text.worth(e) {
		line = Line(t.text.brief(told(e))) + "\n"
	}
	t.draw(line)
}

// draw replaces the live line by above and a new live line, in one write so that nothing flickers.
func (t *Terminal) draw(above string) {
	var b strings.Builder
	if t.shown > 0 {
		b.WriteString("\r" + strings.Repeat(" ", t.shown) + "\r")
	}
	b.WriteString(above)
	live := []rune(t.live())
	if len(live) > columns {
		live = append(live[:columns-3], []rune("...")...)
	}
	t.shown = len(live)
	if len(live) > 0 {
		b.WriteString(string(live) + "\r")
	}
	_, _ = io.WriteString(t.w, b.String())
}

// live is what goes on at this moment.
func (t *Terminal) live() string {
	e := t.now
	if e.Type == "" {
		return ""
	}
	since := t.began
	text := strings.TrimSpace(e.Node+" "+e.Phase) + ": "
	switch e.Type {
	case procedure.Waiting:
		since = e.Since
		text += procedure.Span(t.clock.Since(since).Seconds()) + " of at most " + procedure.Span(e.Limit) + ", waiting for " + e.WaitingFor
	default:
		text += procedure.Span(t.clock.Since(since).Seconds()) + after(", ", strings.TrimSpace(strings.TrimPrefix(sentence(e), ">")))
	}
	return plain(text)
}

// Close removes the live line; it is the last call.
func (t *Terminal) Close() {
	t.stop()
	t.done.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = procedure.Event{}
	t.draw("")
}
