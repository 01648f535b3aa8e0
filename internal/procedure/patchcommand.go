package procedure

import (
	"context"
	"fmt"
)

// Patcher patches a machine instead of Windows Update: the operator's own command, on the runner. An error
// that is neither Transient nor the context's means that the command says that it failed.
type Patcher interface {
	Patch(ctx context.Context, m Machine, run string, say func(string)) error
}

// byCommand lets the operator's command do what the rounds of Windows Update would; reboots are ours, as many
// as Windows asks for.
func (r *rounds) byCommand(ctx context.Context) error {
	if err := r.intend(ctx, "patch by OCTOPATCH_PATCH_COMMAND"); err != nil {
		return err
	}
	err := r.Patcher.Patch(ctx, r.Machine, r.Book.Journal().Run, func(line string) { r.progress("%s", line) })
	if ctx.Err() != nil {
		return err
	}
	if err != nil { // what it did meanwhile is asked of the host; the node goes on like after a failed update
		r.fail(UpdateOutcome{Title: "OCTOPATCH_PATCH_COMMAND", Words: err.Error(), Next: "look at what it wrote to the log"})
	}
	for {
		facts, err := r.settled(ctx)
		if err != nil {
			return err
		}
		r.Report.After = facts.Windows
		if len(facts.Pending) == 0 || r.Rules.Reboot == RebootNever {
			return r.patched(ctx, "")
		}
		if r.reboots >= r.Rules.MaxReboots {
			r.fail(UpdateOutcome{Title: "Windows", Words: fmt.Sprintf("asks for more than %d reboots", r.Rules.MaxReboots), Next: "look at the host, or raise OCTOPATCH_MAX_REBOOTS"})
			return r.patched(ctx, "")
		}
		if err := r.reboot(ctx); err != nil {
			return err
		}
	}
}
