package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// survey is what preflight has proved: who we are, what the cluster is, and which nodes are to be patched.
type survey struct {
	info     procedure.ServerInfo
	version  string
	topology procedure.Topology
	nodes    []procedure.NodeState // the whole cluster
	tasks    []procedure.Task
	targets  []*target // in patch order
	stopped  bool      // the only server is down because this run has stopped it; what is known of it is from its journal
	// faults refuse the run, but do not keep the hosts from being read: what they tell may be the reason.
	faults []error
}

// surveyOctopus proves the rights and reads the cluster. It changes nothing.
func (e *Engine) surveyOctopus(ctx context.Context) (*survey, error) {
	s := &survey{}
	var err error
	if s.info, err = e.Server.Info(ctx); err != nil {
		if known := e.stoppedByUs(err); known != nil {
			return known, nil
		}
		return nil, errors.Join(e.whyNobodyAnswers(ctx, err), err)
	}
	if err := e.administrator(ctx); err != nil {
		return nil, err
	}
	if s.nodes, err = e.Cluster.Nodes(ctx); err != nil {
		return nil, err
	}
	e.asBefore(s.nodes)
	s.version = s.info.Version
	if len(s.nodes) > 0 && s.nodes[0].Version == "" {
		e.warn("", "this Octopus does not tell the version of each node; using the one of /api (%s)", s.version)
	}
	if s.topology, err = e.topology(s.nodes); err != nil {
		return nil, err
	}
	if s.targets, err = e.choose(s); err != nil {
		return nil, err
	}
	s.faults = append(e.offline(s), e.capacity(s)...)
	if s.topology == procedure.Single && len(s.targets) == 1 && e.Near(s.targets[0].name) == nil {
		e.warn("", "node %s has no URL of its own (OCTOPATCH_NODE_URLS): where OCTOPUS_URL is a load balancer, the server cannot be seen while it is drained, and the run stops there", s.targets[0].name)
	}
	return s, e.seesTasks(ctx, s)
}

// stoppedByUs is what the journal knows of a single server that does not answer because the run that goes on has
// stopped it: the rights were proved before, and nothing but the host can bring it back.
func (e *Engine) stoppedByUs(err error) *survey {
	if !procedure.Transient(err) || len(e.resumed) != 1 {
		return nil
	}
	for node, j := range e.resumed {
		stopped := j.Host != nil && !j.Host.Restored
		drained := j.Octopus.OursDrain && !j.Octopus.Released // a load balancer leaves it out, though it may run
		if j.Topology != procedure.Single || !stopped && !drained {
			return nil
		}
		e.warn("", "Octopus does not answer: run %s has stopped or drained it; going on with what the journal on its host says", j.Run)
		host := ""
		for _, l := range e.Nodes {
			if strings.EqualFold(l.Name, node) {
				host = l.Host
			}
		}
		return &survey{
			info: procedure.ServerInfo{Version: j.Octopus.Version, InstallationID: j.Octopus.Installation}, version: j.Octopus.Version,
			topology: j.Topology, targets: []*target{newTarget(node, host)}, stopped: true,
		}
	}
	return nil
}

// whyNobodyAnswers asks the nodes themselves when OCTOPUS_URL does not answer: a load balancer has no member
// left when every node is drained.
func (e *Engine) whyNobodyAnswers(ctx context.Context, err error) error {
	if !procedure.Transient(err) {
		return nil
	}
	for _, l := range e.Nodes {
		near := e.Near(l.Name)
		if near == nil {
			continue
		}
		nodes, err := near.Nodes(ctx)
		if err != nil {
			continue
		}
		return errors.Join(e.capacity(&survey{topology: procedure.HA, nodes: nodes})...)
	}
	return nil
}

// asBefore sees the nodes that this very run has taken out of service as they were before it: an unfinished run
// must not be refused for what it did itself.
func (e *Engine) asBefore(nodes []procedure.NodeState) {
	for i := range nodes {
		if j, ok := e.resuming(nodes[i].Name); ok {
			nodes[i].Drained = nodes[i].Drained && j.Octopus.Drained
			nodes[i].Offline = false
		}
	}
}

func (e *Engine) administrator(ctx context.Context) error {
	user, err := e.Server.CurrentUser(ctx)
	if err != nil {
		return err
	}
	if !user.AdministerSystem {
		return procedure.Refuse("OCTOPUS_API_KEY", fmt.Sprintf("the account %q lacks the permission AdministerSystem", user.Name),
			"use a key of an account with the role System Administrator (System Manager is not enough)")
	}
	return nil
}

// topology obeys OCTOPATCH_TOPOLOGY; auto is ha with two or more online nodes, single with exactly one record.
func (e *Engine) topology(nodes []procedure.NodeState) (procedure.Topology, error) {
	online := 0
	for _, n := range nodes {
		if !n.Offline {
			online++
		}
	}
	switch {
	case e.Topology == string(procedure.Single) && online > 1:
		return "", procedure.Refuse("OCTOPATCH_TOPOLOGY", fmt.Sprintf("says single, and %d nodes are online", online), "set it to ha, or leave it out")
	case e.Topology == string(procedure.HA) && len(nodes) < 2:
		return "", procedure.Refuse("OCTOPATCH_TOPOLOGY", "says ha, and Octopus knows one node only", "set it to single, or leave it out")
	case e.Topology == string(procedure.Single):
		return procedure.Single, nil
	case e.Topology == string(procedure.HA), online >= 2:
		return procedure.HA, nil
	case len(nodes) == 1:
		return procedure.Single, nil
	}
	return "", procedure.Refuse("OCTOPATCH_TOPOLOGY", fmt.Sprintf("cannot be told: Octopus knows %d nodes, %d of them online", len(nodes), online),
		"set it to single or ha, or delete the records of nodes that no longer exist in Configuration > Nodes")
}

// choose resolves OCTOPATCH_NODES against the cluster.
func (e *Engine) choose(s *survey) ([]*target, error) {
	listed := e.Nodes
	if e.All {
		for _, n := range s.nodes {
			if !e.gone(n) {
				listed = append(listed, Listed{Name: n.Name})
			}
		}
	}
	var targets []*target
	var faults []error
	for _, l := range listed {
		n, ok := procedure.FindNode(s.nodes, l.Name)
		if !ok {
			faults = append(faults, procedure.Refuse("OCTOPATCH_NODES", fmt.Sprintf("%q is not a node of this Octopus Server; its nodes are %s", l.Name, names(s.nodes)), "correct the name, as Configuration > Nodes shows it"))
			continue
		}
		targets = append(targets, newTarget(n.Name, l.Host))
	}
	return targets, errors.Join(faults...)
}

func newTarget(name, host string) *target {
	if host == "" {
		host = name
	}
	return &target{name: name, hostName: host, report: &procedure.NodeReport{Node: name, Host: host}}
}

// offline judges the nodes that are down: listed ones refuse, and so does one that is down only just now.
func (e *Engine) offline(s *survey) []error {
	var faults []error
	for _, n := range s.nodes {
		switch {
		case !n.Offline:
		case find(s.targets, n.Name) != nil:
			faults = append(faults, procedure.Refuse("OCTOPATCH_NODES", fmt.Sprintf("node %s is offline (last seen %s)", n.Name, seen(n)), "bring it online, or delete its record in Configuration > Nodes if it no longer exists"))
		case !e.gone(n):
			faults = append(faults, procedure.Refuse("node "+n.Name, "is offline (last seen "+seen(n)+") and may be needed to carry the work", "bring it online, or delete its record in Configuration > Nodes if it no longer exists"))
		}
	}
	return faults
}

// capacity: somebody must carry the work of each node of a cluster while it is drained.
func (e *Engine) capacity(s *survey) []error {
	if s.topology == procedure.Single {
		return nil
	}
	if len(procedure.Carriers(s.nodes, "")) == 0 {
		return []error{procedure.Refuse("Configuration > Nodes", "every node is drained already, offline, or has a task cap of 0", "exit drain mode on the nodes that shall carry the work")}
	}
	var faults []error
	for _, t := range s.targets {
		if len(procedure.Carriers(s.nodes, t.name)) == 0 {
			faults = append(faults, procedure.Refuse("node "+t.name, "no other node is online, undrained and has a task cap above 0, so nobody would carry its work", "bring another node online, exit its drain mode or raise its task cap in Configuration > Nodes"))
		}
	}
	return faults
}

// seesTasks refuses a key that sees fewer tasks than the nodes run, in three samples 10 s apart.
func (e *Engine) seesTasks(ctx context.Context, s *survey) error {
	const samples, apart = 3, 10 * time.Second
	blind := map[string]int{}
	for sample := 1; ; sample++ {
		tasks, err := e.Cluster.Tasks(ctx)
		if err != nil {
			return err
		}
		s.tasks = tasks
		again := false
		for _, n := range s.nodes {
			if unseen := procedure.Unseen(n, tasks, e.Rules); unseen > 0 {
				blind[n.Name]++
				again = true
				if blind[n.Name] == samples {
					return procedure.Refuse("OCTOPUS_API_KEY", fmt.Sprintf("node %s runs %d tasks that this key cannot see", n.Name, unseen), "use a key of an account with the role System Administrator in all spaces")
				}
			} else {
				blind[n.Name] = 0
			}
		}
		if !again {
			return nil
		}
		if err := e.Clock.Sleep(ctx, apart); err != nil {
			return err
		}
		if s.nodes, err = e.Cluster.Nodes(ctx); err != nil {
			return err
		}
		e.asBefore(s.nodes)
		if sample > 2*samples { // tasks come and go between the two reads; that is a race and no blindness
			e.warn("", "the nodes' task counts and the list of tasks kept differing for a moment")
			return nil
		}
	}
}

func names(nodes []procedure.NodeState) string {
	var list []string
	for _, n := range nodes {
		list = append(list, n.Name)
	}
	return strings.Join(list, ", ")
}

func seen(n procedure.NodeState) string {
	if n.LastSeen.IsZero() {
		return "never"
	}
	return n.LastSeen.UTC().Format("2006-01-02 15:04 MST")
}

func find(targets []*target, name string) *target {
	for _, t := range targets {
		if strings.EqualFold(t.name, name) {
			return t
		}
	}
	return nil
}
