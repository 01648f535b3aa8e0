// Package engine runs the phases: it proves that a run may begin, takes the nodes in order, and for each phase
// skips or announces, does, verifies and journals. It knows the world only through procedure's interfaces.
package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
)

// Engine is one run of octopatch. All fields are set before the first call and not changed afterwards.
type Engine struct {
	Run      string // run id of a new run; an unfinished one goes on under its own
	Resume   string // the run id that the operator allows to go on with; empty: none
	Owner    string
	Attempt  string // of the owner's job; recorded, not compared
	Nonce    string // of this process
	Takeover string // the run id of another owner that the operator allows to go on with; empty: none
	URL      string // OCTOPUS_URL, for people
	Rules    procedure.Rules
	Clock    clock.Clock
	Sink     procedure.Sink
	Cluster  procedure.Cluster
	Server   procedure.Server
	Near     func(node string) procedure.Cluster // the way through the node's own URL; nil without one
	Open     func(node, host string) (procedure.Host, error)
	Topology string   // auto, single or ha
	All      bool     // every node of the cluster, in Octopus' order
	Nodes    []Listed // otherwise these, in this order
	Node     string   // the node of a phase that runs alone
	Services []string // instances that may stop undrained besides the one at OCTOPUS_URL
	// Guard refuses where octopatch would patch what it runs on.
	Guard    func(context.Context, procedure.ServerInfo, []procedure.HostFacts) []error
	Provider procedure.Provider // takes precautions; nil: none
	Patcher  procedure.Patcher  // patches instead of Windows Update; nil: Windows Update does
	// Hook runs the operator's hook of that moment, if there is one. May be nil.
	Hook func(context.Context, Moment) error
	// Announced gets the notice of the window once it is made. May be nil.
	Announced func(procedure.Notice)
	// LoginEnds is when the means to log on to Octopus end; zero is never.
	LoginEnds time.Time
	// Keep stores the runner's copy of a journal.
	Keep func(procedure.Journal) error
	// Told says whether people were told of that dead-man switch before. May be nil.
	Told func(Firing) bool
	// Copy is the newest copy of a node's journal, of one run or of the last; nil without one. May be nil.
	Copy func(node, run string) (*procedure.Journal, error)

	resumed map[string]procedure.Journal // by node: what an unfinished run has done so far
	peeked  []*target                    // hosts that were read although Octopus was out of shape
	unread  error                        // why others were not
	looked  bool
	goneOn  bool            // the run is one that was unfinished
	from    time.Time       // when the window begins; zero: none was set
	end     time.Time       // and ends
	pace    measured        // what the nodes of this run have taken
	alone   bool            // one phase runs, and nobody stays to renew the lease
	grace   context.Context // goes on for undoLimit after an interrupt
	keeping sync.WaitGroup  // renews the leases
	// endKeeping stops the renewals; nil before the leases are taken.
	endKeeping context.CancelFunc
	Fired      []Firing        // that this command alerts people to
	leased     []*target       // whose leases this process holds
	warned     map[string]bool // what was warned of once already
	keepFailed atomic.Bool     // that the runner's copy cannot be stored was said once
}

// Listed is a node that the operator named, and the host to reach it at.
type Listed struct{ Name, Host string }

// Firing is one firing of a node's dead-man switch, in Unix seconds of its host's clock.
type Firing struct {
	Run, Node string
	At        int64
}

// Result is what a command has to say at its end.
type Result struct {
	Exit     int
	Run      string
	Topology procedure.Topology
	Version  string // of Octopus
	Nodes    []*procedure.NodeReport
	Downtime procedure.Downtime
	Notice   procedure.Notice
	Next     string // the one command to run next
	Err      error  // what ended the run as a whole
}

// target is one node on its way through the procedure.
type target struct {
	name     string
	hostName string
	host     procedure.Host
	facts    procedure.HostFacts
	read     *procedure.Journal // as it is on the host; facts.Journal is the newest
	rewound  string             // where the newer copy is, when the host's journal was rewound
	doubt    string             // why it is not known what was done since the journal on the host was written
	finished *procedure.Journal // of a run that has ended here, and whose folder could not be removed
	left     *procedure.Journal // a copy on another host, while the node's own knows of no run
	instance procedure.Instance
	services []string
	book     *procedure.Book
	staged   procedure.WorkResult
	skew     time.Duration // of the host's clock against ours
	armed    time.Time     // until when this process has set the dead-man switch, by the host's clock; zero: to no hour
	warnings []string      // what the machine makes one doubt
	report   *procedure.NodeReport
	began    bool // something was or may have been changed
	held     bool // stays out of service, because its health is not proved
	current  bool // there was nothing to install, so it is as the run wants it
	stopped  bool // a rule ended it before its service was stopped
	working  atomic.Bool
}

func (e *Engine) event(ev procedure.Event) {
	ev.Run, ev.Time = e.Run, e.Clock.Now()
	e.Sink.Event(ev)
}

func (e *Engine) warn(node, format string, a ...any) {
	e.event(procedure.Event{Type: procedure.Warning, Node: node, Message: fmt.Sprintf(format, a...)})
}

// step is what the phases of a node work with.
func (e *Engine) step(t *target, topology procedure.Topology, phase string) *procedure.Step {
	s := &procedure.Step{
		Run: e.Run, Phase: phase, Topology: topology, Rules: e.Rules, Clock: e.Clock, GoneOn: e.alone || e.goneOn,
		Cluster: e.Cluster, Server: e.Server, Tell: e.Sink.Event, Provider: e.Provider, Patcher: e.Patcher,
	}
	if t != nil {
		if phase == procedure.Stop {
			s.Deadman = e.deadman(t)
		}
		s.Near, s.Host, s.Node, s.Instance, s.Services, s.Book, s.Report = e.Near(t.name), t.host, t.name, t.instance, t.services, t.book, t.report
		s.Machine = t.machine()
		s.KeepCopy = func(ctx context.Context, j procedure.Journal) error { return e.keepElsewhere(ctx, t, j) }
		s.Relock = func(ctx context.Context) error { return e.relock(ctx, t) }
	}
	return s
}
