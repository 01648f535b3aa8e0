package server

import (
	"maps"
	"time"
)

// Snapshot is the state of the cluster at one moment, for tests and for the comparison of the world before
// and after.
type Snapshot struct {
	Time        time.Time
	Maintenance bool
	Nodes       []NodeSnapshot
	Queued      int    // tasks that are due and not picked up
	Killed      []Task // what executed on a node when it was stopped, system tasks included
	Database    Database
}

// NodeSnapshot is one node in a Snapshot.
type NodeSnapshot struct {
	Name       string
	Drained    bool
	TaskCap    int
	Serving    bool   // its process answers requests
	Service    string // serving, starting or stopped
	Offline    bool
	InBalancer bool
	Version    string
	Running    []Task // Executing or Cancelling
}

// Task is one task in a Snapshot.
type Task struct{ ID, Name, State, Space, Node string }

// Snapshot reads the state.
func (c *Cluster) Snapshot() Snapshot {
	c.enter()
	defer c.leave()
	s := Snapshot{Time: c.now, Maintenance: c.maintenance.on, Database: c.database.clone()}
	for _, n := range c.nodes {
		v := NodeSnapshot{
			Name: n.name, Drained: n.drained, TaskCap: n.taskCap, Serving: n.service == serving, Service: n.service.String(),
			Offline: n.offline(c.now), InBalancer: n.inBalancer, Version: n.version,
		}
		for _, t := range c.activeOn(n) {
			v.Running = append(v.Running, t.plain())
		}
		s.Nodes = append(s.Nodes, v)
	}
	for _, t := range c.tasks {
		if t.killed != "" {
			s.Killed = append(s.Killed, t.plain())
		}
		if t.state == queued && t.waits == "" && !t.queue.After(c.now) {
			s.Queued++
		}
	}
	return s
}

func (t *task) plain() Task {
	p := Task{ID: t.id(), Name: t.name, State: t.state, Space: t.space}
	if t.node != nil {
		p.Node = t.node.name
	}
	return p
}

// Requests counts what was asked of the cluster, through the balancer and at the nodes alike. The balancer's
// own health checks do not count.
type Requests struct {
	Total   int
	ByClass map[string]int // "api", "ping", "summary", "nodes", "tasks", "maintenance", "status", "user", "spaces", "other"
	Changes int            // PUT and POST
}

func newRequests() Requests { return Requests{ByClass: map[string]int{}} }

// Requests reads the counters.
func (c *Cluster) Requests() Requests {
	c.mu.Lock()
	defer c.mu.Unlock()
	counted := c.requests
	counted.ByClass = maps.Clone(counted.ByClass)
	return counted
}
