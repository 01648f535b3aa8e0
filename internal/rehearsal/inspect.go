package rehearsal

import (
	"path/filepath"

	"github.com/octopatch/octopatch/internal/rehearsal/server"
	"github.com/octopatch/octopatch/internal/rehearsal/windows"
)

// RefusedLogins is how often each host turned credentials away, by node name.
func (w *World) RefusedLogins() map[string]int {
	all := map[string]int{}
	for _, h := range w.hosts {
		if n := h.listener.Refused(); n > 0 {
			all[h.name] = n
		}
	}
	return all
}

// RefuseLogins has the Octopus Server refuse the client's login, or take it again.
func (w *World) RefuseLogins(yes bool) { w.cluster.RefuseLogins(yes) }

// Unplug takes a host off the network, or puts it back; the machine goes on by itself meanwhile.
func (w *World) Unplug(node string, yes bool) error {
	for _, h := range w.hosts {
		if h.name != node {
			continue
		}
		if h.unplugged.Store(yes); yes {
			h.listener.Down()
		} else if h.computer.Up() {
			return h.listener.Up()
		}
	}
	return nil
}

// OctopusRequests counts what the Octopus Server was asked so far, the load balancer's own looks left out.
func (w *World) OctopusRequests() server.Requests { return w.cluster.Requests() }

// Folder is where a host's ProgramData\octopatch lies.
func (w *World) Folder(node string) string {
	return filepath.Join(w.hostDir(node), "ProgramData", "octopatch")
}

// InjectHyperV gives the nth call of a write on the Hyper-V host, such as checkpoint-take, its fate.
func (w *World) InjectHyperV(write string, nth int, fate windows.Fate) {
	w.hyperv.computer.Inject(write, nth, fate)
}

// MoveAway takes a node's virtual machine to another Hyper-V host.
func (w *World) MoveAway(node string) { w.hyperv.computer.MoveAway(node) }
