package report

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"sync"

	"github.com/octopatch/octopatch/internal/procedure"
)

// JSON writes one event a line.
type JSON struct {
	mu sync.Mutex
	w  io.Writer
}

// NewJSON writes to w, where nothing else may be written.
func NewJSON(w io.Writer) *JSON { return &JSON{w: w} }

// Event writes it. How long something took is there even when that was no time at all.
func (j *JSON) Event(e procedure.Event) {
	line := struct {
		procedure.Event
		Seconds *float64 `json:"seconds,omitempty"`
	}{Event: e}
	switch e.Type {
	case procedure.Waiting, procedure.PhaseEnded, procedure.NodeEnded, procedure.RunEnded:
		seconds := math.Round(e.Seconds*1000) / 1000
		line.Seconds = &seconds
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(line) != nil {
		return // nothing in an event is beyond JSON but a time after the year 9999
	}
	// The same JSON, but no CI system finds a command of its own (##[error], ##octopus[...]) in the line.
	text := bytes.ReplaceAll(b.Bytes(), []byte("##"), []byte(`#\u0023`))
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = j.w.Write(text) // a closed pipe must not end a run half way
}

// WriteJSON prints a plan, a notice or journals for programs.
func WriteJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(value)
}
