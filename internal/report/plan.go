package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Plan prints what a run would do now.
func Plan(w io.Writer, p procedure.Plan) {
	fmt.Fprintf(w, "Octopus %s, %s, %d nodes in this order:\n", p.Version, p.Topology, len(p.Nodes))
	for i, n := range p.Nodes {
		fmt.Fprintf(w, "\n%d. %s on %s: %s, build %s.%d, %d GB free\n", i+1, n.Node, n.Host, n.Windows.Caption, n.Windows.Build, n.Windows.UBR, n.Free>>30)
		if n.Reason != "" {
			fmt.Fprintf(w, "   would not be touched: %s\n", n.Reason)
		}
		if len(n.Pending) > 0 {
			fmt.Fprintf(w, "   a reboot is pending already: %s\n", strings.Join(n.Pending, ", "))
		}
		fmt.Fprintf(w, "   stops: %s\n", strings.Join(n.Services, ", "))
		list(w, "   would hold the drain now:", n.Holds)
		list(w, "   waits for a human:", n.Humans)
		for _, u := range n.Updates {
			fmt.Fprintf(w, "   installs  %-12s %8s  %s\n", number(u), size(u.Bytes), u.Title)
		}
		for _, u := range n.Skipped {
			fmt.Fprintf(w, "   leaves out %-11s %8s  %s: %s\n", number(u), size(u.Bytes), u.Title, u.Skip)
		}
	}
	fmt.Fprintf(w, "\nPrecaution: %s\nLimits:\n", p.Precaution)
	for _, name := range slices.Sorted(maps.Keys(p.Limits)) {
		fmt.Fprintf(w, "   %-28s %s\n", name, p.Limits[name])
	}
	fmt.Fprintln(w)
	Notice(w, p.Notice)
	for _, warning := range p.Warnings {
		fmt.Fprintf(w, "! %s\n", warning)
	}
}

func list(w io.Writer, title string, tasks []procedure.Task) {
	if len(tasks) == 0 {
		return
	}
	fmt.Fprintln(w, title)
	for _, t := range tasks {
		fmt.Fprintf(w, "     %s\n", t)
	}
}

func number(u procedure.Update) string {
	if len(u.KBs) == 0 {
		return "-"
	}
	return "KB" + strings.Join(u.KBs, ",KB")
}

func size(bytes int64) string {
	if bytes >= 1<<30 {
		return fmt.Sprintf("%.1f GB", float64(bytes)/(1<<30))
	}
	return fmt.Sprintf("%d MB", (bytes+1<<19)>>20)
}

// Notice prints the announcement of the window.
func Notice(w io.Writer, n procedure.Notice) {
	fmt.Fprintf(w, "Maintenance of %s\nFrom %s to %s\nUnavailable: %s\n", n.Server, n.From.Format("Mon 2 Jan 2006 15:04 MST"), n.To.Format("Mon 2 Jan 2006 15:04 MST"), n.Unavailable)
	for _, t := range n.Scheduled {
		fmt.Fprintf(w, "Scheduled inside the window: %s, at %s\n", t, t.QueueTime.Format("15:04 MST"))
	}
	for _, t := range n.Waiting {
		fmt.Fprintf(w, "Waits for a human: %s\n", t)
	}
}

// NoticeMarkdown is the announcement for a chat or a wiki.
func NoticeMarkdown(n procedure.Notice) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Maintenance of %s\n\n- **When:** %s to %s\n- **Unavailable:** %s\n", n.Server, n.From.Format("Mon 2 Jan 2006 15:04 MST"), n.To.Format("Mon 2 Jan 2006 15:04 MST"), n.Unavailable)
	for _, t := range n.Scheduled {
		fmt.Fprintf(&b, "- **Scheduled inside the window:** %s, at %s\n", escape(t.String()), t.QueueTime.Format("15:04 MST"))
	}
	for _, t := range n.Waiting {
		fmt.Fprintf(&b, "- **Waits for a human:** %s\n", escape(t.String()))
	}
	return b.String()
}
