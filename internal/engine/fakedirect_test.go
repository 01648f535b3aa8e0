package engine

import (
	"context"

	"github.com/octopatch/octopatch/internal/procedure"
)

// direct is Octopus at a node's own address, past the load balancer.
type direct struct{ *world }

func (d direct) past() func() {
	defer d.locked()()
	was := d.balanced
	d.balanced = false
	return func() {
		defer d.locked()()
		d.balanced = was
	}
}

func (d direct) Nodes(ctx context.Context) ([]procedure.NodeState, error) {
	defer d.past()()
	return d.world.Nodes(ctx)
}

func (d direct) SetDrain(ctx context.Context, node string, on bool) error {
	defer d.past()()
	return d.world.SetDrain(ctx, node, on)
}

func (d direct) MaintenanceMode(ctx context.Context) (bool, error) {
	defer d.past()()
	return d.world.MaintenanceMode(ctx)
}

func (d direct) SetMaintenanceMode(ctx context.Context, on bool) error {
	defer d.past()()
	return d.world.SetMaintenanceMode(ctx, on)
}

func (d direct) Tasks(ctx context.Context) ([]procedure.Task, error) {
	defer d.past()()
	return d.world.Tasks(ctx)
}
