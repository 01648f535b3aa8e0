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
	nodes := procedure.Count(len(p.Nodes), "node")
	if len(p.Nodes) > 1 {
		nodes += " in this order"
	}
	fmt.Fprintf(w, "Octopus %s, %s, %s:\n", plain(p.Version), p.Topology, nodes)
	if p.Maintenance {
		fmt.Fprintln(w, "Maintenance Mode is on already, and stays on.")
	}
	for i, n := range p.Nodes {
		planNode(w, i+1, n)
	}
	fmt.Fprintf(w, "\nPrecaution: %s\nLimits:\n", or(p.Precaution, "not chosen yet"))
	for _, name := range slices.Sorted(maps.Keys(p.Limits)) {
		fmt.Fprintf(w, "   %-28s %s\n", name, plain(p.Limits[name]))
	}
	fmt.Fprintln(w)
	Notice(w, p.Notice)
	for i, warning := range p.Warnings {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "! %s\n", plain(warning))
	}
}

func planNode(w io.Writer, place int, n procedure.PlanNode) {
	fmt.Fprintf(w, "\n%d. %s on %s: %s, build %s.%d, %s free\n", place, plain(n.Node), plain(n.Host), plain(n.Windows.Caption), n.Windows.Build, n.Windows.UBR, size(n.Free))
	if n.Problem != "" {
		fmt.Fprintf(w, "   UNKNOWN what it would install: %s\n", plain(n.Problem))
	}
	if n.Reason != "" {
		fmt.Fprintf(w, "   would not be touched: %s\n", plain(n.Reason))
	}
	if len(n.Pending) > 0 {
		fmt.Fprintf(w, "   a reboot is pending already: %s\n", plain(strings.Join(n.Pending, ", ")))
	}
	if len(n.Soft) > 0 {
		fmt.Fprintf(w, "   perhaps a reboot is pending, which is not acted on: %s\n", plain(strings.Join(n.Soft, ", ")))
	}
	if n.Policy.Server != "" {
		fmt.Fprintf(w, "   update server: %s\n", plain(n.Policy.Server))
	}
	if n.Reason == "" {
		fmt.Fprintf(w, "   stops: %s\n", plain(strings.Join(n.Services, ", ")))
	}
	list(w, "   would hold the drain now:", n.Holds)
	list(w, "   waits for a human:", n.Humans)
	var total int64
	for _, u := range n.Updates {
		total += u.Bytes
		fmt.Fprintf(w, "   installs   %-12s %8s  %s%s\n", named(u.KBs, ""), size(u.Bytes), plain(u.Title), fetched(u))
	}
	if len(n.Updates) > 1 {
		fmt.Fprintf(w, "   together   %-12s %8s\n", fmt.Sprintf("%d updates", len(n.Updates)), size(total))
	}
	for _, u := range n.Skipped {
		fmt.Fprintf(w, "   leaves out %-12s %8s  %s: %s\n", named(u.KBs, ""), size(u.Bytes), plain(u.Title), plain(u.Skip))
	}
}

func fetched(u procedure.Update) string {
	if u.Downloaded {
		return " (downloaded)"
	}
	return ""
}

func list(w io.Writer, title string, tasks []procedure.Task) {
	if len(tasks) == 0 {
		return
	}
	fmt.Fprintln(w, title)
	for _, t := range tasks {
		fmt.Fprintf(w, "     %s\n", plain(t.String()))
	}
}

func size(bytes int64) string {
	if bytes >= 1<<30 {
		return fmt.Sprintf("%.1f GB", float64(bytes)/(1<<30))
	}
	return fmt.Sprintf("%d MB", (bytes+1<<19)>>20)
}

// PlanJSON prints the plan for programs: absent lists are empty ones.
func PlanJSON(w io.Writer, p procedure.Plan) error {
	nodes := make([]procedure.PlanNode, 0, len(p.Nodes))
	for _, n := range p.Nodes {
		n.Pending, n.Services, n.Holds, n.Humans, n.Updates, n.Skipped = filled(n.Pending), filled(n.Services), filled(n.Holds), filled(n.Humans), filled(n.Updates), filled(n.Skipped)
		n.Soft, n.Agents, n.Policy.Restarts = filled(n.Soft), filled(n.Agents), filled(n.Policy.Restarts)
		nodes = append(nodes, n)
	}
	p.Nodes, p.Warnings = nodes, filled(p.Warnings)
	p.Notice.Scheduled, p.Notice.Waiting = filled(p.Notice.Scheduled), filled(p.Notice.Waiting)
	return WriteJSON(w, p)
}

const day = "Mon 2 Jan 2006 15:04 MST"

// window is when, in words.
func window(n procedure.Notice) string {
	return fmt.Sprintf("%s to %s (%s)", n.From.Format(day), n.To.Format(day), procedure.Span(n.To.Sub(n.From).Seconds()))
}

// scheduledAt is a task and when it would start.
func scheduledAt(t procedure.Task, n procedure.Notice) string {
	text := fmt.Sprintf("%s, at %s", t, t.QueueTime.In(n.From.Location()).Format(day))
	if !t.QueueExpiry.IsZero() && t.QueueExpiry.Before(n.To) {
		text += ", and given up at " + t.QueueExpiry.In(n.From.Location()).Format("15:04 MST")
	}
	return text
}

// Notice prints the announcement of the window.
func Notice(w io.Writer, n procedure.Notice) {
	fmt.Fprintf(w, "Maintenance of %s\nWhen: %s\nUnavailable: %s\n", plain(n.Server), window(n), n.Unavailable)
	for _, t := range n.Scheduled {
		fmt.Fprintf(w, "Scheduled inside the window: %s\n", plain(scheduledAt(t, n)))
	}
	for _, t := range n.Waiting {
		fmt.Fprintf(w, "Waits for a human: %s\n", plain(t.String()))
	}
}

// NoticeMarkdown is the announcement for a chat or a wiki.
func NoticeMarkdown(n procedure.Notice) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Maintenance of %s\n\n- **When:** %s\n- **Unavailable:** %s\n", escape(n.Server), window(n), n.Unavailable)
	for _, t := range n.Scheduled {
		fmt.Fprintf(&b, "- **Scheduled inside the window:** %s\n", escape(scheduledAt(t, n)))
	}
	for _, t := range n.Waiting {
		fmt.Fprintf(&b, "- **Waits for a human:** %s\n", escape(t.String()))
	}
	return b.String()
}
