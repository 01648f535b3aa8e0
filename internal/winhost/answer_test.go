package winhost

import (
	"encoding/json"
	"strings"
	"testing"
)

const testNonce = "0123456789abcdef0123456789abcdef"

func TestLines(t *testing.T) {
	t.Parallel()
	with := func(rest string) string { return `{"nonce":"` + testNonce + `",` + rest + `}` }
	cases := []struct {
		name                 string
		lines                []string
		answer, fault, noise bool
		broken               bool
		progress             int
	}{
		{"answer", []string{with(`"answer":{"a":1}`)}, true, false, false, false, 0},
		{"progress_then_answer", []string{with(`"progress":{}`), with(`"progress":{}`), with(`"answer":{}`)}, true, false, false, false, 2},
		{"error", []string{with(`"error":{"kind":"k","message":"m","code":""}`)}, false, true, false, false, 0},
		{"noise", []string{"WARNING: profile", "", `{"nonce":"other","answer":{}}`}, false, false, true, false, 0},
		{"spaces_and_cr", []string{"  " + with(`"answer":{}`) + "\r"}, true, false, false, false, 0},
		{"noise_without_line_end", []string{"Loading…" + with(`"answer":{}`)}, true, false, true, false, 0},
		{"null_answer", []string{with(`"answer":null`)}, false, false, false, true, 0},
		{"answer_and_error", []string{with(`"answer":{},"error":{"kind":"k","message":"m","code":""}`)}, false, false, false, true, 0},
		{"unknown_field", []string{with(`"answer":{},"more":1`)}, false, false, false, true, 0},
		{"truncated", []string{with(`"answer":{}`)[:50]}, false, false, false, true, 0},
		{"two_values", []string{with(`"answer":{}`) + "{}"}, false, false, false, true, 0},
		{"second_nonce", []string{with(`"nonce":"x","answer":{}`)}, false, false, false, true, 0},
		{"answer_twice", []string{with(`"answer":{}`), with(`"answer":{}`)}, true, false, false, true, 0},
		{"progress_after_answer", []string{with(`"answer":{}`), with(`"progress":{}`)}, true, false, false, true, 0},
		{"huge_progress", []string{with(`"progress":"` + strings.Repeat("x", maxProgress+1) + `"`)}, false, false, false, true, 0},
		{"huge_answer", []string{with(`"answer":"` + strings.Repeat("x", maxAnswer) + `"`)}, false, false, false, true, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seen := 0
			r := &reply{nonce: testNonce, progress: func(json.RawMessage) { seen++ }}
			for _, line := range c.lines {
				r.line(line)
			}
			if (r.answer != nil) != c.answer || (r.fault != nil) != c.fault || (r.noise != "") != c.noise || (r.broken != nil) != c.broken || seen != c.progress {
				t.Errorf("answer %s, fault %v, noise %q, broken %v, %d progress", r.answer, r.fault, r.noise, r.broken, seen)
			}
		})
	}
}

// Whatever a host sends, decoding ends, and what is believed passes its own check.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{doneText, readyText, calls[0].answer, calls[1].answer, `{"journal":` + journalText + `}`, `{"state":"issued"}`, `{}`, `null`, `[]`, `{"journal":{"format":1,"run":"x","host":null}}`, `{"state":"done","result":{"outcomes":[null]}}`} {
		f.Add(`"answer":` + seed)
	}
	f.Add(`"error":{"kind":"journal","message":"\u00e9","code":"0x80070005"}`)
	f.Add(`"progress":{"line":1,"work":{"stage":"search"}}`)
	f.Fuzz(func(t *testing.T, rest string) {
		h := &Host{name: "h"}
		r := &reply{nonce: testNonce, progress: func(raw json.RawMessage) { sign[workSign](raw) }}
		for line := range strings.SplitSeq(`{"nonce":"`+testNonce+`",`+rest+`}`, "\n") {
			r.line(line)
		}
		if r.fault != nil && h.fault("probe", *r.fault).Error() == "" {
			t.Error("an error without words")
		}
		for _, a := range []answer{&probed{}, &healthy{}, &kept{}, &followed{}, &readied{}, &rebooted{}, &done{}} {
			if r.answer == nil || decode(r.answer, a, false) != nil || a.check() != nil {
				continue
			}
			switch a := a.(type) {
			case *kept:
				if a.journal().Run == "" {
					t.Error("a journal without a run was believed")
				}
			case *followed:
				if a.State == "done" && a.Result == nil {
					t.Error("a result that is not there was believed")
				}
			case *readied:
				if a.Ready && a.Windows.Boot == "" {
					t.Error("ready without a boot time was believed")
				}
			}
		}
	})
}
