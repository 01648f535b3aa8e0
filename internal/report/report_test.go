package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
)

// TestPlanThatIsNotKnown: what a node would install is unknown where it could not be searched, and not nothing.
func TestPlanThatIsNotKnown(t *testing.T) {
	t.Parallel()
	p := procedure.Plan{Nodes: []procedure.PlanNode{{Node: "OCTO-01", Problem: "updates cannot be searched"}}}
	var text bytes.Buffer
	Plan(&text, p)
	page := PlanMarkdown(p)
	for _, got := range []string{text.String(), page} {
		if !strings.Contains(got, "UNKNOWN") || !strings.Contains(got, "updates cannot be searched") {
			t.Error(got)
		}
	}
	if !strings.Contains(page, "# Plan: 0 updates on 0 of 1 node\n") {
		t.Error(page)
	}
}

func TestPick(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, setting string
		env           map[string]string
		terminal      bool
		want          string
	}{
		{"said", "json", map[string]string{"GITHUB_ACTIONS": "true"}, true, "json"},
		{"github", "auto", map[string]string{"GITHUB_ACTIONS": "true", "CI": "true"}, false, "github"},
		{"not_github", "auto", map[string]string{"GITHUB_ACTIONS": "false"}, false, "text"},
		{"tentacle", "auto", map[string]string{"TentacleHome": `C:\Octopus`}, false, "octopus"},
		{"calamari", "auto", map[string]string{"OctopusCalamariWorkingDirectory": "/x"}, false, "octopus"},
		{"terminal", "auto", nil, true, "terminal"},
		{"dumb_terminal", "auto", map[string]string{"TERM": "dumb"}, true, "text"},
		{"other_ci_with_a_terminal", "", map[string]string{"CI": "1"}, true, "text"},
		{"pipe", "auto", nil, false, "text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := Pick(c.setting, func(k string) string { return c.env[k] }, c.terminal); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	if file, err := os.Open("report.go"); err != nil || IsTerminal(file) {
		t.Errorf("a file is no terminal (%v)", err)
	}
}

// TestJSONLines: each line is an object of the documented form, whatever the event says, and no CI system finds
// a command in it.
func TestJSONLines(t *testing.T) {
	t.Parallel()
	types := map[string]bool{"run_started": true, "phase_started": true, "waiting": true, "progress": true, "phase_ended": true, "node_ended": true, "warning": true, "run_ended": true}
	var b bytes.Buffer
	s := NewJSON(&b)
	for _, e := range night() {
		s.Event(e)
	}
	for line := range strings.Lines(b.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if _, err := time.Parse(time.RFC3339, m["time"].(string)); err != nil || m["run"] == "" || !types[m["type"].(string)] {
			t.Errorf("%s: %v", line, err)
		}
		if strings.Contains(line, "##") {
			t.Errorf("a command to a CI system: %s", line)
		}
		_, seconds := m["seconds"]
		_, exit := m["exit"]
		if want := m["type"] == "run_ended"; exit != want {
			t.Errorf("exit: %t, want %t: %s", exit, want, line)
		}
		if strings.HasSuffix(m["type"].(string), "_ended") && !seconds {
			t.Errorf("no seconds: %s", line)
		}
	}
	if !strings.Contains(b.String(), `"message":"not awaited, they are queued for later: ServerTasks-9 Deploy \"Prüfung 100 %: #\u0023octopus[mask]\n::error::no\""`) {
		t.Errorf("the message is not whole in\n%s", b.String())
	}
}

// TestNothingFromOutsideCommands: no text in an event makes a line of its own or a command in any log.
func TestNothingFromOutsideCommands(t *testing.T) {
	t.Parallel()
	const evil = "x\r\n::error::a\n##[error]b\n  ::set-env name=A::b\n##octopus[mask value='eA==']\n##teamcity[message]\x1b[2J\u202e"
	for name, kind := range map[string]string{"text": logText, "github": logGitHub, "octopus": logOctopus, "json": logJSON} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			w := NewRedact(&b)
			s, end := New(kind, w, clock.Clock{})
			for _, typ := range []procedure.EventType{procedure.RunStarted, procedure.PhaseStarted, procedure.Waiting, procedure.Progress, procedure.Warning, procedure.PhaseEnded, procedure.NodeEnded, procedure.RunEnded} {
				s.Event(procedure.Event{Type: typ, Time: at(0), Run: evil, Node: evil, Phase: "wait", Title: evil, Reason: evil, WaitingFor: evil, Message: evil, Next: evil, Percent: 3, Result: procedure.Failed})
			}
			end()
			for line := range strings.Lines(b.String()) {
				trimmed := strings.TrimSpace(line)
				command, ours, _ := strings.Cut(strings.TrimLeft(trimmed, ":"), "::")
				switch {
				case strings.HasPrefix(trimmed, "::") && (kind != logGitHub || command != "group" && command != "endgroup" && command != "warning" && command != "error"),
					strings.Contains(ours, "\x1b"),
					strings.HasPrefix(trimmed, "##octopus[") && (kind != logOctopus || strings.Contains(trimmed, "mask")),
					strings.Contains(strings.TrimPrefix(trimmed, "##octopus["), "##"),
					strings.ContainsAny(trimmed, "\x1b\u202e\r"):
					if kind != logJSON || !strings.HasPrefix(trimmed, "{") {
						t.Errorf("got %q", line)
					}
				}
			}
		})
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	const tricky = `p"<&>%a\b/ä+ x`
	for _, kind := range []string{logText, logJSON, logGitHub, logOctopus, logTerminal} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			w := NewRedact(&b)
			w.Hide("API-SECRETKEY", "API-SECRETKEY-LONGER", tricky, "", "abc")
			s, end := New(kind, w, clock.Clock{})
			for _, secret := range []string{"API-SECRETKEY", "API-SECRETKEY-LONGER", tricky} {
				s.Event(procedure.Event{Type: procedure.Progress, Time: at(0), Percent: 5, Message: "seen " + secret + " here"})
				s.Event(procedure.Event{Type: procedure.Warning, Time: at(0), Message: secret})
			}
			end()
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			for _, leak := range []string{"SECRETKEY", "LONGER", tricky, `p\"`, "p%22", "%25a"} {
				if strings.Contains(b.String(), leak) {
					t.Errorf("%s shows in\n%s", leak, b.String())
				}
			}
			if !strings.Contains(b.String(), "[redacted]") {
				t.Errorf("nothing was hidden in\n%s", b.String())
			}
		})
	}
	t.Run("in_two_halves", func(t *testing.T) {
		t.Parallel()
		var b bytes.Buffer
		w := NewRedact(&b)
		w.Hide("hunter2")
		for _, part := range []string{"pass hun", "ter2", " end\nrest hun", "ter2"} {
			if n, err := io.WriteString(w, part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := errors.Join(w.Flush(), w.Flush()); err != nil {
			t.Fatal(err)
		}
		if got, want := b.String(), "pass [redacted] end\nrest [redacted]"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("in_files", func(t *testing.T) {
		t.Parallel()
		w := NewRedact(io.Discard)
		w.Hide("hunter2")
		r := whole()
		r.Error, r.Clean = "hunter2", w.Clean
		dir := t.TempDir()
		if err := r.Write(dir); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"report.json", "report.html", "summary.md"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || bytes.Contains(text, []byte("hunter2")) || !bytes.Contains(text, []byte("redacted")) {
				t.Errorf("%s: %v\n%s", name, err, text)
			}
		}
	})
}

// TestGitHubUnfoldsTheEnd: what ends a run stands outside of the group of a phase that never ended.
func TestGitHubUnfoldsTheEnd(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	s := NewGitHub(&b)
	s.Event(procedure.Event{Type: procedure.PhaseStarted, Time: at(0), Node: "OCTO-01", Phase: "patch", Title: "Apply patches"})
	s.Event(procedure.Event{Type: procedure.RunEnded, Time: at(1), Run: "r", Exit: ptr(130), Next: "octopatch run"})
	lines := strings.Split(b.String(), "\n")
	if !strings.HasPrefix(lines[0], "::group::") || lines[1] != "::endgroup::" || !strings.HasPrefix(lines[3], "::error::run r ended with exit code 130") {
		t.Errorf("got\n%s", b.String())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("closed pipe") }

// TestTogether: many goroutines, every sink at once, and a writer that is closed.
func TestTogether(t *testing.T) {
	t.Parallel()
	var warnings Warnings
	tee := Tee{&warnings}
	for _, kind := range []string{logText, logJSON, logGitHub, logOctopus, logTerminal} {
		for _, w := range []io.Writer{io.Discard, broken{}} {
			s, end := New(kind, NewRedact(w), clock.Clock{})
			defer end()
			tee = append(tee, s)
		}
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, e := range night() {
				tee.Event(e)
			}
		})
	}
	all.Wait()
	if len(warnings.List) != 8 || strings.Contains(warnings.List[0], "\n") {
		t.Errorf("got %q", warnings.List)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	var w Warnings
	w.Event(procedure.Event{Type: procedure.Progress, Message: "no warning"})
	w.Event(procedure.Event{Type: procedure.Warning, Message: "the clock is a rehearsal's"})
	w.Event(procedure.Event{Type: procedure.Warning, Node: "OCTO-01", Message: "two\nlines"})
	if got, want := strings.Join(w.List, "|"), "the clock is a rehearsal's|OCTO-01: two; lines"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	nodes := whole().Nodes
	for _, c := range []struct {
		command string
		exit    int
		want    string
	}{
		{"run", 0, "Done: 1 of 3 nodes patched and serving, 1 not touched, 1 failed and serving"},
		{"preflight", 0, "Done: octopatch preflight"},
		{"stop", 1, "Failed: octopatch stop"},
		{"run", 4, "Refused: nothing was changed"},
		{"run", 5, "Stopped by a rule, and put back: 1 of 3"},
		{"run", 6, "Unknown: "},
		{"run", 130, "Interrupted: 1 of 3"},
		{"run", 99, "Failed: 1 of 3"},
	} {
		if got := (Report{Command: c.command, Exit: c.exit, Nodes: nodes}).verdict(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s, exit %d: got %s, want %s", c.command, c.exit, got, c.want)
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[float64]string{0: "0 s", 0.6: "1 s", 59.7: "1 min", 250: "4 min 10 s", 3600: "1 h", 3900: "1 h 5 min", 90000: "25 h"} {
		if got := procedure.Span(seconds); got != want {
			t.Errorf("%g: got %s, want %s", seconds, got, want)
		}
	}
}

func TestReportDirectoryFault(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := whole().Write(filepath.Join(file, "sub"))
	var f *procedure.Fault
	if !errors.As(err, &f) || f.Subject != "OCTOPATCH_REPORT_DIR" || f.Remedy == "" {
		t.Errorf("got %v", err)
	}
}

// TestWhatNobodySaw: the time in which no process of the run lived counts neither as up nor as down, and each form of
// the report says so; the chart begins where the run did.
func TestWhatNobodySaw(t *testing.T) {
	t.Parallel()
	r := whole()
	r.Downtime.Unseen = &procedure.Interval{From: at(-3600), To: at(-1200)}
	html, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	var summary strings.Builder
	r.Summary(&summary)
	for name, text := range map[string]string{"summary": summary.String(), "markdown": r.Markdown()} {
		if !strings.Contains(text, "downtime: 20 s (2 of 240 probes of OCTOPUS_URL, one every 10 s, were not answered); not seen: from 2026-12-13 01:00:00 to 2026-12-13 01:40:00, before this process went on") {
			t.Errorf("%s does not say it:\n%s", name, text)
		}
	}
	for _, words := range []string{`<div class="bar unseen" title="not seen, before this process went on with the run from 01:00:00 to 01:40:00, 40 min" style="left:0.000%;width:40.000%">`, "not seen from 01:00:00 to 01:40:00"} {
		if !strings.Contains(html, words) {
			t.Errorf("the page does not have %q", words)
		}
	}
}
