// Package report turns the events and the result of a run into what people and programs read: lines, JSON
// lines, CI commands, report.json, summary.md, plan, notice and status. It only renders; it decides nothing.
package report

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Text writes one line for each event that a tired person should read. It never redraws a line, so that it
// reads the same in a CI log.
type Text struct {
	w    io.Writer
	mu   sync.Mutex
	last map[string]waitLine // by node
}

type waitLine struct {
	what string
	at   time.Time
}

// again is how often an unchanged wait is written once more.
const again = time.Minute

// NewText writes to w.
func NewText(w io.Writer) *Text { return &Text{w: w, last: map[string]waitLine{}} }

// Event writes the event's line.
func (t *Text) Event(e procedure.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Type == procedure.Waiting {
		seen := t.last[e.Node]
		if seen.what == e.WaitingFor && e.Time.Sub(seen.at) < again {
			return
		}
		t.last[e.Node] = waitLine{e.WaitingFor, e.Time}
	}
	if line := Line(e); line != "" {
		fmt.Fprintln(t.w, line)
	}
}

// Line is the event in one line: the time of the run's clock, the node, the phase, and what happens.
func Line(e procedure.Event) string {
	where := e.Node
	if e.Phase != "" {
		where = strings.TrimSpace(e.Node + " " + e.Phase)
	}
	if where != "" {
		where = fmt.Sprintf("%-18s ", where)
	}
	return e.Time.Format("15:04:05") + "  " + where + strings.TrimRight(said(e), " ")
}

func said(e procedure.Event) string {
	switch e.Type {
	case procedure.RunStarted:
		return "run " + e.Run + " begins" + after(": ", e.Message)
	case procedure.PhaseStarted:
		return "> " + e.Title
	case procedure.Waiting:
		return fmt.Sprintf("  waiting for %s: %s so far, since %s, at most %s", e.WaitingFor, Span(e.Seconds), e.Since.Format("15:04:05"), Span(e.Limit))
	case procedure.Progress:
		if e.Percent > 0 {
			return fmt.Sprintf("  %s, %d %%", e.Message, e.Percent)
		}
		return "  " + e.Message
	case procedure.PhaseEnded:
		if e.Result == procedure.Skipped {
			return "- skipped: " + e.Reason
		}
		return fmt.Sprintf("%s %s in %s%s", mark(e.Result), e.Result, Span(e.Seconds), after(": ", e.Reason))
	case procedure.NodeEnded:
		text := fmt.Sprintf("%s node %s: %s", mark(e.Result), e.Node, e.Result)
		if e.Seconds > 0 {
			text += " after " + Span(e.Seconds)
		}
		return text + after(": ", e.Reason) + after("; next: ", e.Next)
	case procedure.Warning:
		return "! " + e.Message
	case procedure.RunEnded:
		exit := 0
		if e.Exit != nil {
			exit = *e.Exit
		}
		return fmt.Sprintf("run %s ended with exit code %d after %s%s", e.Run, exit, Span(e.Seconds), after("; next: ", e.Next))
	}
	return e.Message
}

func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}

func mark(k procedure.Kind) string {
	switch k {
	case procedure.Done:
		return "+"
	case procedure.Skipped:
		return "-"
	case procedure.Unknown:
		return "?"
	}
	return "x"
}

// Span writes seconds as people say them: "8 s", "4 min 10 s", "1 h 5 min".
func Span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return strings.TrimSuffix(fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60), " 0 s")
	}
	return strings.TrimSuffix(fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60), " 0 min")
}
