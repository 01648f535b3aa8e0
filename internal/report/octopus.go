package report

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Octopus writes the lines of Text inside an Octopus step, in ASCII, with service messages for levels and
// progress: ##octopus[name key='base64 of UTF-8'], one a line.
type Octopus struct {
	mu      sync.Mutex
	w       io.Writer
	text    *Text
	percent int
}

// NewOctopus writes to w, the standard output of a step.
func NewOctopus(w io.Writer) *Octopus { return &Octopus{w: w, text: NewText(w)} }

// Event writes the line at its level.
func (o *Octopus) Event(e procedure.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e.Type == procedure.Progress && e.Percent > 0 && e.Percent != o.percent {
		o.percent = e.Percent
		o.message("progress", "percentage", fmt.Sprint(e.Percent), "message", plain(e.Message))
	}
	if !o.text.worth(e) {
		return
	}
	line := ascii(Line(told(e))) + "\n"
	if level := level(e); level != "" {
		line = "##octopus[stdout-" + level + "]\n" + line + "##octopus[stdout-default]\n"
	}
	_, _ = io.WriteString(o.w, line)
	if e.Type == procedure.RunEnded && bad(e) {
		o.message("resultMessage", "message", plain(sentence(e)))
	}
}

// level is how Octopus shows the line; highlighted ones also appear in the task's summary.
func level(e procedure.Event) string {
	switch {
	case bad(e):
		return "error"
	case e.Type == procedure.Warning:
		return "warning"
	case e.Type == procedure.NodeEnded, e.Type == procedure.RunEnded:
		return "highlight"
	case e.Type == procedure.Waiting:
		return "wait"
	}
	return ""
}

// message writes a service message; pairs are names and values.
func (o *Octopus) message(name string, pairs ...string) {
	var b strings.Builder
	b.WriteString("##octopus[" + name)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, " %s='%s'", pairs[i], base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	b.WriteString("]\n")
	_, _ = io.WriteString(o.w, b.String())
}

// Refused tells Octopus why the step fails where there was no run that could end with an event.
func Refused(kind string, w io.Writer, err error) {
	if kind == logOctopus {
		NewOctopus(w).message("resultMessage", "message", plain(err.Error()))
	}
}

// ascii replaces what a step's output would spoil: on Windows Octopus reads it in the OEM code page.
func ascii(text string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '…':
			return '.'
		case '–', '—':
			return '-'
		}
		if r > 126 {
			return '?'
		}
		return r
	}, text)
}
