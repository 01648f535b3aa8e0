package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
)

// world is an in-process Octopus cluster with its Windows hosts. Every write goes through write, where a test
// can let it fail unapplied or applied.
type world struct {
	mu          sync.Mutex
	nodes       []*fakeNode
	maintenance bool
	tasks       []procedure.Task
	admin       bool
	writes      []string
	inject      func(n int, what string) (mode string) // "", "unapplied", "lost", "dead before", "dead after"
	dead        func()                                 // ends the process that died; nil: none has
	died        bool                                   // nothing that the process sends arrives any more
	late        []string                               // writes that it has tried since
	harmful     []string                               // those among them that would have mattered
	lives       bool                                   // a process is at work that has not died
	over        bool                                   // the test is
	db          database
	down        bool // Octopus itself answers nothing
	html        bool // Octopus answers with something else
	denied      bool // Octopus refuses our login
	balanced    bool // OCTOPUS_URL is a load balancer that leaves drained nodes out
	processes   int
	reads       []time.Time // of Octopus
}

type fakeNode struct {
	w             *world
	state         procedure.NodeState
	service       procedure.Service
	watchdog      bool
	journal       *procedure.Journal
	job           string // of the worker, with its result
	result        procedure.WorkResult
	installs      map[string]int // by KB
	lease         *procedure.Lease
	copy          *procedure.Journal // of another node
	deadman       procedure.Deadman
	boot          int
	ubr           int
	queue         [][]procedure.Update // updates by round
	fails         string               // KB that fails
	loops         string               // KB that is offered again
	pending       []string
	hostDown      bool
	neverBack     bool
	neverRuns     bool
	sick          bool // its service runs, and does not answer
	version       string
	rebootIgnored int
	away          time.Duration // how long a reboot takes, at least 4 min
	pendingSticks int           // a reboot stays pending after that many reboots
	readyDenied   bool          // after a reboot the host refuses our login
	readyCalls    int
	started       time.Time
	ahead         time.Duration // of its clock
	lastSeen      time.Time     // by Octopus, while it is offline; zero: just now
	onDisks       []string
	working       time.Time // until then the worker installs
	servicing     time.Time // until then Windows itself does
	blind         int       // reboots that nothing was pending for
	reverts       int
	ownDatabase   bool // Octopus' database lies on this machine's disks
}

func newWorld(names ...string) *world {
	w := &world{admin: true}
	for i, name := range names {
		n := &fakeNode{w: w, boot: 1, ubr: 100, watchdog: true, version: "2026.3.1", onDisks: []string{},
			state:   procedure.NodeState{ID: "OctopusServerNodes-" + name, Name: name, TaskCap: 5 + i, Version: "2026.3.1"},
			service: procedure.Service{Name: "OctopusDeploy", State: "Running", Start: "Auto", Delayed: true},
			queue: [][]procedure.Update{
				{{ID: "u1", Title: "Cumulative Update", KBs: []string{"5000001"}, Bytes: 1 << 30}, {ID: "u2", Title: "Driver", Skip: "a driver"}},
				{{ID: "u3", Title: ".NET", KBs: []string{"5000002"}, Bytes: 1 << 20}},
			}}
		w.nodes = append(w.nodes, n)
		n.drain(false)
		n.runs(true)
	}
	w.maintain(false)
	return w
}

func (w *world) node(name string) *fakeNode {
	i := slices.IndexFunc(w.nodes, func(n *fakeNode) bool { return n.state.Name == name })
	return w.nodes[i]
}

func (w *world) readable() error {
	w.reads = append(w.reads, time.Now())
	if w.died {
		return errDead
	}
	serves := func(n *fakeNode) bool { return !n.hostDown && n.service.State == "Running" }
	member := func(n *fakeNode) bool { return serves(n) && (!w.balanced || !n.state.Drained) }
	if !slices.ContainsFunc(w.nodes, member) {
		return &procedure.Fault{Kind: procedure.ErrUnreachable, Problem: "HTTP 503"}
	}
	if w.denied {
		return &procedure.Fault{Kind: procedure.ErrDenied, Problem: "HTTP 401"}
	}
	if w.html {
		return &procedure.Fault{Kind: procedure.ErrUnreadable, Problem: "an HTML page"}
	}
	if w.down {
		return &procedure.Fault{Kind: procedure.ErrUnreachable, Problem: "connection refused"}
	}
	return nil
}

func (w *world) locked() func() { w.mu.Lock(); return w.mu.Unlock }

func (w *world) Nodes(context.Context) ([]procedure.NodeState, error) {
	defer w.locked()()
	var list []procedure.NodeState
	for _, n := range w.nodes {
		s := n.state
		s.Offline = s.Offline || n.service.State != "Running"
		s.LastSeen = time.Now()
		if s.Offline && !n.lastSeen.IsZero() {
			s.LastSeen = n.lastSeen
		}
		s.Version = n.version
		for _, t := range w.tasks {
			if t.Active() && t.On(s) {
				s.Running++
			}
		}
		list = append(list, s)
	}
	return list, w.readable()
}

func (w *world) SetDrain(_ context.Context, node string, on bool) error {
	defer w.locked()()
	what := fmt.Sprintf("octopus drain %t %s", on, node)
	w.tries(what)
	if err := w.readable(); err != nil {
		return err
	}
	apply, err := w.write(what)
	if apply {
		w.node(node).drain(on)
	}
	return err
}

func (w *world) MaintenanceMode(context.Context) (bool, error) {
	defer w.locked()()
	return w.maintenance, w.readable()
}

func (w *world) SetMaintenanceMode(_ context.Context, on bool) error {
	defer w.locked()()
	what := fmt.Sprintf("octopus maintenance %t", on)
	w.tries(what)
	if err := w.readable(); err != nil {
		return err
	}
	apply, err := w.write(what)
	if apply {
		w.maintain(on)
	}
	return err
}

func (w *world) Tasks(context.Context) ([]procedure.Task, error) {
	defer w.locked()()
	return slices.Clone(w.tasks), w.readable()
}

func (w *world) CancelTask(_ context.Context, id string) error {
	defer w.locked()()
	w.tries("octopus cancel " + id + " " + w.nodes[0].state.Name)
	if w.died {
		return errDead
	}
	apply, err := w.write("octopus cancel " + id)
	if apply {
		w.endTask(id, "Canceled")
		w.tasks = slices.DeleteFunc(w.tasks, func(t procedure.Task) bool { return t.ID == id })
	}
	return err
}

func (w *world) Info(context.Context) (procedure.ServerInfo, error) {
	defer w.locked()()
	return procedure.ServerInfo{Version: "2026.3.1", InstallationID: "installation", Maintenance: w.maintenance}, w.readable()
}

func (w *world) CurrentUser(context.Context) (procedure.User, error) {
	defer w.locked()()
	return procedure.User{Name: "patcher", AdministerSystem: w.admin}, w.readable()
}

func (w *world) Ping(_ context.Context, node string) (procedure.NodePing, error) {
	defer w.locked()()
	return w.node(node).ping()
}

func (n *fakeNode) ping() (procedure.NodePing, error) {
	if n.hostDown || n.sick || n.service.State != "Running" {
		return procedure.NodePing{}, &procedure.Fault{Kind: procedure.ErrUnreachable, Problem: "connection refused"}
	}
	status := 200
	if n.state.Drained {
		status = 418
	}
	return procedure.NodePing{Status: status, Name: n.state.Name}, nil
}

func (w *world) Serving(context.Context) error {
	defer w.locked()()
	w.reads = append(w.reads, time.Now())
	for _, n := range w.nodes {
		if !n.hostDown && n.service.State == "Running" && !n.state.Drained {
			return nil
		}
	}
	return errors.New("HTTP 503")
}

// snapshot is what must be as before when a run has ended.
func (w *world) snapshot() string {
	defer w.locked()()
	text := fmt.Sprintf("maintenance %t\n", w.maintenance)
	for _, n := range w.nodes {
		text += fmt.Sprintf("%s drained %t cap %d service %s %s delayed %t watchdog %t journal %t lease %t deadman %t copy %t\n", n.state.Name, n.state.Drained, n.state.TaskCap,
			n.service.State, n.service.Start, n.service.Delayed, n.watchdog, n.journal != nil, n.lease != nil, n.deadman != (procedure.Deadman{}), n.copy != nil)
	}
	return text
}

// recorder collects events.
type recorder struct {
	mu     sync.Mutex
	events []procedure.Event
}

func (r *recorder) Event(e procedure.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (w *world) engine() (*Engine, *recorder) {
	r := &recorder{}
	w.processes++
	return &Engine{
		Run: "run1", Owner: "ann@jump", Nonce: fmt.Sprint("process ", w.processes), URL: "http://octopus", Clock: clock.Clock{}, Sink: r, Cluster: w, Server: w, All: true, Topology: "auto",
		Near: func(string) procedure.Cluster { return direct{w} },
		Open: func(node, _ string) (procedure.Host, error) { return &fakeHost{n: w.node(node)}, nil },
		Guard: func(context.Context, procedure.ServerInfo, []procedure.HostFacts) []error {
			return nil
		},
		Rules: procedure.Rules{DrainTimeout: time.Hour, OnDrainTimeout: "abort", Interruptions: "fail", Reboot: "if-required", MaxRounds: 5, MaxReboots: 5,
			RebootTimeout: 90 * time.Minute, StallTimeout: 30 * time.Minute, Precaution: "none", Soak: 2 * time.Minute},
	}, r
}
