package operator

import (
	"context"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Facts is the node as every command finds it in its environment.
func Facts(m procedure.Machine, run string) map[string]string {
	return map[string]string{"OCTOPATCH_NODE": m.Node, "OCTOPATCH_HOST": m.Host, "OCTOPATCH_COMPUTER": m.Computer, "OCTOPATCH_RUN_ID": run}
}

// Patcher is OCTOPATCH_PATCH_COMMAND.
type Patcher struct {
	Runner Runner
	Line   string
	Limit  time.Duration
}

// Patch runs the command for one node.
func (p Patcher) Patch(ctx context.Context, m procedure.Machine, run string, say func(string)) error {
	return p.Runner.Run(ctx, Command{Setting: "OCTOPATCH_PATCH_COMMAND", Line: p.Line, Facts: Facts(m, run), Limit: p.Limit, Say: say})
}
