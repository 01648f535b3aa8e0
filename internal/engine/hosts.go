package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/octopatch/octopatch/internal/procedure"
)

// readHosts reads every host. The first one is read alone: a wrong password is tried once on one host and not once on
// each, so that no account is locked.
func (e *Engine) readHosts(ctx context.Context, s *survey) error {
	for i, t := range s.targets {
		if err := e.openHost(t); err != nil {
			return err
		}
		if i == 0 {
			if err := e.probe(ctx, t); err != nil {
				return err
			}
		}
	}
	return e.each(s.targets[1:], func(t *target) error { return e.probe(ctx, t) })
}

// proveHosts proves that each host that was read is the one it is taken for.
func (e *Engine) proveHosts(ctx context.Context, s *survey) error {
	if err := e.compareAll(s.targets); err != nil {
		return err
	}
	faults := e.each(s.targets, func(t *target) error { return e.mapHost(s, t) })
	var facts []procedure.HostFacts
	for _, t := range s.targets {
		facts = append(facts, t.facts)
	}
	faults = errors.Join(faults, e.each(s.targets, func(t *target) error { return e.checkPrecaution(ctx, t) }))
	faults = errors.Join(faults, sameMachine(s.targets), errors.Join(e.Guard(ctx, s.info, facts)...))
	if faults := errors.Join(errors.Join(s.faults...), faults); faults != nil {
		return faults
	}
	return e.pingNodes(ctx, s)
}

func (e *Engine) openHost(t *target) error {
	host, err := e.Open(t.name, t.hostName)
	if err != nil {
		return err
	}
	t.host = host
	return nil
}

// each does the same for all targets at once, and joins what went wrong in the order of the targets.
func (e *Engine) each(targets []*target, do func(*target) error) error {
	faults := make([]error, len(targets))
	var all sync.WaitGroup
	for i, t := range targets {
		all.Go(func() { faults[i] = do(t) })
	}
	all.Wait()
	return errors.Join(faults...)
}

// probe reads the host, a few times where it does not answer at once; a refusal is never repeated.
func (e *Engine) probe(ctx context.Context, t *target) error {
	const tries = 5
	for try := 1; ; try++ {
		facts, err := t.host.Probe(ctx)
		if err == nil {
			t.facts, t.read, t.skew = facts, facts.Journal, 0
			if !facts.Time.IsZero() {
				t.skew = facts.Time.Sub(e.Clock.Now())
			}
			return nil
		}
		if try == tries || !procedure.Transient(err) {
			return named{t.name, err}
		}
		if err := e.Clock.Sleep(ctx, probeEvery); err != nil {
			return err
		}
	}
}

// named is an error of a node, with the node's name in front once.
type named struct {
	node string
	err  error
}

func (n named) Error() string { return "node " + n.node + ": " + reason(n.node, n.err) }
func (n named) Unwrap() error { return n.err }

// mapHost finds the node's instance among those on the host, and refuses what could not be put back.
func (e *Engine) mapHost(s *survey, t *target) error {
	var faults []error
	if t.facts.Folder != "absent" && t.facts.Folder != "ours" {
		faults = append(faults, procedure.Refuse("node "+t.name, "the folder of octopatch under %ProgramData% cannot be trusted: "+t.facts.Folder, "look at who made it, then delete it by hand"))
	}
	if err := t.findInstance(e.Services); err != nil {
		faults = append(faults, err)
	}
	if s != nil && s.topology == procedure.HA && t.instance.LocalData {
		faults = append(faults, procedure.Refuse("node "+t.name, "its host also holds the cluster's database or file share, so the other nodes cannot serve while it reboots", "patch that host in a window of its own"))
	}
	if e.Rules.Reboot == procedure.RebootNever && len(t.facts.Pending) > 0 && t.facts.Journal == nil { // one that a run left open is not stranded for it
		faults = append(faults, procedure.Refuse("OCTOPATCH_REBOOT", fmt.Sprintf("says never, and node %s has a reboot pending already (%s)", t.name, strings.Join(t.facts.Pending, ", ")), "reboot it first, or set OCTOPATCH_REBOOT=if-required"))
	}
	return errors.Join(append(faults, e.checkMachine(t)...)...)
}

// findInstance: the host must run the node, and no other instance that nobody has named.
func (t *target) findInstance(allowed []string) error {
	var found []string
	t.services, t.instance = nil, procedure.Instance{}
	var faults []error
	for _, i := range t.facts.Instances {
		found = append(found, i.Node)
		switch {
		case strings.EqualFold(i.Node, t.name) && t.instance.Service.Name != "":
			faults = append(faults, procedure.Refuse("node "+t.name, fmt.Sprintf("two Octopus Server instances on its host %s call themselves so: %q (service %q) and %q (service %q)", t.facts.Computer, t.instance.Name, t.instance.Service.Name, i.Name, i.Service.Name),
				"remove the instance that is not in use, or give it a node name of its own"))
		case strings.EqualFold(i.Node, t.name):
			t.instance = i
			t.services = append([]string{i.Service.Name}, t.services...)
		case slices.Contains(allowed, i.Service.Name):
			t.services = append(t.services, i.Service.Name)
		case i.Service.State != "Stopped":
			faults = append(faults, procedure.Refuse("node "+t.name, fmt.Sprintf("its host %s also runs the Octopus Server instance %q (service %q, node %q)", t.facts.Computer, i.Name, i.Service.Name, i.Node),
				"add that service to OCTOPATCH_SERVICES to stop it undrained, or move it"))
		}
	}
	if t.instance.Service.Name == "" {
		// What else runs on a wrong machine is no reason to stop it.
		return procedure.Refuse("OCTOPATCH_NODES", fmt.Sprintf("node %s is mapped to host %s, which is the computer %s and runs no such node (it runs: %s)", t.name, t.hostName, t.facts.Computer, or(strings.Join(found, ", "), "no Octopus Server")),
			"write NAME=host for the machine that runs it")
	}
	return errors.Join(faults...)
}

// sameMachine: two nodes mapped to one machine would be rebooted together.
func sameMachine(targets []*target) error {
	seen := map[string]string{}
	for _, t := range targets {
		if t.facts.MachineID == "" {
			continue
		}
		if other := seen[t.facts.MachineID]; other != "" {
			return procedure.Refuse("OCTOPATCH_NODES", fmt.Sprintf("nodes %s and %s are mapped to the same machine %s", other, t.name, t.facts.Computer), "write NAME=host for the machine that runs each")
		}
		seen[t.facts.MachineID] = t.name
	}
	return nil
}

// pingNodes proves that a node's own URL belongs to that node.
func (e *Engine) pingNodes(ctx context.Context, s *survey) error {
	var faults []error
	for _, t := range s.targets {
		if _, ours := e.resuming(t.name); ours {
			continue // this run may have stopped it
		}
		ping, err := e.Server.Ping(ctx, t.name)
		switch {
		case errors.Is(err, procedure.ErrNoNodeURL):
		case err != nil:
			faults = append(faults, fmt.Errorf("node %s at its own URL: %w", t.name, err))
		case !strings.EqualFold(ping.Name, t.name):
			faults = append(faults, procedure.Refuse("OCTOPATCH_NODE_URLS", fmt.Sprintf("the URL of node %s answers as %q", t.name, ping.Name), "write each node's own address, not the load balancer's"))
		}
	}
	return errors.Join(faults...)
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

func intent(j *procedure.Journal) string {
	if j.Intent == nil {
		return "nothing begun"
	}
	return j.Intent.Phase + ", " + j.Intent.What
}

// openBook goes on with the journal on the host, or begins one.
func (e *Engine) openBook(t *target, topology procedure.Topology) {
	j := procedure.Journal{Run: e.Run, Node: t.name, Owner: e.Owner, Topology: topology, Counter: e.lastPass(t)}
	if t.facts.Journal != nil {
		j = *t.facts.Journal
	}
	t.book = procedure.OpenBook(j, e.Clock, e.keep)
}

// lastPass is where the counter of this run's last pass over the node has come to: a copy of that one must not look newer
// than the journal that begins now.
func (e *Engine) lastPass(t *target) int64 {
	last := int64(0)
	kept, _, err := e.kept(t, e.Run, e.leased)
	if err != nil { // the copies were read before, so this is not the moment to refuse
		kept = nil
	}
	for _, j := range []*procedure.Journal{kept, t.left, t.finished} {
		if j != nil && j.Run == e.Run {
			last = max(last, j.Counter)
		}
	}
	return last
}

// keep stores the runner's copy of a journal. The truth is on the host, so a copy that cannot be stored is said
// and ends nothing.
func (e *Engine) keep(j procedure.Journal) error {
	if e.Keep == nil {
		return nil
	}
	if err := e.Keep(j); err != nil && !e.keepFailed.Swap(true) {
		e.warn("", "the runner's copy of the journal is not kept; the hosts hold the journal itself: %v", err)
	}
	return nil
}
