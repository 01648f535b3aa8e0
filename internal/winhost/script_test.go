package winhost

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// foreign is an answer that somebody else understands.
type foreign struct {
	Found *bool `json:"found"`
}

func (f *foreign) Check() error {
	if f.Found == nil {
		return errors.New("it does not say whether it is there")
	}
	return nil
}

// TestScript: a script is run for somebody else as our own are: with the lease, progress, one answer that its
// caller judges, and faults of one kind each.
func TestScript(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		reply func(asked) error
		want  error
		says  string
	}{
		{"answered", func(a asked) error { a.say("progress", `{"at":"half"}`); a.say("answer", `{"found":true}`); return nil }, nil, ""},
		{"answered_and_cut", func(a asked) error { a.say("answer", `{"found":true}`); return noReply() }, nil, ""},
		{"half_an_answer", func(a asked) error { a.say("answer", `{}`); return nil }, procedure.ErrUnreadable, "whether it is there"},
		{"another_answer", func(a asked) error { a.say("answer", `{"found":"yes"}`); return nil }, procedure.ErrUnreadable, "cannot be understood"},
		{"unfit", func(a asked) error { a.say("error", `{"kind":"unfit","message":"no room","code":""}`); return nil }, procedure.ErrRefused, "cannot be taken there: no room"},
		{"access", func(a asked) error {
			a.say("error", `{"kind":"script","message":"no","code":"0x80070005"}`)
			return nil
		}, procedure.ErrDenied, ""},
		{"lost", func(asked) error { return noReply() }, procedure.ErrNoReply, ""},
		{"silent", func(asked) error { return nil }, procedure.ErrNoReply, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, f := newFake(t, func(_ int, a asked) error { return c.reply(a) })
			h.held.took("mine", time.Hour, time.Now())
			var a foreign
			var signs []string
			err := h.Script(context.Background(), "probe", map[string]string{"action": "find"}, &a, time.Minute, func(raw json.RawMessage) { signs = append(signs, string(raw)) })
			if !errors.Is(err, c.want) || c.want != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want one of kind %v that says %q", err, c.want, c.says)
			}
			if c.want == nil && (a.Found == nil || !*a.Found) {
				t.Error("the answer did not arrive")
			}
			if c.name == "answered" && !slices.Equal(signs, []string{`{"at":"half"}`}) {
				t.Errorf("progress %q", signs)
			}
			lease, _ := f.all[0].request["lease"].(map[string]any)
			if f.all[0].request["action"] != "find" || lease["nonce"] != "mine" {
				t.Errorf("the request is %v", f.all[0].request)
			}
		})
	}
}
