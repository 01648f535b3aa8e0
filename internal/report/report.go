package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Report is report.json: everything about a run that somebody may ask for on Monday.
type Report struct {
	Schema     int                     `json:"schema"` // 1
	Run        string                  `json:"run"`
	Command    string                  `json:"command"`
	Program    string                  `json:"octopatch_version"`
	Octopus    string                  `json:"octopus_version"`
	Topology   procedure.Topology      `json:"topology"`
	Started    time.Time               `json:"started"` // of the run's clock
	Ended      time.Time               `json:"ended"`
	Seconds    float64                 `json:"seconds"`
	Exit       int                     `json:"exit"`
	Error      string                  `json:"error,omitempty"`
	Next       string                  `json:"next,omitempty"`
	Precaution string                  `json:"precaution"`
	Nodes      []*procedure.NodeReport `json:"nodes"`
	Downtime   procedure.Downtime      `json:"downtime"`
	Notice     *procedure.Notice       `json:"notice,omitempty"`
	Settings   map[string]string       `json:"settings"`
	Warnings   []string                `json:"warnings"`

	// Clean takes secrets out of what is written to files; nil leaves it as it is.
	Clean func(string) string `json:"-"`
}

// Warnings collects the warnings of a run for its report. List is read when the run is over.
type Warnings struct {
	mu   sync.Mutex
	List []string
}

// Event keeps warnings.
func (w *Warnings) Event(e procedure.Event) {
	if e.Type != procedure.Warning {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	text := e.Message
	if e.Node != "" {
		text = e.Node + ": " + text
	}
	w.List = append(w.List, plain(text))
}

// Write puts report.json, report.html and summary.md into the directory.
func (r Report) Write(dir string) error {
	text, err := json.MarshalIndent(r.whole(), "", "  ")
	if err != nil {
		return err
	}
	html, err := r.HTML()
	if err != nil {
		return err
	}
	return writeFiles(dir, r.Clean, []file{{"report.json", string(text) + "\n"}, {"report.html", html}, {"summary.md", r.Markdown()}})
}

// file is one file of the report directory.
type file struct{ name, text string }

// writeFiles makes the directory where it is missing; clean takes secrets out, nil leaves the text as it is.
func writeFiles(dir string, clean func(string) string, files []file) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return writeFault(dir, err)
	}
	for _, f := range files {
		if clean != nil {
			f.text = clean(f.text)
		}
		if err := replace(filepath.Join(dir, f.name), f.text); err != nil {
			return writeFault(filepath.Join(dir, f.name), err)
		}
	}
	return nil
}

// replace writes the file so that a reader sees the old one or the new one, and no half of either.
func replace(name, text string) error {
	temporary := name + ".new"
	if err := os.WriteFile(temporary, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, name)
}

func writeFault(name string, err error) error {
	return &procedure.Fault{Subject: "OCTOPATCH_REPORT_DIR", Problem: "the report cannot be written to " + name, Cause: err, Remedy: "name a directory that this user may write"}
}

// whole is the report with empty lists in place of absent ones, so that programs need not tell them apart.
func (r Report) whole() Report {
	nodes := make([]*procedure.NodeReport, 0, len(r.Nodes))
	for _, n := range r.Nodes {
		full := *n
		full.Installed, full.Failed, full.Skipped, full.Phases = filled(n.Installed), filled(n.Failed), filled(n.Skipped), filled(n.Phases)
		nodes = append(nodes, &full)
	}
	r.Nodes, r.Warnings, r.Downtime.Intervals = nodes, filled(r.Warnings), filled(r.Downtime.Intervals)
	if r.Settings == nil {
		r.Settings = map[string]string{}
	}
	return r
}

func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// everyNode are the commands that end in all nodes patched.
func (r Report) everyNode() bool {
	return r.Command == "run" || r.Command == "rehearse" || r.Command == ""
}

// verdict is the result at a glance.
func (r Report) verdict() string {
	switch r.Exit {
	case 0:
		return "Done: " + r.tally()
	case 3:
		return "Some nodes failed: " + r.tally()
	case 4:
		return "Refused: nothing was changed"
	case 5:
		return "Stopped by a rule, and put back: " + r.tally()
	case 6:
		return "Unknown: the state of a node could not be read"
	case 130:
		return "Interrupted: " + r.tally()
	}
	return "Failed: " + r.tally()
}

// tally counts the nodes by what became of them.
func (r Report) tally() string {
	if !r.everyNode() || len(r.Nodes) == 0 {
		return "octopatch " + or(r.Command, "run")
	}
	count, open := map[procedure.Kind]int{}, 0
	for _, n := range r.Nodes {
		count[n.Result]++
		if n.Result == procedure.Failed && n.Timeline.Open() {
			open++
		}
	}
	if count[procedure.Skipped] == len(r.Nodes) && r.Exit == 0 {
		return fmt.Sprintf("nothing to install, %s not touched", procedure.Count(len(r.Nodes), "node"))
	}
	text := fmt.Sprintf("%d of %s patched and serving", count[procedure.Done], procedure.Count(len(r.Nodes), "node"))
	for _, c := range []struct {
		count int
		words string
	}{{count[procedure.Skipped], "not touched"}, {open, "failed and serving"}, {count[procedure.Failed] - open, "failed and out of service"}, {count[procedure.Unknown], "unknown"}} {
		if c.count > 0 {
			text += fmt.Sprintf(", %d %s", c.count, c.words)
		}
	}
	return text
}

// downtime says what users saw.
func (r Report) downtime() string {
	seen, how := r.measured()
	if how == "" {
		return seen + after("; ", r.unseen())
	}
	return seen + " (" + how + ")" + after("; ", r.unseen())
}

// measured is what users saw, and how it was measured.
func (r Report) measured() (seen, how string) {
	if r.Downtime.Probes == 0 {
		return "not measured", ""
	}
	return procedure.Span(r.Downtime.Seconds), fmt.Sprintf("%d of %d probes of OCTOPUS_URL, one every %s, were not answered", r.Downtime.Failed, r.Downtime.Probes, procedure.Span(r.Downtime.Every))
}

// unseen says what of the run no probe saw; that counts neither as up nor as down.
func (r Report) unseen() string {
	u := r.Downtime.Unseen
	if u == nil {
		return ""
	}
	return fmt.Sprintf("not seen: from %s to %s, before this process went on with the run, nobody probed OCTOPUS_URL", u.From.Format("2006-01-02 15:04:05"), u.To.Format("2006-01-02 15:04:05"))
}

// began is when the run began, which may have been in an earlier process.
func (r Report) began() time.Time {
	if u := r.Downtime.Unseen; u != nil && u.From.Before(r.Started) {
		return u.From
	}
	return r.Started
}

func clockTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("15:04:05")
}

// outage is how long the node took no work, as far as both ends are known.
func outage(t procedure.Timeline) string {
	from := t.Drained
	if from.IsZero() {
		from = t.ServiceDown
	}
	if from.IsZero() || t.Reopened.IsZero() {
		return "-"
	}
	return procedure.Span(t.Reopened.Sub(from).Seconds())
}

// build is Windows' build and UBR before and after.
func build(n *procedure.NodeReport) string {
	if n.Before.Build == "" {
		return "-"
	}
	before, after := fmt.Sprintf("%s.%d", n.Before.Build, n.Before.UBR), fmt.Sprintf("%s.%d", n.After.Build, n.After.UBR)
	switch {
	case n.After.Build == "":
		return before + " to unknown"
	case before == after:
		return before
	}
	return before + " to " + after
}

// kbs lists the numbers of updates.
func kbs(list []procedure.UpdateOutcome) string {
	var names []string
	for _, o := range list {
		names = append(names, named(o.KBs, o.Title))
	}
	return or(strings.Join(names, " "), "-")
}

// named is an update by its numbers, or by its title where it has none.
func named(kbs []string, title string) string {
	if len(kbs) == 0 {
		return or(title, "-")
	}
	return "KB" + strings.Join(kbs, ",KB")
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}
