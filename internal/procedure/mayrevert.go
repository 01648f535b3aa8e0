package procedure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// mayRevert asks every guard; what it answers is the host before the revert, empty where it cannot be reached.
func (s *Step) mayRevert(ctx context.Context) (HostFacts, error) {
	taken := s.Book.Journal().Precaution
	switch {
	case taken == nil || taken.State != PrecautionTaken && taken.State != PrecautionTaking && taken.State != PrecautionKept:
		return HostFacts{}, Refuse("node "+s.Node, "this run has taken no precaution that is still there", "restore your own backup of the operating system; never one of the Octopus database")
	case s.Provider == nil || taken.Provider != s.Rules.Precaution:
		return HostFacts{}, Refuse("OCTOPATCH_PRECAUTION", fmt.Sprintf("is %s, and the precaution of this run was taken with %s", s.Rules.Precaution, taken.Provider), "set it, and that one's own variables, as they were")
	}
	if s.Provider.Rewinds() == RewindsNothing { // it says how people do it; the host may be past answering
		return HostFacts{}, s.Provider.Revert(ctx, s.point(), nil)
	}
	if found, err := s.Provider.Find(ctx, s.point()); err != nil || !found {
		if err == nil {
			err = Refuse("node "+s.Node, "the precaution "+taken.Name+" is not there any more", "restore your own backup of the operating system; never one of the Octopus database")
		}
		return HostFacts{}, err
	}
	facts, err := s.Host.Probe(ctx)
	if err != nil {
		if ctx.Err() != nil || !Transient(err) { // one that refuses us, or is somebody else's by now, is not ours to revert
			return facts, err
		}
		s.warn("the host cannot be read before it is reverted (%v); what is known of it is the journal's", err)
		facts = HostFacts{}
	}
	if err := s.needsReverting(ctx, facts); err != nil {
		return facts, err
	}
	if err := s.losesNothing(ctx, facts); err != nil {
		return facts, err
	}
	s.unheard = facts.Windows.Boot == ""
	return facts, s.shut(ctx)
}

// shut takes the node out of service where it was opened, or may have been: it must not take a task and lose it by the
// revert. Octopus is asked, since whoever opened the node may not have lived to write it down.
func (s *Step) shut(ctx context.Context) error {
	closed, err := s.closed(ctx)
	switch {
	case err != nil && s.Topology == Single && ctx.Err() == nil && (Transient(err) || !s.Book.Octopus().Released):
		s.warn("Octopus cannot be asked for its Maintenance Mode before the revert (%v): its only node is the one that is not well", err)
		return nil
	case err != nil || closed:
		return err
	}
	s.Reverting = true
	return s.CloseAgain(ctx)
}

// needsReverting refuses for a node that is well.
func (s *Step) needsReverting(ctx context.Context, facts HostFacts) error {
	if facts.Windows.Boot == "" || s.Rules.Recover == RecoverForce || s.Rules.Recover == RecoverLoseData {
		return nil
	}
	if facts.Busy != "" {
		return Refuse("node "+s.Node, "Windows still installs: "+facts.Busy, "wait for it to end, or set OCTOPATCH_RECOVER=force")
	}
	return s.provedIll(ctx)
}

// provedIll refuses for a node that is well, and for one whose health cannot be read: only what is known to be ill is
// reverted by itself. What it says of itself on its own host outweighs that it cannot be reached from here.
func (s *Step) provedIll(ctx context.Context) error {
	var what string
	var health HostHealth
	err := s.await(ctx, awaited{what: "the node's health to be read", every: healthEvery, limit: patienceRead}, func(ctx context.Context) (done bool, _ string, err error) {
		what, health, err = s.unhealthy(ctx, 418)
		return true, "", err
	})
	ownPing := health.PingError == "" && strings.EqualFold(health.Ping.Name, s.Node) && (health.Ping.Status == 200 || health.Ping.Status == 418)
	switch {
	case err == nil && what == "":
		return Refuse("node "+s.Node, "is healthy: its service runs, it answers with its own name and version, and no reboot is pending", "finish with octopatch exit, or set OCTOPATCH_RECOVER=force to revert it all the same")
	case err == nil && what == itsPing && ownPing:
		err = errors.New("it answers on its own host, and not at its URL in OCTOPATCH_NODE_URLS")
	case err == nil || !Transient(err) && !errors.Is(err, ErrDenied) && !errors.Is(err, ErrTaken) && !errors.Is(err, errOtherNode):
		return nil
	}
	return &Fault{Kind: ErrUnreadable, Subject: "node " + s.Node, Problem: "whether it is healthy cannot be read, so it is not reverted", Cause: err,
		Remedy: "look at the node; if it is not well, set OCTOPATCH_RECOVER=force"}
}

// losesNothing refuses where the revert would take back more than the operating system: data that Octopus wrote
// since it was started again, or an upgrade of Octopus.
func (s *Step) losesNothing(ctx context.Context, facts HostFacts) error {
	prior := s.Book.Octopus()
	for _, i := range facts.Instances {
		if strings.EqualFold(i.Node, s.Node) && prior.FileVersion != "" && i.Version != prior.FileVersion {
			return Refuse("node "+s.Node, fmt.Sprintf("Octopus.Server.exe is of version %s and was %s before: somebody has upgraded Octopus since, and its database with it", i.Version, prior.FileVersion),
				"do not revert: an older Octopus Server cannot work with a newer database; repair the node, or restore a backup of both after asking Octopus' support")
		}
	}
	alive := false // Octopus runs on the node, as far as Octopus says
	if nodes, err := s.octopus().Nodes(ctx); err == nil {
		alive = s.Topology == Single
		for _, n := range nodes {
			alive = alive || strings.EqualFold(n.Name, s.Node) && !n.Offline
			if !n.Offline && n.Version != "" && prior.Version != "" && n.Version != prior.Version {
				return Refuse("node "+n.Name, fmt.Sprintf("runs Octopus %s, and node %s ran %s before: somebody has upgraded Octopus since, and its database with it", n.Version, s.Node, prior.Version),
					"do not revert: upgrade the node instead")
			}
		}
	} else if s.Topology == HA {
		return fmt.Errorf("it cannot be read whether Octopus was upgraded since: %w", err)
	}
	if s.Provider.Rewinds() != RewindsDisks || s.Rules.Recover == RecoverLoseData || !alive && !s.startBegan(facts) {
		return nil
	}
	inside := prior.OnDisks
	if !prior.Known || inside == nil {
		inside = []string{"unknown: this run's journal does not say"}
	}
	if len(inside) > 0 {
		return Refuse("node "+s.Node, "Octopus was started again since the precaution was taken, and a revert would take back what it wrote since to this machine's disks: "+strings.Join(inside, ", "),
			"repair the node instead; or set OCTOPATCH_RECOVER=lose-data to lose that")
	}
	return nil
}

// startBegan: the service ran, or may have run, since the precaution was taken.
func (s *Step) startBegan(facts HostFacts) bool {
	j := s.Book.Journal()
	ran := slices.ContainsFunc(facts.Instances, func(i Instance) bool {
		return slices.Contains(s.Services, i.Service.Name) && i.Service.State != "Stopped"
	})
	return j.Octopus.StartBegan || j.Deadman != nil || j.Host != nil && j.Host.Restored || ran || s.mayHaveFired(facts)
}

// mayHaveFired: the host does not say whether its dead-man switch has started the service, and it has had the time to.
// An orderly hold disarms it.
func (s *Step) mayHaveFired(facts HostFacts) bool {
	last := s.Book.Journal().Intent
	if facts.Windows.Boot != "" || s.Rules.Deadman == 0 || last == nil || strings.HasPrefix(last.What, Held) {
		return false
	}
	return s.Clock.Since(time.Unix(last.At, 0)) > s.Rules.Deadman
}
