package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Markdown is summary.md.
func (r Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", r.verdict())
	fmt.Fprintf(&b, "Run `%s`, %s, exit code %d, %s, from %s to %s.\n", r.Run, or(string(r.Topology), "topology not read"), r.Exit, Span(r.Seconds), r.Started.Format("2006-01-02 15:04:05 MST"), r.Ended.Format("15:04:05 MST"))
	fmt.Fprintf(&b, "User-visible downtime: %s.\n", r.downtime())
	if r.Next != "" {
		fmt.Fprintf(&b, "\n**Next:** `%s`\n", r.Next)
	}
	if r.Error != "" {
		fmt.Fprintf(&b, "\n## What went wrong\n\n")
		for line := range strings.Lines(r.Error) {
			fmt.Fprintf(&b, "- %s\n", escape(strings.TrimSpace(line)))
		}
	}
	if len(r.Nodes) > 0 {
		b.WriteString("\n## Nodes\n\n| node | result | Windows | installed | failed | reboots |\n|---|---|---|---|---|---|\n")
		for _, n := range r.Nodes {
			fmt.Fprintf(&b, "| %s | %s%s | %s | %s | %s | %d |\n", escape(n.Node), n.Result, escape(after(": ", n.Reason)), build(n), kbs(n.Installed), kbs(n.Failed), n.Reboots)
		}
		b.WriteString("\n## Downtime\n\n| node | drained | service down | host down | back | reopened |\n|---|---|---|---|---|---|\n")
		for _, n := range r.Nodes {
			t := n.Timeline
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", escape(n.Node), clockTime(t.Drained), clockTime(t.ServiceDown), clockTime(t.HostDown), clockTime(t.Back), clockTime(t.Reopened))
		}
	}
	r.failures(&b)
	for i, w := range r.Warnings {
		if i == 0 {
			b.WriteString("\n## Warnings\n\n")
		}
		fmt.Fprintf(&b, "- %s\n", escape(w))
	}
	fmt.Fprintf(&b, "\nPrecaution: %s.\n", or(r.Precaution, "none"))
	return b.String()
}

func (r Report) failures(b *strings.Builder) {
	heading := "\n## Failed updates\n\n"
	for _, n := range r.Nodes {
		for _, o := range n.Failed {
			fmt.Fprintf(b, "%s- %s: %s\n", heading, escape(n.Node), escape(o.String()))
			heading = ""
		}
	}
}

// escape keeps text from being read as Markdown's table or HTML.
func escape(s string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;", "\n", " ", "\r", "").Replace(s)
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

// Summary prints the end of a run for people.
func (r Report) Summary(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", r.verdict())
	tab := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if len(r.Nodes) > 0 {
		fmt.Fprintln(tab, "node\tresult\tWindows\tinstalled\treboots\tdrained\tservice down\tback\treopened")
	}
	for _, n := range r.Nodes {
		t := n.Timeline
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", n.Node, n.Result, build(n), kbs(n.Installed), n.Reboots,
			clockTime(t.Drained), clockTime(t.ServiceDown), clockTime(t.Back), clockTime(t.Reopened))
	}
	tab.Flush()
	if r.Downtime.Probes > 0 {
		fmt.Fprintf(w, "User-visible downtime: %s\n", r.downtime())
	}
	if r.Error != "" {
		fmt.Fprintf(w, "\n%s\n", r.Error)
	}
	if r.Next != "" {
		fmt.Fprintf(w, "\nNext: %s\n", r.Next)
	}
}

// Status prints where unfinished runs stand.
func Status(w io.Writer, journals []procedure.Journal) {
	if len(journals) == 0 {
		fmt.Fprintln(w, "No run is open on these nodes.")
	}
	for _, j := range journals {
		fmt.Fprintf(w, "Node %s: run %s of %s is open (%s)\n", j.Node, j.Run, or(j.Owner, "unknown owner"), j.Topology)
		for _, p := range procedure.Phases() {
			if rec, ok := j.Phases[p.Name]; ok {
				fmt.Fprintf(w, "  %s %-10s %s%s\n", mark(rec.Result), p.Name, rec.Result, after(": ", rec.Reason))
			}
		}
		if j.Intent != nil {
			fmt.Fprintf(w, "  last begun: %s, %s\n", j.Intent.Phase, j.Intent.What)
		}
		for _, c := range changed(j) {
			fmt.Fprintf(w, "  not yet undone: %s\n", c)
		}
		fmt.Fprintf(w, "  next: OCTOPATCH_NODE=%s octopatch %s, or OCTOPATCH_RUN_ID=%s octopatch run\n", j.Node, next(j), j.Run)
	}
}

// changed lists what the run has changed and not put back.
func changed(j procedure.Journal) []string {
	var list []string
	if j.Octopus.OursMaint {
		list = append(list, "Maintenance Mode is on")
	}
	if j.Octopus.OursDrain {
		list = append(list, "the node is in drain mode")
	}
	if j.Host != nil && !j.Host.Restored {
		for _, s := range j.Host.Services {
			list = append(list, fmt.Sprintf("service %q is stopped and held (before: %s, %s)", s.Name, s.State, s.Start))
		}
		for _, d := range j.Host.Watchdogs {
			if d.Enabled {
				list = append(list, fmt.Sprintf("watchdog %q is disabled", d.Name))
			}
		}
	}
	return list
}

// next is the first phase that has not ended well.
func next(j procedure.Journal) string {
	for _, p := range procedure.Phases() {
		if k := j.Phases[p.Name].Result; !p.Cluster && k != procedure.Done && k != procedure.Skipped {
			return p.Name
		}
	}
	return procedure.Exit
}
