package report

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Timeline is the run as a picture that GitHub and GitLab draw from Mermaid text: each node's phases. The tables
// of Markdown say the same where nothing is drawn. It is empty when no node was begun.
func (r Report) Timeline() string {
	var b strings.Builder
	for _, n := range r.Nodes {
		section := false
		for _, p := range n.Phases {
			if p.Result == procedure.Skipped && p.Seconds == 0 || p.Started.IsZero() { // one with a length is an earlier process's
				continue
			}
			if !section {
				fmt.Fprintf(&b, "  section %s\n", drawable(n.Node))
				section = true
			}
			// A bar of no length at all is not drawn.
			fmt.Fprintf(&b, "  %s :%s%s, %ds\n", drawable(p.Phase), shade(p.Result), p.Started.Format("2006-01-02T15:04:05"), max(1, int(p.Seconds)))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n## Timeline\n\n```mermaid\ngantt\n  dateFormat YYYY-MM-DDTHH:mm:ss\n  axisFormat %H:%M\n" + b.String() + "```\n"
}

// shade marks a bar: red is what a person must look at.
func shade(k procedure.Kind) string {
	if k == procedure.Done || k == procedure.Skipped {
		return "done, "
	}
	return "crit, "
}

// undrawable is what Mermaid may take for something else in a name.
var undrawable = regexp.MustCompile(`[^A-Za-z0-9 ._-]+`)

func drawable(name string) string {
	return or(strings.TrimSpace(undrawable.ReplaceAllString(name, "_")), "_")
}

// Fault prints what is wrong, each fault on a line of its own.
func Fault(w io.Writer, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(w, "octopatch: %s\n", plain(line))
	}
}
