package report

import (
	"fmt"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// PlanMarkdown is the plan as a page: what whoever approves the run wants to see.
func PlanMarkdown(p procedure.Plan) string {
	var b strings.Builder
	touched, updates := 0, 0
	var nodes, rows [][]string
	for _, n := range p.Nodes {
		what := or(n.Reason+after("UNKNOWN: ", n.Problem), procedure.Count(len(n.Updates), "update"))
		if n.Reason == "" && n.Problem == "" {
			touched++
			updates += len(n.Updates)
		}
		nodes = append(nodes, []string{n.Node, n.Host, fmt.Sprintf("%s, %s.%d", n.Windows.Caption, n.Windows.Build, n.Windows.UBR), what,
			or(strings.Join(n.Pending, ", "), "-"), fmt.Sprint(len(n.Holds)), fmt.Sprint(len(n.Humans)), size(n.Free)})
		for _, u := range n.Updates {
			rows = append(rows, []string{n.Node, named(u.KBs, ""), u.Title, size(u.Bytes), "installs"})
		}
		for _, u := range n.Skipped {
			rows = append(rows, []string{n.Node, named(u.KBs, ""), u.Title, size(u.Bytes), "leaves out: " + u.Skip})
		}
	}
	fmt.Fprintf(&b, "# Plan: %s on %d of %s\n\n", procedure.Count(updates, "update"), touched, procedure.Count(len(p.Nodes), "node"))
	fmt.Fprintf(&b, "Octopus Server %s, %s, precaution: %s.\n", escape(p.Version), p.Topology, escape(or(p.Precaution, "not chosen yet")))
	if p.Maintenance {
		b.WriteString("Maintenance Mode is on already, and stays on.\n")
	}
	table(&b, "Nodes", []string{"node", "host", "Windows", "run would", "reboot pending", "tasks that hold the drain", "waiting for a human", "free"}, nodes)
	table(&b, "Updates", []string{"node", "KB", "update", "size", "run"}, rows)
	b.WriteString("\n" + NoticeMarkdown(p.Notice))
	for i, w := range p.Warnings {
		if i == 0 {
			b.WriteString("\n## Warnings\n\n")
		}
		fmt.Fprintf(&b, "- %s\n", escape(w))
	}
	return b.String()
}

// WritePlan puts plan.json and plan.md into the directory; clean takes secrets out.
func WritePlan(dir string, p procedure.Plan, clean func(string) string) error {
	var text strings.Builder
	if err := PlanJSON(&text, p); err != nil {
		return err
	}
	return writeFiles(dir, clean, []file{{"plan.json", text.String()}, {"plan.md", PlanMarkdown(p)}})
}
