package winhost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Bounds of what a host may send: an answer lists hundreds of updates at most.
const (
	maxAnswer   = 8 << 20
	maxProgress = 64 << 10
)

// envelope is a line of the script's output that counts: exactly one of the three is there.
type envelope struct {
	Nonce    string          `json:"nonce"`
	Answer   json.RawMessage `json:"answer"`
	Error    *scriptError    `json:"error"`
	Progress json.RawMessage `json:"progress"`
}

// scriptError is what a script says instead of an answer.
type scriptError struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Code    string `json:"code"`
}

// reply collects the lines that carry the nonce of a call; everything else is diagnostics.
type reply struct {
	nonce    string
	progress func(json.RawMessage)
	answer   json.RawMessage
	fault    *scriptError
	broken   error  // a line that carries our nonce and is not one of ours
	noise    string // the last line that is not ours
}

func (r *reply) line(text string) {
	text = strings.TrimSpace(text)
	at := strings.Index(text, `{"nonce":"`+r.nonce+`"`)
	if noise := text[:max(at, 0)]; at != 0 && text != "" { // a profile may leave its last line open
		if at < 0 {
			noise = text
		}
		r.noise = noise[:min(len(noise), 300)]
	}
	if at < 0 {
		return
	}
	if err := r.take(text[at:]); err != nil && r.broken == nil {
		r.broken = err
	}
}

func (r *reply) take(text string) error {
	if len(text) > maxAnswer {
		return fmt.Errorf("an answer of %d bytes", len(text))
	}
	if r.answer != nil || r.fault != nil {
		return errors.New("a line after the answer")
	}
	var e envelope
	if err := decode([]byte(text), &e, true); err != nil {
		return err
	}
	parts := 0
	for _, there := range []bool{isThere(e.Answer), e.Error != nil, isThere(e.Progress)} {
		if there {
			parts++
		}
	}
	if parts != 1 || e.Nonce != r.nonce {
		return errors.New("a line with neither answer nor error nor progress, or with more than one")
	}
	switch {
	case e.Error != nil:
		r.fault = e.Error
	case isThere(e.Answer):
		r.answer = e.Answer
	case len(e.Progress) > maxProgress:
		return fmt.Errorf("a progress line of %d bytes", len(e.Progress))
	case r.progress != nil:
		r.progress(e.Progress)
	}
	return nil
}

func isThere(m json.RawMessage) bool { return len(m) > 0 && !bytes.Equal(m, []byte("null")) }

// decode reads exactly one JSON value. A journal may hold fields of a newer version, so only envelopes are
// held to the fields that are known.
func decode(text []byte, into any, known bool) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if known {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("something follows the JSON")
	}
	return nil
}
