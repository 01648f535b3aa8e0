package report

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

// TestHTMLHidesSecrets: whatever a secret holds, its escaped form is hidden as well.
func TestHTMLHidesSecrets(t *testing.T) {
	t.Parallel()
	const secret = `pa+ss<wo>rd"'&%`
	var b bytes.Buffer
	redact := NewRedact(&b)
	redact.Hide(secret)
	r := whole()
	r.Error, r.Next, r.Warnings, r.Nodes[0].Reason, r.Nodes[0].Host = secret, secret, []string{secret}, secret, secret
	r.Settings["OCTOPATCH_NODES"] = secret
	text, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if text = redact.Clean(text); strings.Contains(text, "wo&gt;rd") || strings.Count(text, "[redacted]") < 7 {
		t.Errorf("the secret is there, or its places are not: %d times hidden", strings.Count(text, "[redacted]"))
	}
}

// TestHTMLIsOneFile: nothing is fetched, nothing runs.
func TestHTMLIsOneFile(t *testing.T) {
	t.Parallel()
	r := whole()
	r.Nodes[0].Reason, r.Nodes[0].Node = `<script src="https://example.org/x.js"></script>`, `"><img src=x onerror=alert(1)>`
	text, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?i)<(script|img|link|iframe|a)\b|url\(|@import|\son\w+="`).FindString(text); found != "" {
		t.Errorf("the page has %q", found)
	}
	if strings.Contains(text, "ZgotmplZ") { // html/template's word for a value that it did not trust
		t.Error("a value was refused by the template")
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	r := Report{Started: at(0), Ended: at(1000)}
	for name, c := range map[string]struct {
		line procedure.Timeline
		want []bar
	}{
		"not begun": {},
		"closed again before its service stopped": {procedure.Timeline{Drained: at(100), Reopened: at(200)}, []bar{{"closed", "closed to new tasks from 02:01:40 to 02:03:20, 1 min 40 s", 10, 10}}},
		"held": {procedure.Timeline{Drained: at(100), ServiceDown: at(400)}, []bar{
			{"closed", "closed to new tasks from 02:01:40 to 02:06:40, 5 min", 10, 30}, {"service-down", "service down from 02:06:40 to 02:16:40, 10 min", 40, 60},
		}},
		"begun by an earlier process": {procedure.Timeline{Drained: at(-500), Reopened: at(500)}, []bar{{"closed", "closed to new tasks from 01:51:40 to 02:08:20, 16 min 40 s", 0, 50}}},
	} {
		if diff := cmp.Diff(c.want, r.states(c.line)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if lanes := (Report{Started: at(0), Ended: at(0), Nodes: whole().Nodes}).lanes(); lanes != nil {
		t.Errorf("a run that took no time is drawn: %v", lanes)
	}
}

func TestTicks(t *testing.T) {
	t.Parallel()
	for _, long := range []time.Duration{30 * time.Second, 7 * time.Minute, 3 * time.Hour, 50 * time.Hour, 30 * 24 * time.Hour} {
		list := Report{Started: at(7), Ended: at(7).Add(long)}.ticks()
		if len(list) > 8 || len(list) == 0 && long > time.Minute {
			t.Errorf("%s has %d ticks", long, len(list))
		}
		for _, tick := range list {
			if tick.Left <= 6 || tick.Left >= 94 {
				t.Errorf("%s: %s would be cut at %f %%", long, tick.Label, tick.Left)
			}
		}
	}
}

// TestTones: the colour says no better than the words.
func TestTones(t *testing.T) {
	t.Parallel()
	for exit, want := range map[int]procedure.Kind{0: procedure.Done, 1: procedure.Failed, 2: procedure.Failed, 3: procedure.Failed, 4: procedure.Skipped, 5: procedure.Skipped, 6: procedure.Unknown, 130: procedure.Skipped} {
		if got := (Report{Exit: exit}).tone(); got != want {
			t.Errorf("exit code %d is coloured %s, not %s", exit, got, want)
		}
	}
}
