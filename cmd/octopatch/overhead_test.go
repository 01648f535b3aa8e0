package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/octopatch/octopatch/internal/rehearsal/record"
	"github.com/octopatch/octopatch/internal/report"
)

// BenchmarkOrchestration measures what octopatch adds to the time that the world itself takes, in the phases in
// which the world is a machine: stop, patch and start. The quiet minute after each reboot is the procedure's own and
// counts for neither. Seconds are simulated.
func BenchmarkOrchestration(b *testing.B) {
	var added, world float64
	for range b.N {
		a, w := orchestration(b)
		added, world = added+a, world+w
	}
	b.ReportMetric(added/float64(b.N), "added-s/node")
	b.ReportMetric(world/float64(b.N), "world-s/node")
	b.ReportMetric(100*added/world, "added-%")
}

func orchestration(b *testing.B) (added, took float64) {
	w, err := rehearsal.New(rehearsal.Options{Nodes: 2, Speed: 40, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // temporary files
	dir := b.TempDir()
	if end := octopatch(b.Context(), with(w.Environ(), "OCTOPATCH_REPORT_DIR="+dir), "run"); end.exit != 0 {
		b.Fatal(end.out, end.errs)
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		b.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(text, &r); err != nil {
		b.Fatal(err)
	}
	for _, n := range r.Nodes {
		var all, busy float64
		for _, p := range n.Phases {
			if slices.Contains([]string{procedure.Stop, procedure.Patch, procedure.Start}, p.Phase) {
				worked := union(w.Log.Spans(), n.Node, p.Started, p.Started.Add(time.Duration(p.Seconds*float64(time.Second))))
				b.Logf("%s %-6s %7.1f s, the world %7.1f s", n.Node, p.Phase, p.Seconds, worked)
				all, busy = all+p.Seconds, busy+worked
			}
		}
		added += all - busy - 60*float64(n.Reboots)
		took += busy
	}
	nodes := float64(len(r.Nodes))
	return added / nodes, took / nodes
}

// union is how many seconds between from and to the node was at work, however many things it did at once.
func union(spans []record.Span, node string, from, to time.Time) float64 {
	slices.SortFunc(spans, func(a, b record.Span) int { return a.From.Compare(b.From) })
	total, until := 0.0, from
	for _, s := range spans {
		if s.Node != node || !s.To.After(until) || !s.From.Before(to) {
			continue
		}
		begin, end := s.From, s.To
		if begin.Before(until) {
			begin = until
		}
		if end.After(to) {
			end = to
		}
		if end.After(begin) {
			total, until = total+end.Sub(begin).Seconds(), end
		}
	}
	return total
}
