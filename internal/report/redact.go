package report

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Redact replaces secrets in everything that is written through it, a line at a time, so that a secret cannot
// slip through in two halves. No secret should come this far; this is the last door.
type Redact struct {
	mu       sync.Mutex
	w        io.Writer
	forms    []string
	replacer *strings.Replacer
	rest     string
	ascii    bool
}

// NewRedact writes to w.
func NewRedact(w io.Writer) *Redact { return &Redact{w: w, replacer: strings.NewReplacer()} }

// shortest is the length from which a value is hidden: a shorter one would spoil ordinary words.
const shortest = 4

// Hide adds values that must not be written, in each form in which they could be.
func (r *Redact) Hide(values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range values {
		if len(v) >= shortest {
			r.forms = append(r.forms, forms(v)...)
		}
	}
	// The longest first: a secret may hold another one.
	slices.SortFunc(r.forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	r.forms = slices.Compact(r.forms)
	var pairs []string
	for _, f := range r.forms {
		pairs = append(pairs, f, "[redacted]")
	}
	r.replacer = strings.NewReplacer(pairs...)
}

// forms are the ways in which a value is escaped by what we write: JSON, GitHub's commands, addresses, Octopus'
// service messages, and report.html, whose template escapes one sign more than the package does elsewhere.
func forms(value string) []string {
	list := []string{value, url.QueryEscape(value), url.PathEscape(value), base64.StdEncoding.EncodeToString([]byte(value)), strings.ReplaceAll(value, "%", "%25"),
		strings.ReplaceAll(template.HTMLEscapeString(value), "+", "&#43;")}
	for _, html := range []bool{true, false} {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(html)
		if e.Encode(value) == nil {
			text := strings.TrimSuffix(b.String(), "\n")
			list = append(list, text[1:len(text)-1])
		}
	}
	return list
}

// Clean replaces secrets in text.
func (r *Redact) Clean(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.replacer.Replace(text)
}

// Write holds back an unfinished line. A carriage return ends a line as well: a live one is redrawn by it.
func (r *Redact) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest += string(p)
	end := strings.LastIndexAny(r.rest, "\r\n") + 1
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
	if text == "" {
		return nil
	}
	text = r.replacer.Replace(text)
	if r.ascii {
		text = ascii(text)
	}
	_, err := io.WriteString(r.w, text)
	return err
}

// ASCII replaces every other character from here on: Octopus reads a step on Windows in the OEM code page.
func (r *Redact) ASCII() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ascii = true
}

// Sink cleans the words of events before they reach next, where they may be encoded.
func (r *Redact) Sink(next procedure.Sink) procedure.Sink { return cleaned{r, next} }

type cleaned struct {
	redact *Redact
	next   procedure.Sink
}

func (c cleaned) Event(e procedure.Event) {
	for _, text := range []*string{&e.Node, &e.Title, &e.Reason, &e.WaitingFor, &e.Message, &e.Next} {
		*text = c.redact.Clean(*text)
	}
	c.next.Event(e)
}
