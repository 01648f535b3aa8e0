package precaution

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
)

// RestorePoint takes restore points of System Restore on the nodes' own hosts, where Windows has it.
type RestorePoint struct {
	Open  Open // the node's host
	Clock clock.Clock
	Limit time.Duration // for taking one, and for a restart that nobody has heard of
}

var (
	_ procedure.Provider = RestorePoint{}
	_ procedure.Prover   = RestorePoint{}
)

const (
	restoreScript = "restore"
	lookLimit     = 5 * time.Minute  // for what changes nothing
	againLimit    = 2 * time.Minute  // until a restart that was asked for shows
	askAgain      = 15 * time.Second // while a host restarts
)

// pointRequest is what the script is asked for.
type pointRequest struct {
	Action  string `json:"action"`
	Name    string `json:"name"`
	Comment string `json:"comment"`
}

// restorePoint is its answer.
type restorePoint struct {
	Found  *bool  `json:"found"`
	Boot   string `json:"boot"`
	Status *int   `json:"status"` // of the last restore: 1 is a success
}

// Check says whether it can be believed.
func (r *restorePoint) Check() error {
	if r.Found == nil || r.Boot == "" {
		return errors.New("half an answer")
	}
	return nil
}

func (r RestorePoint) ask(ctx context.Context, m procedure.Machine, action, name string, limit time.Duration) (restorePoint, error) {
	var a restorePoint
	remote, err := r.Open(m)
	if err == nil {
		err = remote.Script(ctx, restoreScript, pointRequest{Action: action, Name: name, Comment: "octopatch: back to " + name}, &a, limit, nil)
	}
	return a, err
}

// Check refuses where Windows has no System Restore, or would make no restore point now. Windows removes old ones
// by itself, so that none counts as left behind.
func (r RestorePoint) Check(ctx context.Context, m procedure.Machine) ([]procedure.Leftover, error) {
	_, err := r.ask(ctx, m, "check", "", lookLimit)
	return nil, err
}

// Take takes a restore point. Windows calls it a success to take none where another one is too young.
func (r RestorePoint) Take(ctx context.Context, p procedure.Point, _ func(string)) error {
	a, err := r.ask(ctx, p.Machine, "take", p.Name, r.Limit)
	if err == nil && !*a.Found {
		err = &procedure.Fault{Subject: "node " + p.Node, Problem: "Windows says that it has made a restore point, and there is none", Remedy: "it leaves one out where another one is younger than SystemRestorePointCreationFrequency says (a day by default)"}
	}
	return err
}

// Find looks for the restore point by its description.
func (r RestorePoint) Find(ctx context.Context, p procedure.Point) (bool, error) {
	a, err := r.ask(ctx, p.Machine, "find", p.Name, lookLimit)
	return err == nil && *a.Found, err
}

// Revert has Windows go back to the point, which it does while it restarts. After a lost reply the boot time tells
// whether it restarts.
func (r RestorePoint) Revert(ctx context.Context, p procedure.Point, progress func(string)) error {
	before, err := r.ask(ctx, p.Machine, "find", p.Name, lookLimit)
	if err != nil {
		return err
	}
	_, err = r.ask(ctx, p.Machine, "revert", p.Name, lookLimit)
	if err == nil || !procedure.Transient(err) || ctx.Err() != nil {
		return err
	}
	progress(fmt.Sprintf("no answer to the restore (%v); its boot time will tell", err))
	for began := r.Clock.Now(); ; {
		if err := r.Clock.Sleep(ctx, askAgain); err != nil {
			return err
		}
		now, askErr := r.ask(ctx, p.Machine, "find", p.Name, lookLimit)
		switch {
		case askErr == nil && now.Boot != before.Boot:
			return nil
		case askErr == nil && r.Clock.Since(began) >= againLimit: // it never went down
			return err
		case askErr != nil && (!procedure.Transient(askErr) || r.Clock.Since(began) >= r.Limit):
			return errors.Join(err, askErr)
		}
	}
}

// Reverted asks Windows what became of the restore, now that it has restarted.
func (r RestorePoint) Reverted(ctx context.Context, p procedure.Point) error {
	const succeeded = 1
	a, err := r.ask(ctx, p.Machine, "restored", p.Name, lookLimit)
	switch {
	case err != nil:
		return err
	case a.Status == nil || *a.Status != succeeded:
		return &procedure.Fault{Kind: procedure.ErrUnreadable, Subject: "node " + p.Node, Problem: "Windows does not say that its last restore succeeded", Remedy: "look at the host's event log Application, source System Restore"}
	}
	return nil
}

// Remove cannot be done: Windows has no supported way to remove one restore point.
func (RestorePoint) Remove(_ context.Context, p procedure.Point) error {
	return &procedure.Fault{Kind: procedure.ErrByHand, Subject: "node " + p.Node, Problem: "Windows has no means to remove a single restore point", Remedy: "it removes the oldest by itself when it needs their room"}
}

// Rewinds is Windows itself: neither the journal nor other files.
func (RestorePoint) Rewinds() string { return procedure.RewindsWindows }
