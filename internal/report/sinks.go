package report

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/sethvargo/go-githubactions"
)

// Tee hands each event to several sinks.
type Tee []procedure.Sink

// Event hands it on.
func (t Tee) Event(e procedure.Event) {
	for _, s := range t {
		s.Event(e)
	}
}

// JSON writes one event a line.
type JSON struct {
	mu sync.Mutex
	e  *json.Encoder
}

// NewJSON writes to w, where nothing else may be written.
func NewJSON(w io.Writer) *JSON {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return &JSON{e: e}
}

// Event writes it.
func (j *JSON) Event(e procedure.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_ = j.e.Encode(e) // a closed pipe must not end a run half way
}

// GitHub writes the lines of Text, and workflow commands for what a person must not miss.
type GitHub struct {
	text   *Text
	mu     sync.Mutex
	action *githubactions.Action
}

// NewGitHub writes to w, GitHub's standard output of a step.
func NewGitHub(w io.Writer) *GitHub {
	return &GitHub{text: NewText(w), action: githubactions.New(githubactions.WithWriter(w))}
}

// Event writes the line, or the command that annotates the run.
func (g *GitHub) Event(e procedure.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case e.Type == procedure.Warning:
		g.action.Warningf("%s", Line(e))
	case e.Type == procedure.NodeEnded && (e.Result == procedure.Failed || e.Result == procedure.Unknown):
		g.action.Errorf("%s", Line(e))
	default:
		g.text.Event(e)
	}
}

// Octopus writes the lines of Text inside an Octopus step, in ASCII, with service messages for levels and progress.
type Octopus struct {
	mu     sync.Mutex
	w      io.Writer
	text   *Text
	phases int
}

// NewOctopus writes to w, the standard output of a step.
func NewOctopus(w io.Writer) *Octopus {
	a := ascii{w}
	return &Octopus{w: a, text: NewText(a)}
}

// Event writes the line at its level.
func (o *Octopus) Event(e procedure.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	level := ""
	switch {
	case e.Type == procedure.Warning:
		level = "warning"
	case e.Type == procedure.NodeEnded && (e.Result == procedure.Failed || e.Result == procedure.Unknown):
		level = "error"
	case e.Type == procedure.NodeEnded, e.Type == procedure.RunEnded:
		level = "highlight"
	case e.Type == procedure.Waiting:
		level = "wait"
	}
	if level != "" {
		fmt.Fprintf(o.w, "##octopus[stdout-%s]\n", level)
		defer fmt.Fprint(o.w, "##octopus[stdout-default]\n")
	}
	if e.Type == procedure.Progress && e.Percent > 0 {
		fmt.Fprintf(o.w, "##octopus[progress percentage='%s' message='%s']\n", base64Text(fmt.Sprint(e.Percent)), base64Text(e.Message))
	}
	o.text.Event(e)
}

func base64Text(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// ascii replaces what a Windows code page would spoil.
type ascii struct{ w io.Writer }

func (a ascii) Write(p []byte) (int, error) {
	text := strings.Map(func(r rune) rune {
		if r > 126 {
			return '?'
		}
		return r
	}, string(p))
	_, err := io.WriteString(a.w, text)
	return len(p), err
}

// Redact replaces secrets in everything that is written through it, a line at a time, so that a secret cannot
// slip through in two halves.
type Redact struct {
	mu      sync.Mutex
	w       io.Writer
	secrets []string
	rest    string
}

// NewRedact writes to w.
func NewRedact(w io.Writer) *Redact { return &Redact{w: w} }

// Hide adds values that must not be written; short ones would spoil ordinary words and are left alone.
func (r *Redact) Hide(values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range values {
		if len(v) >= 4 {
			r.secrets = append(r.secrets, v)
		}
	}
}

// Write holds back an unfinished line.
func (r *Redact) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest += string(p)
	end := strings.LastIndexByte(r.rest, '\n') + 1
	lines := r.rest[:end]
	r.rest = r.rest[end:]
	return len(p), r.put(lines)
}

// Flush writes the unfinished line.
func (r *Redact) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	rest := r.rest
	r.rest = ""
	return r.put(rest)
}

func (r *Redact) put(text string) error {
	for _, s := range r.secrets {
		text = strings.ReplaceAll(text, s, "[redacted]")
	}
	if text == "" {
		return nil
	}
	_, err := io.WriteString(r.w, text)
	return err
}
