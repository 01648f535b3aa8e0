package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/procedure"
)

func TestPlanMarkdown(t *testing.T) {
	t.Parallel()
	golden(t, "plan.md", PlanMarkdown(plan()))
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	golden(t, "timeline.md", whole().Timeline())
	if got := (Report{Nodes: []*procedure.NodeReport{{Node: "A"}}}).Timeline(); got != "" {
		t.Errorf("of a node that was not begun: %q", got)
	}
}

// TestTimelineCannotBeInjected: a name from outside is no line of Mermaid's, and ends no block.
func TestTimelineCannotBeInjected(t *testing.T) {
	t.Parallel()
	plain := Report{Nodes: []*procedure.NodeReport{{Node: "A", Phases: []procedure.PhaseReport{{Phase: "patch", Result: procedure.Done, Started: at(0), Seconds: 5}}}}}
	want := strings.Count(plain.Timeline(), "\n")
	for _, name := range []string{"A\n```\n<script>", "A : crit, 2026, 5s", "%%{init: {}}%%", "click A href \"x\"", "::error::x", ""} {
		plain.Nodes[0].Node = name
		got := plain.Timeline()
		if strings.Count(got, "\n") != want || strings.Count(got, "```") != 2 || strings.ContainsAny(strings.Split(got, "section ")[1][:strings.Index(strings.Split(got, "section ")[1], "\n")], "<>\":%{}") {
			t.Errorf("%q: %s", name, got)
		}
	}
}

// TestSummaryCommandsNothing: the table's rows begin with a node's name.
func TestSummaryCommandsNothing(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	r := whole()
	r.Nodes[0].Node = "::stop-commands::x"
	r.Summary(&b)
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(strings.TrimSpace(line), "::") {
			t.Errorf("a command: %s", line)
		}
	}
	if !strings.Contains(b.String(), ": :stop-commands") {
		t.Errorf("the node is not there:\n%s", b.String())
	}
}
