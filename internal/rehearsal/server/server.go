// Package server is the simulated Octopus Server of the rehearsal: one cluster state, a listener on loopback
// for every node and one for the load balancer in front of them. It imports the clock, the world's log of
// writes and the set of faults, and knows nothing of those who talk to it.
//
// Nothing runs in the background but the listeners: whatever happens by itself (a task ends, a node polls its
// queue, the balancer notices) is an event with a simulated time, and every look at the state first plays the
// events that are due. So a seed gives the same world at any speed.
package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/rehearsal/fault"
	"github.com/octopatch/octopatch/internal/rehearsal/record"
)

// Options say which cluster to simulate.
type Options struct {
	Clock   clock.Clock
	Seed    int64
	Nodes   []string // node names; one is a single server
	Version string   // empty: a version of 2026
	Address string   // of the listeners, "127.0.0.1:0"; empty: that
	Key     string   // the API key, or access token, of an administrator's service account
	Keyless *Keyless // nil: keys only
	Log     *record.Log
	Faults  *fault.Set
	Wire    Wire        // nil: nobody looks
	Closed  func() bool // while it is true every request is cut off; nil: never
}

// defaultVersion is of the time that the API's documentation describes.
const defaultVersion = "2026.3.4711"

// Wire is told each message that comes or goes: method and path, whether the client sent it, its header and its
// body.
type Wire func(action string, sent bool, header http.Header, body []byte)

// Cluster is a running simulation. Its methods may be called from any goroutine.
type Cluster struct {
	address      string // to listen on
	clock        clock.Clock
	seed         int64
	key          string
	keyless      *Keyless
	log          *record.Log
	faults       *fault.Set
	wire         Wire
	closed       func() bool
	installation string

	serving  sync.WaitGroup // the listeners' goroutines
	closing  context.Context
	close    context.CancelFunc
	balancer *listener

	mu          sync.Mutex
	now         time.Time // how far the events have been played
	began       time.Time
	agenda      agenda
	nodes       []*node
	tasks       []*task // oldest first; ids grow by one
	due         []*task // those that are open and not scheduled for later, in the order of the queue
	maintenance maintenance
	database    Database
	turn        int // of the balancer's round robin
	arrivals    arrivals
	tokens      map[string]time.Time // access tokens, and when they end
	revoked     bool                 // nobody's login is known
	strikes     map[string]int       // how often a counted fault was met
	brokenUntil time.Time            // octopus-503
	changed     bool                 // a write was accepted
	injections  []*Injection
	requests    Requests
	outages     []Outage
	dark        time.Time // since when users get no answer; zero: they do
}

// maintenance is the resource at /api/maintenanceconfiguration.
type maintenance struct {
	on         bool
	switches   int
	modifiedOn time.Time
	modifiedBy string
}

// New starts a cluster: every node serves, tasks run, and the balancer has every node in.
func New(o Options) (*Cluster, error) {
	if len(o.Nodes) == 0 || o.Key == "" {
		return nil, errors.New("a simulated Octopus Server needs a node and a key")
	}
	if o.Version == "" {
		o.Version = defaultVersion
	}
	if o.Log == nil {
		o.Log = &record.Log{}
	}
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	c := &Cluster{
		address: o.Address, clock: o.Clock, seed: o.Seed, key: o.Key, keyless: o.Keyless, log: o.Log, faults: o.Faults, wire: o.Wire, closed: o.Closed, tokens: map[string]time.Time{},
		strikes: map[string]int{}, requests: newRequests(),
	}
	c.closing, c.close = context.WithCancel(context.Background())
	c.now = o.Clock.Now()
	c.began = c.now
	r := c.draw("installation")
	c.installation = fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48))
	for _, name := range o.Nodes {
		c.nodes = append(c.nodes, c.newNode(name, o.Version))
	}
	c.prepare()
	c.storeAll()
	c.noteUsers(c.now)
	if err := c.listen(); err != nil {
		return nil, err
	}
	return c, nil
}

// listen opens every address; on failure none stays open.
func (c *Cluster) listen() error {
	var err error
	if c.balancer, err = c.open(c.address, nil); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if n.gone {
			continue
		}
		l, err := c.open(c.address, n)
		if err != nil {
			c.Close()
			return err
		}
		n.address = l.address
		if n.service == stopped {
			l.shut()
			continue
		}
		n.listener = l
	}
	return nil
}

// Close ends the simulation: every address is closed and every connection cut.
func (c *Cluster) Close() {
	c.close()
	c.mu.Lock()
	c.balancer.shut()
	for _, n := range c.nodes {
		n.listener.shut()
		n.listener = nil
	}
	c.mu.Unlock()
	c.serving.Wait()
}

// URL is the address of the load balancer, which is what users know.
func (c *Cluster) URL() string { return "http://" + c.balancer.address }

// NodeURL is the address of the node itself.
func (c *Cluster) NodeURL(name string) string { return "http://" + c.mustNode(name).address }

// InstallationID is the same on every node of the cluster.
func (c *Cluster) InstallationID() string { return c.installation }

// enter locks the state and plays what has happened by itself up to now; leave must follow.
func (c *Cluster) enter() {
	c.mu.Lock()
	c.play(c.clock.Now())
}

// leave notes whether users are still answered, and unlocks.
func (c *Cluster) leave() {
	c.noteUsers(c.now)
	c.mu.Unlock()
}

// draw returns the random numbers of one purpose. Each purpose has its own, so that what one of them uses up
// does not change the others.
func (c *Cluster) draw(purpose ...any) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(c.seed), hash(purpose...)))
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

// listener is one open address.
type listener struct {
	address string
	server  *http.Server
	socket  net.Listener
}

// reopenLimit is how long, on the wall, an address that was closed may be in the way of its own reopening.
const reopenLimit = 10 * time.Second

// open listens and serves; n is nil for the load balancer.
func (c *Cluster) open(address string, n *node) (*listener, error) {
	socket, err := (&net.ListenConfig{}).Listen(c.closing, "tcp", address)
	if err != nil {
		return nil, err
	}
	l := &listener{address: socket.Addr().String(), socket: socket, server: &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, n) }),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          discard(),
	}}
	c.serving.Go(func() { _ = l.server.Serve(socket) }) // it ends when the listener is shut
	return l, nil
}

// reopen opens an address that was closed a while ago. Somebody else may hold its port for a moment.
func (c *Cluster) reopen(n *node) *listener {
	limited, cancel := context.WithTimeout(c.closing, reopenLimit)
	defer cancel()
	for {
		l, err := c.open(n.address, n)
		if err == nil {
			return l
		}
		if (clock.Clock{}).Sleep(limited, 20*time.Millisecond) != nil {
			if c.closing.Err() != nil {
				return nil
			}
			panic(fmt.Sprintf("the address of node %s cannot be opened again: %v", n.name, err))
		}
	}
}

// shut closes the address and cuts its connections.
func (l *listener) shut() {
	if l == nil {
		return
	}
	_ = l.server.Close()
	_ = l.socket.Close() // in case that Serve had not begun
}
