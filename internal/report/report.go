package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
}

// Warnings collects the warnings of a run for its report.
type Warnings struct{ List []string }

// Event keeps warnings.
func (w *Warnings) Event(e procedure.Event) {
	if e.Type == procedure.Warning {
		w.List = append(w.List, strings.TrimSpace(e.Node+" "+e.Message))
	}
}

// Write puts report.json and summary.md into the directory.
func (r Report) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return writeFault(dir, err)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"report.json": append(text, '\n'), "summary.md": []byte(r.Markdown())} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return writeFault(filepath.Join(dir, name), err)
		}
	}
	return nil
}

func writeFault(name string, err error) error {
	return &procedure.Fault{Subject: "OCTOPATCH_REPORT_DIR", Problem: "the report cannot be written to " + name, Cause: err, Remedy: "name a directory that this user may write"}
}

// verdict is the result at a glance.
func (r Report) verdict() string {
	done, total := 0, len(r.Nodes)
	for _, n := range r.Nodes {
		if n.Result == procedure.Done || n.Result == procedure.Skipped && n.Reason == "nothing to install" {
			done++
		}
	}
	switch r.Exit {
	case 0:
		return fmt.Sprintf("Done: %d of %d nodes are patched and serving", done, total)
	case 4:
		return "Refused: nothing was changed"
	case 5:
		return fmt.Sprintf("Stopped by a rule, and put back: %d of %d nodes are done", done, total)
	case 6:
		return "Unknown: the state of a node could not be read"
	case 130:
		return "Interrupted"
	}
	return fmt.Sprintf("Failed: %d of %d nodes are done", done, total)
}

// downtime says what users saw.
func (r Report) downtime() string {
	if r.Downtime.Probes == 0 {
		return "not measured"
	}
	return fmt.Sprintf("%s (%d of %d probes of OCTOPUS_URL, one every %s, were not answered)", Span(r.Downtime.Seconds), r.Downtime.Failed, r.Downtime.Probes, Span(r.Downtime.Every))
}

func clockTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("15:04:05")
}

// build is Windows' build and UBR before and after.
func build(n *procedure.NodeReport) string {
	if n.Before.Build == "" {
		return "-"
	}
	before, after := fmt.Sprintf("%s.%d", n.Before.Build, n.Before.UBR), fmt.Sprintf("%s.%d", n.After.Build, n.After.UBR)
	if before == after {
		return before
	}
	return before + " to " + after
}

// kbs lists the numbers of what was installed.
func kbs(list []procedure.UpdateOutcome) string {
	var names []string
	for _, o := range list {
		for _, k := range o.KBs {
			names = append(names, "KB"+k)
		}
	}
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, " ")
}
