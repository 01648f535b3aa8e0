// Package procedure is the vendor's document as data: the phases in the document's order and words, what each
// asks of Octopus and of Windows, and the results and events they end in. It reaches the world only through
// the interfaces that it declares, and imports the standard library and the clock.
package procedure

import (
	"context"
	"time"
)

// Topology says which of the document's two procedures applies.
type Topology string

// The document's two procedures.
const (
	Single Topology = "single"
	HA     Topology = "ha"
)

// Names of the phases, as they are typed and logged.
const (
	Schedule   = "schedule"
	Enter      = "enter"
	Wait       = "wait"
	Stop       = "stop"
	Precaution = "precaution"
	Patch      = "patch"
	Start      = "start"
	Exit       = "exit"
)

// Phase is one step of the document.
type Phase struct {
	Name   string
	Single string // the document's words for a single server
	HA     string // the document's words for a node of a cluster
	// Cluster is true where the phase is the whole cluster's and not a node's.
	Cluster bool
	// Limit is how long the phase may take by the rules of the run.
	Limit func(Rules) time.Duration
	// Done asks the world whether there is nothing to do, and why; "" means there is. May be nil.
	Done func(context.Context, *Step) (reason string, err error)
	// Do does it.
	Do func(context.Context, *Step) error
	// Verify asks the world whether the promise of the phase holds. May be nil where Do ends by asking.
	Verify func(context.Context, *Step) error
}

// Title is the document's sentence for the topology.
func (p Phase) Title(t Topology) string {
	if t == Single {
		return p.Single
	}
	return p.HA
}

// Phases is the documented procedure, in order.
func Phases() []Phase {
	return []Phase{
		schedule,   // tell people, list what is scheduled inside the window
		enter,      // Maintenance Mode, or drain mode for one node
		wait,       // remaining tasks complete
		stop,       // the Windows service stops and stays stopped
		precaution, // whatever lets the system be recovered
		patch,      // updates and reboots, until nothing is left
		start,      // the Windows service starts, the node is proved healthy
		exit,       // out of drain mode, out of Maintenance Mode
	}
}

// Find returns the phase of that name.
func Find(name string) (Phase, bool) {
	for _, p := range Phases() {
		if p.Name == name {
			return p, true
		}
	}
	return Phase{}, false
}
