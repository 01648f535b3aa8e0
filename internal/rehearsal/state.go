package rehearsal

import (
	"fmt"
	"slices"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal/server"
	"github.com/octopatch/octopatch/internal/rehearsal/windows"
)

// State is the whole world at one moment.
type State struct {
	Cluster server.Snapshot
	Hosts   map[string]windows.State
	Virtual map[string]windows.VirtualMachine // of the nodes, where they run on a Hyper-V host
}

// State reads the world.
func (w *World) State() State {
	s := State{Cluster: w.cluster.Snapshot(), Hosts: map[string]windows.State{}, Virtual: w.VirtualMachines()}
	for _, h := range w.hosts {
		s.Hosts[h.name] = h.computer.Snapshot()
	}
	return s
}

// Downtime is how long the load balancer's address would not have answered a user since the given moment,
// from the world's own log.
func (w *World) Downtime(since time.Time) time.Duration {
	total := time.Duration(0)
	for _, o := range w.cluster.Downtime() {
		from, to := o.From, o.To
		if to.IsZero() {
			to = w.Clock.Now()
		}
		if from.Before(since) {
			from = since
		}
		total += max(0, to.Sub(from))
	}
	return total
}

// Promise is one thing that must be true of the world after a good run.
type Promise struct {
	Node string
	What string
	Kept bool
	// Asked is true where it depends on what the run was asked to do, so that a good run need not keep it.
	Asked bool
}

// sameService: the start type is as before, and what starts by itself is in the same state. Windows starts and
// stops manual services as it likes.
func sameService(a, b windows.ServiceState) bool {
	return a.Name == b.Name && a.Start == b.Start && a.Delayed == b.Delayed && (a.State == b.State || a.Start != "Auto")
}

// within reports whether all of some was there before.
func within(some, before []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(before, one) })
}

// Compare holds the world after a run against the world before it: patched, serving, and exactly as it was.
func Compare(before, after State) []Promise {
	var list []Promise
	add := func(node, what string, kept bool) { list = append(list, Promise{Node: node, What: what, Kept: kept}) }
	add("", "Maintenance Mode is as before", before.Cluster.Maintenance == after.Cluster.Maintenance)
	add("", "nobody but Octopus has written to its database", after.Cluster.Database.Lost(before.Cluster.Database) == "")
	for _, n := range after.Cluster.Nodes {
		i := slices.IndexFunc(before.Cluster.Nodes, func(b server.NodeSnapshot) bool { return b.Name == n.Name })
		if _, ours := after.Hosts[n.Name]; !ours || i < 0 {
			continue
		}
		b := before.Cluster.Nodes[i]
		add(n.Name, "drain mode and task cap are as before", n.Drained == b.Drained && n.TaskCap == b.TaskCap)
		hostBefore, hostAfter := before.Hosts[n.Name], after.Hosts[n.Name]
		patched := Promise{Node: n.Name, What: fmt.Sprintf("patched: UBR %d to %d", hostBefore.UBR, hostAfter.UBR), Kept: hostAfter.UBR > hostBefore.UBR, Asked: true}
		if !patched.Kept {
			patched.What = fmt.Sprintf("not patched: UBR %d as before", hostAfter.UBR)
		}
		list = append(list, patched)
		add(n.Name, "services run with the start types that they had", slices.EqualFunc(hostBefore.Services, hostAfter.Services, sameService))
		add(n.Name, "watchdogs are as before", slices.Equal(hostBefore.Watchdogs, hostAfter.Watchdogs))
		add(n.Name, "no file and no task is left", within(hostAfter.Files, hostBefore.Files) && within(hostAfter.Tasks, hostBefore.Tasks))
		if vm, ok := after.Virtual[n.Name]; ok {
			was := before.Virtual[n.Name]
			add(n.Name, "its virtual machine runs with the settings that it had, and without a checkpoint of ours", vm.State == was.State && vm.Type == was.Type && vm.Notes == was.Notes && within(vm.Forgotten(), was.Forgotten()))
		}
	}
	return list
}
