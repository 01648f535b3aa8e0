package octopus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// shape is the form of an answer. gap names what is missing or wrong in it, or is empty: a field that did not
// come must not be taken for false or 0.
type shape interface{ gap() string }

// ask sends a call and reads its answer.
func ask[T shape](ctx context.Context, c *Client, q call) (T, error) {
	v, _, err := askStatus[T](ctx, c, q)
	return v, err
}

// askStatus is ask where several statuses are answers.
func askStatus[T shape](ctx context.Context, c *Client, q call) (T, int, error) {
	a, err := c.do(ctx, q)
	if err != nil {
		var none T
		return none, 0, err
	}
	v, problem := parse[T](a)
	if problem != "" {
		return v, a.status, c.unreadable(q, problem)
	}
	return v, a.status, nil
}

// unreadable is the fault of an answer that came and says nothing we can rely on.
func (c *Client) unreadable(q call, problem string) error {
	return c.fault(procedure.ErrUnreadable, q, "was answered with "+problem,
		"check that "+c.at.setting+" is the address of Octopus' web portal, with its virtual directory and without /app, and that nothing in between answers in its place", nil)
}

// parse reads an answer, or says what came instead without repeating it.
func parse[T shape](a answer) (v T, problem string) {
	err := json.Unmarshal(a.body, &v)
	if err == nil {
		return v, v.gap()
	}
	var none T
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind := wrong.Value
		if strings.HasPrefix(kind, "number") { // the number itself follows
			kind = "number"
		}
		if wrong.Field == "" {
			return none, fmt.Sprintf("JSON of another form (%s)", kind)
		}
		return none, fmt.Sprintf("JSON in which %s is of the wrong type (%s)", wrong.Field, kind)
	}
	return none, describe(a)
}

// describe says what a body is, without a word of it.
func describe(a answer) string {
	body := bytes.TrimSpace(bytes.TrimPrefix(a.body, []byte("\xef\xbb\xbf")))
	kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		kind = "unknown type"
	}
	switch {
	case len(body) == 0:
		return "nothing"
	case kind == "text/html" || body[0] == '<':
		return "an HTML page"
	case json.Valid(body):
		return "JSON of another form"
	case body[0] == '{' || body[0] == '[':
		return fmt.Sprintf("JSON that is broken or cut off (%d bytes)", len(a.body))
	}
	if len(kind) > 60 || strings.ContainsFunc(kind, func(r rune) bool { return r < ' ' || r > '~' }) {
		kind = "unknown type"
	}
	return fmt.Sprintf("something that is not JSON (%s, %d bytes)", kind, len(a.body))
}

// need is a field of an answer and whether it came.
type need struct {
	field string
	came  bool
}

// absent names the first field that did not come.
func absent(needs ...need) string {
	for _, n := range needs {
		if !n.came {
			return "JSON in which " + n.field + " is missing"
		}
	}
	return ""
}

// moment is a date of .NET, which may come without an offset; absent, null and .NET's smallest date are zero.
type moment struct{ time.Time }

// UnmarshalJSON refuses what is no date.
func (m *moment) UnmarshalJSON(data []byte) error {
	m.Time = time.Time{}
	var text *string
	if err := json.Unmarshal(data, &text); err != nil {
		return &json.UnmarshalTypeError{Value: "not a date"}
	}
	if text == nil {
		return nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, *text); err == nil {
			if t.Year() > 1 {
				m.Time = t
			}
			return nil
		}
	}
	return &json.UnmarshalTypeError{Value: "not a date"}
}
