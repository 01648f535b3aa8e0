package engine

import (
	"context"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// machine is the target as a provider of precautions needs to know it.
func (t *target) machine() procedure.Machine {
	return procedure.Machine{Node: t.name, Host: t.hostName, Computer: t.facts.Computer}
}

// precautionIsOn: whoever works on the host right now, or the open run that is gone on with, has taken care of it
// already. Asking whether it could be taken would find that very one in the way, or what is left of it: a hypervisor
// that merges disks for hours. A node that was started again may only have to be opened, and is not kept from it.
func (e *Engine) precautionIsOn(t *target) bool {
	if l := t.facts.Lease; l != nil && l.Nonce != e.Nonce && l.Live(t.facts.Time) {
		return true
	}
	if t.facts.Journal == nil || t.facts.Journal.Precaution == nil {
		return false
	}
	taken := t.facts.Journal.Precaution
	over := taken.State == procedure.PrecautionKept || taken.State == procedure.PrecautionRemoved
	return taken.Provider == e.Rules.Precaution && (!over || t.facts.Journal.Octopus.StartBegan)
}

// checkPrecaution proves before the first change that the precaution can be taken of the node's machine, and
// warns of what earlier runs left there.
func (e *Engine) checkPrecaution(ctx context.Context, t *target) error {
	if e.Provider == nil || e.precautionIsOn(t) {
		return nil
	}
	left, err := e.Provider.Check(ctx, t.machine())
	var others []procedure.Leftover
	for _, l := range left {
		if !strings.EqualFold(l.Name, t.ownPoint()) {
			others = append(others, l)
		}
	}
	for _, words := range procedure.WarnOfLeftovers(others, e.Clock.Now()) {
		e.warn(t.name, "%s", words)
	}
	if err != nil {
		return named{t.name, err}
	}
	return nil
}

// ownPoint is the name of the precaution that the node's open run has taken, or the one that has ended and could not
// remove all; "" without a run.
func (t *target) ownPoint() string {
	for _, j := range []*procedure.Journal{t.facts.Journal, t.finished} {
		switch {
		case j == nil:
		case j.Precaution != nil:
			return j.Precaution.Name
		default:
			return procedure.PointName(j.Run, t.name)
		}
	}
	return ""
}
