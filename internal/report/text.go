// Package report turns the events and the result of a run into what people and programs read: lines, JSON
// lines, CI commands, report.json, summary.md, plan, notice and status. It only renders; it decides nothing.
package report

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Text writes one line for each event that a tired person should read. It never redraws a line, so that it
// reads the same in a CI log.
type Text struct {
	w    io.Writer
	mu   sync.Mutex
	said map[string]spoken // by node
	ends map[string]bool   // why nodes ended badly, as the end of the run says it
}

// spoken is the last thing that was said about a node more than once.
type spoken struct {
	what    string
	at      time.Time
	percent int
}

const (
	again = time.Minute // how often an unchanged wait is written once more, in the run's time
	leap  = 25          // by how much progress of the same thing must grow to be written before that
)

// NewText writes to w.
func NewText(w io.Writer) *Text {
	return &Text{w: w, said: map[string]spoken{}, ends: map[string]bool{}}
}

// Event writes the event's line.
func (t *Text) Event(e procedure.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.worth(e) {
		fmt.Fprintln(t.w, Line(t.brief(e)))
	}
}

// brief leaves out of the end of a run why its nodes ended badly, which lines above it say.
func (t *Text) brief(e procedure.Event) procedure.Event {
	switch {
	case e.Type == procedure.NodeEnded && bad(e):
		t.ends["node "+e.Node+": "+e.Reason] = true
	case e.Type == procedure.RunEnded:
		for why := range t.ends {
			e.Reason = strings.Trim(strings.Replace(e.Reason, why, "", 1), "\n")
		}
	}
	return e
}

// worth reports whether the event is worth a line: a wait at once, then each minute or when its name changes.
func (t *Text) worth(e procedure.Event) bool {
	what := e.WaitingFor
	switch e.Type {
	case procedure.Waiting:
	case procedure.Progress:
		what = "progress " + e.Message
	case procedure.PhaseStarted, procedure.PhaseEnded:
		delete(t.said, e.Node)
		return true
	default:
		return true
	}
	last := t.said[e.Node]
	if last.what == what && e.Time.Sub(last.at) < again && e.Percent < last.percent+leap {
		return false
	}
	t.said[e.Node] = spoken{what, e.Time, e.Percent}
	return true
}

// Line is the event in one line: the time of the run's clock, the node, the phase, and what happens.
func Line(e procedure.Event) string {
	where := strings.TrimSpace(e.Node + " " + e.Phase)
	if where != "" {
		where = fmt.Sprintf("%-18s ", where)
	}
	return e.Time.Format("15:04:05") + "  " + plain(where+sentence(e))
}

// told is an event in a log that shows standard error as well: there each fault of a refusal has a line of its own.
func told(e procedure.Event) procedure.Event {
	if e.Type == procedure.RunEnded && exit(e) == refused {
		e.Reason = ""
	}
	return e
}

// sentence says what happens, without when and where.
func sentence(e procedure.Event) string {
	switch e.Type {
	case procedure.RunStarted:
		return fmt.Sprintf("run %s begins on %s%s", e.Run, e.Time.Format("Mon 2 Jan 2006, times are MST"), after(": ", e.Message))
	case procedure.PhaseStarted:
		return "> " + e.Title
	case procedure.Waiting:
		return fmt.Sprintf("  waiting for %s: %s so far, since %s, at most %s", e.WaitingFor, procedure.Span(e.Seconds), e.Since.Format("15:04:05"), procedure.Span(e.Limit))
	case procedure.Progress:
		if e.Percent > 0 {
			return fmt.Sprintf("  %s, %d %%", e.Message, e.Percent)
		}
		return "  " + e.Message
	case procedure.PhaseEnded:
		if e.Result == procedure.Skipped {
			return "- skipped: " + e.Reason
		}
		text := fmt.Sprintf("%s %s in %s", mark(e.Result), e.Result, procedure.Span(e.Seconds))
		if e.Phase == "preflight" && bad(e) {
			return text // the last line says why
		}
		return text + after(": ", e.Reason)
	case procedure.NodeEnded:
		text := fmt.Sprintf("%s node %s", mark(e.Result), e.Result)
		if e.Seconds > 0 {
			text += " after " + procedure.Span(e.Seconds)
		}
		return text + after(": ", e.Reason) + after("; next: ", e.Next)
	case procedure.Warning:
		return "! " + e.Message
	case procedure.RunEnded:
		return fmt.Sprintf("run %s ended with exit code %d after %s%s%s", e.Run, exit(e), procedure.Span(e.Seconds), after(": ", e.Reason), after("; next: ", e.Next))
	}
	return e.Message
}

// exit is the exit code of run_ended.
func exit(e procedure.Event) int {
	if e.Exit == nil {
		return 0
	}
	return *e.Exit
}

// bad reports whether the event is the end of something that a person must look at.
func bad(e procedure.Event) bool {
	switch e.Type {
	case procedure.NodeEnded, procedure.PhaseEnded:
		return e.Result == procedure.Failed || e.Result == procedure.Unknown
	case procedure.RunEnded:
		return exit(e) != 0
	}
	return false
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

// breaker parts what a CI system would take for a command in the middle of a line. Names of tasks and texts
// of updates come from outside.
var breaker = strings.NewReplacer("##[", "# #[", "##octopus[", "# #octopus[", "##teamcity[", "# #teamcity[")

// plain is text as one line that neither moves a cursor nor commands a CI system.
func plain(text string) string {
	text = oneLine(text)
	if strings.HasPrefix(text, "::") { // GitHub's commands are those at the begin of a line
		return ": :" + text[2:]
	}
	return text
}

func oneLine(text string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(text), "\r", ""), "\n", "; ")
	return breaker.Replace(strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, text)))
}
