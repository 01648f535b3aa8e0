package server

import (
	"slices"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal/record"
)

// service is what the Octopus Server process of a node does.
type service int

const (
	serving  service = iota
	starting         // answers 503
	stopped          // refuses connections
)

func (s service) String() string { return [...]string{"serving", "starting", "stopped"}[s] }

// node is one node record of the cluster, and the process behind it.
type node struct {
	id, name   string
	version    string
	taskCap    int
	drained    bool
	modifiedOn time.Time
	modifiedBy string
	gone       bool // a record without a machine

	service      service
	processStart time.Time
	heartbeats   time.Time // since when the process has told that it lives
	lastSeen     time.Time // the last heartbeat of a process that has ended
	saidGoodbye  bool      // a clean stop flags the node offline at once (OctopusDeploy/Issues#5176)
	starts       int
	drains       int

	address  string
	listener *listener

	inBalancer bool
	turns      int // how often the answer to the balancer's health check changed
	queuePoll  int // the chain of polls that counts; an older one ends
}

const (
	heartbeatEvery = 10 * time.Second
	offlineAfter   = 5 * time.Minute // the vendor's auto-scaling script takes the same
	defaultTaskCap = 5
	startLeast     = 20 * time.Second
	startMost      = 40 * time.Second
	noticeLeast    = time.Second // the balancer asks every 5 s: somewhere in there it notices
	noticeMost     = 5 * time.Second
)

func (c *Cluster) newNode(name, version string) *node {
	return &node{
		id: "OctopusServerNodes-" + name, name: name, version: version, taskCap: defaultTaskCap,
		processStart: c.now.Add(-9 * 24 * time.Hour), heartbeats: c.now.Add(-9 * 24 * time.Hour), inBalancer: true,
	}
}

// seen is when the node last told that it lives.
func (n *node) seen(now time.Time) time.Time {
	if n.service == serving {
		return n.heartbeats.Add(now.Sub(n.heartbeats).Truncate(heartbeatEvery))
	}
	return n.lastSeen
}

func (n *node) offline(now time.Time) bool {
	return n.saidGoodbye || now.Sub(n.seen(now)) > offlineAfter
}

// inService is what a health check takes for well: ping answers 200.
func (n *node) inService() bool { return n.service == serving && !n.drained }

// mustNode finds a node by name: asking for another one is a mistake in the caller.
func (c *Cluster) mustNode(name string) *node {
	i := slices.IndexFunc(c.nodes, func(n *node) bool { return n.name == name })
	if i < 0 {
		panic("there is no simulated node " + name)
	}
	return c.nodes[i]
}

// ServiceStarted tells that the Octopus Server service of the node was started. It answers 503 for a while.
func (c *Cluster) ServiceStarted(name string) {
	c.enter()
	defer c.leave()
	n := c.mustNode(name)
	if n.service != stopped {
		return
	}
	n.service = starting
	n.starts++
	n.processStart = c.now
	if c.faults.Has("version-changes", name) {
		n.version = nextVersion(n.version)
	}
	n.listener = c.reopen(n)
	if c.faults.Has("node-never-online", name) {
		return
	}
	this := n.starts
	c.after(between(c.draw("start", name, n.starts), startLeast, startMost), func() {
		if n.service == starting && n.starts == this {
			c.serveAgain(n)
		}
	})
}

// serveAgain ends the start of a node: it cancels what the process before it left, and serves.
func (c *Cluster) serveAgain(n *node) {
	n.service = serving
	if c.log != nil {
		c.log.Took(record.Span{Node: n.name, What: "Octopus starts", From: n.processStart, To: c.now})
	}
	n.heartbeats = c.now
	n.saidGoodbye = false
	c.store("node "+n.name+" version", n.version)
	c.cancelLeftovers(n)
	c.pollQueue(n, between(c.draw("poll", n.name, n.starts), time.Second, queuePollEvery))
	if n.inService() {
		c.balancerNotices(n)
	}
}

// ServiceStopped tells that the process of the node has ended: clean when the service was stopped, not clean
// when the machine went down under it or it crashed.
func (c *Cluster) ServiceStopped(name string, clean bool) {
	c.enter()
	defer c.leave()
	n := c.mustNode(name)
	if n.service == stopped {
		return
	}
	was := n.inService()
	n.lastSeen = n.seen(c.now)
	n.saidGoodbye = n.saidGoodbye || clean
	n.service = stopped
	n.listener.shut()
	n.listener = nil
	c.killTasks(n, clean)
	if was {
		c.balancerNotices(n)
	}
}

// DrainLocal is what Octopus.Server.exe node --drain does on the host: it writes to the database, whether or
// not a server runs.
func (c *Cluster) DrainLocal(name string, drained bool) {
	c.enter()
	defer c.leave()
	n := c.mustNode(name)
	what := "octopus local undrain"
	if drained {
		what = "octopus local drain"
	}
	c.setDrain(n, drained, "system")
	c.log.Add(record.Write{Time: c.now, Node: n.name, What: what, Fate: "applied"})
}

// setDrain changes the drain flag, which stays with the node's record over restarts.
func (c *Cluster) setDrain(n *node, drained bool, by string) {
	n.modifiedOn, n.modifiedBy = c.now, by
	if n.drained == drained {
		return
	}
	was := n.inService()
	n.drained = drained
	c.store("node "+n.name+" drained", drained)
	if drained {
		n.drains++
		c.settleForDrain(n)
	}
	if was != n.inService() {
		c.balancerNotices(n)
	}
}

// balancerNotices lets the balancer find out, at its next health check, what ping answers then.
func (c *Cluster) balancerNotices(n *node) {
	n.turns++
	c.after(between(c.draw("balancer", n.name, n.turns), noticeLeast, noticeMost), func() { n.inBalancer = n.inService() })
}
