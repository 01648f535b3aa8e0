package procedure

import (
	"context"
	"errors"
	"slices"
	"time"
)

var enter = Phase{
	Name:   Enter,
	Single: "Go to Configuration > Maintenance and enable Maintenance Mode",
	HA:     "Go to Configuration > Nodes and put the node into drain mode",
	Limit:  func(Rules) time.Duration { return enterLimit },
	Done:   entered,
	Do: func(ctx context.Context, s *Step) error {
		if err := s.rememberOctopus(ctx); err != nil {
			return err
		}
		if s.Topology == Single {
			return s.enterMaintenanceMode(ctx)
		}
		if err := s.othersCarryTheWork(ctx); err != nil {
			return err
		}
		if err := s.drain(ctx); err != nil {
			return err
		}
		return s.stillCarried(ctx)
	},
}

// entered: this run has entered already, or somebody else had before it; both stay as they are.
func entered(ctx context.Context, s *Step) (string, error) {
	if reason := s.stoppedBefore(); reason != "" {
		return reason, nil
	}
	prior := s.Book.Octopus()
	if !prior.Known || prior.EnteredAt == 0 {
		return "", nil
	}
	on, err := s.closed(ctx)
	if err != nil || !on {
		return "", err
	}
	return "entered already by this run", nil
}

// closed asks whether the server is in Maintenance Mode, or the node in drain mode.
func (s *Step) closed(ctx context.Context) (bool, error) {
	if s.Topology == Single {
		return s.octopus().MaintenanceMode(ctx)
	}
	return s.isDrained(ctx)
}

// rememberOctopus records what is undone later and what is not, before anything is changed.
func (s *Step) rememberOctopus(ctx context.Context) error {
	prior := s.Book.Octopus()
	if prior.Known {
		return nil
	}
	node, err := s.node(ctx)
	if err != nil {
		return err
	}
	on, err := s.octopus().MaintenanceMode(ctx)
	if err != nil {
		return err
	}
	info, err := s.Server.Info(ctx)
	if err != nil {
		return err
	}
	version := node.Version
	if version == "" { // Octopus of 2019 tells it only in /api
		version = info.Version
	}
	prior.FileVersion, prior.OnDisks = s.Instance.Version, s.Instance.OnDisks
	prior.Maintenance, prior.Drained, prior.TaskCap, prior.Version, prior.Installation, prior.Known = on, node.Drained, node.TaskCap, version, info.InstallationID, true
	return nil
}

func (s *Step) enterMaintenanceMode(ctx context.Context) error {
	prior := s.Book.Octopus()
	if prior.Maintenance {
		s.warn("Maintenance Mode was on before this run; it stays on afterwards")
		prior.EnteredAt = s.Clock.Now().Unix()
		return s.intend(ctx, "go on in the Maintenance Mode that was on before")
	}
	prior.OursMaint = true
	if err := s.intend(ctx, "enable Maintenance Mode"); err != nil {
		prior.OursMaint = false
		return err
	}
	err := s.settle(ctx, "enable Maintenance Mode",
		func(ctx context.Context) error { return s.octopus().SetMaintenanceMode(ctx, true) },
		func(ctx context.Context) (bool, error) { return s.octopus().MaintenanceMode(ctx) })
	prior.EnteredAt = s.Clock.Now().Unix()
	return err
}

// drain puts the node into drain mode, as ours, unless it was drained before.
func (s *Step) drain(ctx context.Context) error {
	prior := s.Book.Octopus()
	if prior.Drained {
		s.warn("the node was in drain mode before this run; it stays so afterwards")
		prior.EnteredAt = max(prior.EnteredAt, s.Clock.Now().Unix())
		return s.intend(ctx, "go on in the drain mode that was on before")
	}
	prior.OursDrain = true
	if err := s.intend(ctx, "put the node into drain mode"); err != nil {
		prior.OursDrain = false
		return err
	}
	err := s.settle(ctx, "put the node into drain mode",
		func(ctx context.Context) error { return s.octopus().SetDrain(ctx, s.Node, true) },
		s.isDrained)
	if prior.EnteredAt == 0 {
		prior.EnteredAt = s.Clock.Now().Unix()
	}
	if s.Report.Timeline.Drained.IsZero() {
		s.Report.Timeline.Drained = s.Clock.Now()
	}
	return err
}

// othersCarryTheWork: another online, undrained node with a task cap above 0 must exist.
func (s *Step) othersCarryTheWork(ctx context.Context) error {
	nodes, err := s.octopus().Nodes(ctx)
	if err != nil {
		return err
	}
	if len(Carriers(nodes, s.Node)) > 0 {
		return nil
	}
	return &Fault{Kind: ErrStopped, Subject: s.Node, Problem: "no other node is online, undrained and has a task cap above 0, so nobody would carry its work",
		Remedy: "bring another node online, exit its drain mode or raise its task cap in Configuration > Nodes"}
}

// stillCarried asks once more, now that the node is drained: another run with other nodes of the cluster, whose hosts
// this one does not lock, may have drained the rest between question and change. Then ours is undone; of two that meet
// each other like this both stop.
func (s *Step) stillCarried(ctx context.Context) error {
	err := s.othersCarryTheWork(ctx)
	prior := s.Book.Octopus()
	if err == nil || !prior.OursDrain || !errors.Is(err, ErrStopped) {
		return err
	}
	if undo := s.undrain(ctx); undo != nil {
		return errors.Join(undo, err)
	}
	prior.OursDrain, prior.EnteredAt = false, 0
	return err
}

// Carriers lists the nodes other than name that take tasks now.
func Carriers(nodes []NodeState, name string) []NodeState {
	return slices.DeleteFunc(slices.Clone(nodes), func(n NodeState) bool {
		return n.Name == name || n.Offline || n.Drained || n.TaskCap == 0
	})
}

// node reads this node from Octopus' summary.
func (s *Step) node(ctx context.Context) (NodeState, error) {
	nodes, err := s.octopus().Nodes(ctx)
	if err != nil {
		return NodeState{}, err
	}
	node, ok := FindNode(nodes, s.Node)
	if !ok {
		return NodeState{}, &Fault{Subject: s.Node, Problem: "is no longer a node of this Octopus Server", Remedy: "look at Configuration > Nodes"}
	}
	return node, nil
}

func (s *Step) isDrained(ctx context.Context) (bool, error) {
	node, err := s.node(ctx)
	return node.Drained, err
}
