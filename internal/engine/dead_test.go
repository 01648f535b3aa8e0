package engine

import (
	"context"
	"errors"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

var errDead = errors.New("the runner is dead")

// deadHost is the way to a host of a runner that dies: from then on nothing that it sends arrives.
type deadHost struct {
	procedure.Host
	dead chan struct{}
}

func over(dead chan struct{}) bool {
	select {
	case <-dead:
		return true
	default:
		return false
	}
}

func (d deadHost) Record(ctx context.Context, c procedure.Change) (procedure.Journal, error) {
	if over(d.dead) {
		return procedure.Journal{}, errDead
	}
	return d.Host.Record(ctx, c)
}

func (d deadHost) Arm(ctx context.Context, c procedure.Change, m procedure.Deadman) (procedure.Journal, error) {
	if over(d.dead) {
		return procedure.Journal{}, errDead
	}
	return d.Host.Arm(ctx, c, m)
}

func (d deadHost) Clear(ctx context.Context, run string) error {
	if over(d.dead) {
		return errDead
	}
	return d.Host.Clear(ctx, run)
}

func (d deadHost) Stop(ctx context.Context, c procedure.Change, o procedure.StopOrder) (procedure.Journal, error) {
	if over(d.dead) {
		return procedure.Journal{}, errDead
	}
	return d.Host.Stop(ctx, c, o)
}

func (d deadHost) Start(ctx context.Context, c procedure.Change, o procedure.StartOrder) (procedure.Journal, error) {
	if over(d.dead) {
		return procedure.Journal{}, errDead
	}
	return d.Host.Start(ctx, c, o)
}

func (d deadHost) Undrain(ctx context.Context, c procedure.Change, i string) error {
	if over(d.dead) {
		return errDead
	}
	return d.Host.Undrain(ctx, c, i)
}

func (d deadHost) Work(ctx context.Context, c procedure.Change, o procedure.WorkOrder, p func(procedure.WorkProgress)) (procedure.WorkResult, error) {
	if over(d.dead) {
		return procedure.WorkResult{}, errDead
	}
	return d.Host.Work(ctx, c, o, p)
}

func (d deadHost) Reboot(ctx context.Context, c procedure.Change) error {
	if over(d.dead) {
		return errDead
	}
	return d.Host.Reboot(ctx, c)
}

func (d deadHost) Take(ctx context.Context, c procedure.Claim) (procedure.Claimed, error) {
	if over(d.dead) {
		return procedure.Claimed{}, errDead
	}
	return d.Host.Take(ctx, c)
}

func (d deadHost) Release(ctx context.Context) error {
	if over(d.dead) {
		return errDead
	}
	return d.Host.Release(ctx)
}

func (d deadHost) Renewed() time.Time { return d.Host.Renewed() }

// deadCluster is the way to Octopus of a runner that dies.
type deadCluster struct {
	procedure.Cluster
	dead chan struct{}
}

func (d deadCluster) SetDrain(ctx context.Context, node string, on bool) error {
	if over(d.dead) {
		return errDead
	}
	return d.Cluster.SetDrain(ctx, node, on)
}

func (d deadCluster) SetMaintenanceMode(ctx context.Context, on bool) error {
	if over(d.dead) {
		return errDead
	}
	return d.Cluster.SetMaintenanceMode(ctx, on)
}
