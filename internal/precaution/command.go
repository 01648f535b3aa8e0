// Package precaution takes what lets a machine be recovered, and reverts to it: one provider for each value of
// OCTOPATCH_PRECAUTION. What it may import: procedure, clock, operator, secret; machines it reaches through
// interfaces of its own.
package precaution

import (
	"context"
	"errors"
	"time"

	"github.com/octopatch/octopatch/internal/operator"
	"github.com/octopatch/octopatch/internal/procedure"
)

// Lines are the operator's own commands.
type Lines struct{ Take, Verify, Revert, Remove string }

// Command is the precaution by the operator's own commands on the runner.
type Command struct {
	Runner operator.Runner
	Lines  Lines
	Limit  time.Duration // for each command
}

var _ procedure.Provider = Command{}

// settings are the variables that hold the lines.
const (
	takeSetting   = "OCTOPATCH_PRECAUTION_TAKE"
	verifySetting = "OCTOPATCH_PRECAUTION_VERIFY"
	revertSetting = "OCTOPATCH_PRECAUTION_REVERT"
	removeSetting = "OCTOPATCH_PRECAUTION_REMOVE"
)

// Check asks the verify command for a name that nobody has taken: it must be able to tell that it is not there.
func (c Command) Check(ctx context.Context, m procedure.Machine) ([]procedure.Leftover, error) {
	p := procedure.Point{Machine: m, Run: "preflight", Name: procedure.PointName("preflight", m.Node), Taken: time.Now()}
	found, err := c.Find(ctx, p)
	switch {
	case err != nil:
		return nil, procedure.Refuse(verifySetting, "cannot tell that the precaution "+p.Name+", which nobody has taken, is not there: "+err.Error(), "let it end with 1 for what is not there")
	case found:
		return nil, procedure.Refuse(verifySetting, "says that the precaution "+p.Name+", which nobody has taken, is there", "let it look for the name in OCTOPATCH_SNAPSHOT, and end with 1 when it is not there")
	}
	return nil, nil
}

// Take runs the take command, unless what it takes is there already.
func (c Command) Take(ctx context.Context, p procedure.Point, progress func(string)) error {
	if found, err := c.Find(ctx, p); err == nil && found {
		return nil
	}
	return c.run(ctx, takeSetting, c.Lines.Take, p, progress)
}

// Find runs the verify command.
func (c Command) Find(ctx context.Context, p procedure.Point) (bool, error) {
	err := c.run(ctx, verifySetting, c.Lines.Verify, p, nil)
	var exit *operator.ExitError
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &exit) && exit.Code == 1:
		return false, nil
	case ctx.Err() != nil:
		return false, err
	}
	return false, &procedure.Fault{Kind: procedure.ErrUnreadable, Subject: verifySetting, Problem: "cannot tell whether " + p.Name + " is there", Cause: err, Remedy: "let it end with 0 or 1"}
}

// Revert runs the revert command.
func (c Command) Revert(ctx context.Context, p procedure.Point, progress func(string)) error {
	return c.run(ctx, revertSetting, c.Lines.Revert, p, progress)
}

// Remove runs the remove command.
func (c Command) Remove(ctx context.Context, p procedure.Point) error {
	return c.run(ctx, removeSetting, c.Lines.Remove, p, nil)
}

// Rewinds assumes the most that a command could do.
func (c Command) Rewinds() string { return procedure.RewindsDisks }

func (c Command) run(ctx context.Context, setting, line string, p procedure.Point, say func(string)) error {
	facts := operator.Facts(p.Machine, p.Run)
	facts["OCTOPATCH_SNAPSHOT"], facts["OCTOPATCH_DESCRIPTION"] = p.Name, p.Description()
	if !p.Expires.IsZero() {
		facts["OCTOPATCH_EXPIRES"] = p.Expires.UTC().Format(time.RFC3339)
	}
	return c.Runner.Run(ctx, operator.Command{Setting: setting, Line: line, Facts: facts, Limit: c.Limit, Say: say})
}
