package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Markdown is summary.md.
func (r Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", escape(r.verdict()))
	fmt.Fprintf(&b, "Run `%s`, %s, exit code %d, %s, from %s to %s.\n", r.Run, or(string(r.Topology), "topology not read"), r.Exit, procedure.Span(r.Seconds), r.Started.Format("2006-01-02 15:04:05 MST"), r.Ended.Format("15:04:05 MST"))
	fmt.Fprintf(&b, "User-visible downtime: %s.\n", r.downtime())
	if r.Next != "" {
		fmt.Fprintf(&b, "\n**Next:** `%s`\n", strings.ReplaceAll(plain(r.Next), "`", "'"))
	}
	if r.Error != "" {
		b.WriteString("\n## What went wrong\n\n")
		for line := range strings.Lines(r.Error) {
			fmt.Fprintf(&b, "- %s\n", escape(line))
		}
	}
	if len(r.Nodes) > 0 {
		r.nodes(&b)
		r.timelines(&b)
		r.updates(&b)
		r.phases(&b)
	}
	for i, w := range r.Warnings {
		if i == 0 {
			b.WriteString("\n## Warnings\n\n")
		}
		fmt.Fprintf(&b, "- %s\n", escape(w))
	}
	for i, n := range r.Nodes {
		if n.Precaution == nil {
			continue
		}
		if i == 0 {
			b.WriteString("\n## Precautions\n\n")
		}
		fmt.Fprintf(&b, "- Precaution of %s: %s, %s\n", escape(n.Node), escape(n.Precaution.Name), n.Precaution.Fate())
	}
	fmt.Fprintf(&b, "\nPrecaution: %s. octopatch %s, Octopus Server %s.\n", or(r.Precaution, "none"), or(r.Program, "unknown"), or(r.Octopus, "of unknown version"))
	return b.String()
}

// table writes a Markdown table; cells are escaped.
func table(b *strings.Builder, title string, head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n| %s |\n|%s\n", title, strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = escape(cell)
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
}

func (r Report) nodes(b *strings.Builder) {
	var rows [][]string
	for _, n := range r.Nodes {
		result := string(n.Result) + after(": ", n.Reason)
		if n.RebootPending {
			result += " (a reboot is pending)"
		}
		rows = append(rows, []string{n.Node, n.Host, result, build(n), kbs(n.Installed), kbs(n.Failed), fmt.Sprint(n.Reboots), or(n.Next, "-")})
	}
	table(b, "Nodes", []string{"node", "host", "result", "Windows", "installed", "failed", "reboots", "next"}, rows)
}

// timelines tells how long: each node by itself, and what users saw.
func (r Report) timelines(b *strings.Builder) {
	var rows [][]string
	for _, n := range r.Nodes {
		t := n.Timeline
		rows = append(rows, []string{n.Node, clockTime(t.Drained), clockTime(t.ServiceDown), clockTime(t.HostDown), clockTime(t.Back), clockTime(t.Reopened), outage(t)})
	}
	table(b, "Downtime", []string{"node", "drained", "service down", "host down", "back", "reopened", "out of service"}, rows)
	for i, span := range r.Downtime.Intervals {
		if i == 0 {
			b.WriteString("\nOCTOPUS_URL did not answer:\n\n")
		}
		fmt.Fprintf(b, "- from %s to %s, %s\n", clockTime(span.From), clockTime(span.To), procedure.Span(span.To.Sub(span.From).Seconds()))
	}
}

func (r Report) updates(b *strings.Builder) {
	var rows [][]string
	for _, n := range r.Nodes {
		for _, o := range n.Failed {
			rows = append(rows, []string{n.Node, named(o.KBs, ""), o.Title, strings.TrimSpace("failed " + o.Code + after(": ", o.Words) + after("; next: ", o.Next))})
		}
		for _, o := range n.Installed {
			rows = append(rows, []string{n.Node, named(o.KBs, ""), o.Title, "installed"})
		}
		for _, u := range n.Skipped {
			rows = append(rows, []string{n.Node, named(u.KBs, ""), u.Title, "left out: " + u.Skip})
		}
	}
	table(b, "Updates", []string{"node", "KB", "update", "result"}, rows)
}

func (r Report) phases(b *strings.Builder) {
	var rows [][]string
	for _, n := range r.Nodes {
		for _, p := range n.Phases {
			rows = append(rows, []string{n.Node, p.Phase, clockTime(p.Started), procedure.Span(p.Seconds), string(p.Result) + after(": ", p.Reason)})
		}
	}
	table(b, "Phases", []string{"node", "phase", "began", "took", "result"}, rows)
}

// marks keeps text that comes from outside from being read as Markdown or HTML.
var marks = strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", "&", "&amp;", "`", "\\`", "*", `\*`, "[", `\[`, "]", `\]`)

func escape(text string) string { return marks.Replace(plain(text)) }

// Summary prints the end of a run for people.
func (r Report) Summary(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", r.verdict())
	if len(r.Nodes) > 0 {
		tab := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		fmt.Fprintln(tab, "node\tresult\tWindows\treboots\tinstalled") // updates that failed have lines of their own
		for _, n := range r.Nodes {
			fmt.Fprintf(tab, "%s\t%s\t%s\t%d\t%s\n", plain(n.Node), n.Result, build(n), n.Reboots, kbs(n.Installed))
		}
		_ = tab.Flush() // to a terminal: nobody is left to tell
		for i, n := range slices.DeleteFunc(slices.Clone(r.Nodes), func(n *procedure.NodeReport) bool { return n.Timeline == procedure.Timeline{} }) {
			if i == 0 {
				fmt.Fprintln(tab, "\nnode\tdrained\tservice down\thost down\tback\treopened")
			}
			t := n.Timeline
			fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\n", plain(n.Node), clockTime(t.Drained), clockTime(t.ServiceDown), clockTime(t.HostDown), clockTime(t.Back), clockTime(t.Reopened))
		}
		_ = tab.Flush()
	}
	if r.Downtime.Probes > 0 {
		fmt.Fprintf(w, "User-visible downtime: %s\n", r.downtime())
	}
	for _, n := range r.Nodes {
		if n.Precaution != nil && n.Precaution.State != procedure.PrecautionRemoved {
			fmt.Fprintf(w, "Precaution of %s: %s, %s\n", plain(n.Node), plain(n.Precaution.Name), n.Precaution.Fate())
		}
	}
	r.trouble(w)
	if r.Next != "" {
		fmt.Fprintf(w, "\nNext: %s\n", plain(r.Next))
	}
}

// trouble prints what went wrong, one fault a line.
func (r Report) trouble(w io.Writer) {
	var lines []string
	for line := range strings.Lines(r.Error) {
		lines = append(lines, plain(line))
	}
	for _, n := range r.Nodes {
		for _, o := range n.Failed {
			if !strings.Contains(r.Error, o.String()) {
				lines = append(lines, plain("update on "+n.Node+": "+o.String()))
			}
		}
		if n.Result == procedure.Skipped && n.Reason != "" {
			lines = append(lines, plain("node "+n.Node+" was not touched: "+n.Reason))
		}
	}
	for i, line := range lines {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "- %s\n", line)
	}
}
