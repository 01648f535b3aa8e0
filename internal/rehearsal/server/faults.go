package server

import (
	"strconv"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal/fault"
)

// Faults lists what can be broken here. A fault with a node strikes that node only.
func Faults() []fault.Fault {
	return []fault.Fault{
		{Name: "balancer-ignores-drain", Help: "The load balancer keeps every node in, whatever its ping says."},
		{Name: "octopus-429", Help: "The first five requests with a key answer 429 with Retry-After: 2."},
		{Name: "octopus-502", Help: "Every seventh GET answers 502."},
		{Name: "octopus-503", Help: "GETs answer 503 for 20 s from the first one on."},
		{Name: "drain-lost", Help: "The first PUT that drains the node is obeyed, and the connection is cut without an answer."},
		{Name: "undrain-lost", Help: "The first PUT that ends the node's drain is obeyed, and the connection is cut without an answer."},
		{Name: "maintenance-lost", Help: "The first PUT that switches Maintenance Mode is obeyed, and the connection is cut without an answer."},
		{Name: "drain-unapplied", Help: "The connection is cut before the first PUT that drains the node is obeyed."},
		{Name: "undrain-unapplied", Help: "The connection is cut before the first PUT that ends the node's drain is obeyed."},
		{Name: "maintenance-unapplied", Help: "The connection is cut before the first PUT that switches Maintenance Mode is obeyed."},
		{Name: "task-never-ends", Help: "A deployment on the node executes for ever."},
		{Name: "task-waits-for-user", Help: "A deployment on the node keeps executing while it waits for a user who never comes."},
		{Name: "html", Help: "Every answer is the HTML page of a login, with status 200, and nothing is obeyed."},
		{Name: "html-after-change", Help: "From the first accepted change on every answer is the HTML page of a login, with status 200."},
		{Name: "truncated-json", Help: "Every JSON answer is cut in half."},
		{Name: "truncated-json-after-change", Help: "From the first accepted change on every JSON answer is cut in half."},
		{Name: "key-sees-little", Help: "The key sees the tasks of one space only, and a deployment of another space executes on the node for ever."},
		{Name: "key-not-admin", Help: "The key lacks AdministerSystem, and every change answers 403."},
		{Name: "key-refused", Help: "The key is not accepted: 401."},
		{Name: "token-refused", Help: "The client logs on without a key; its access token ends after 20 min, and no other one is given."},
		{Name: "node-offline", Help: "The node (the last one if none is named) has been offline for 10 min."},
		{Name: "node-gone", Help: "The cluster has the record of one more node, OLD-NODE, unseen for 30 days."},
		{Name: "octopus-2019", Help: "An Octopus of 2019: no Version in the summary, and tasks name their node by its bare name."},
		{Name: "many-tasks", Help: "10 000 tasks are scheduled for the far future."},
		{Name: "drained-before", Help: "The node (the last one if none is named) is in drain mode already."},
		{Name: "all-drained", Help: "Every node is in drain mode already."},
		{Name: "maintenance-before", Help: "Maintenance Mode is on already."},
		{Name: "node-never-online", Help: "After its service was started the node answers 503 for ever."},
		{Name: "version-changes", Help: "After its service was started the node reports another version."},
		{Name: "lone-node-capped", Help: "All nodes but this one (the first one if none is named) have the task cap 0."},
	}
}

const (
	throttled   = 5
	gatewayEach = 7
	brokenFor   = 20 * time.Second
	scheduled   = 10_000
	farLeast    = 10 * 24 * time.Hour
	farMost     = 30 * 24 * time.Hour // Octopus schedules no further ahead
)

// strikesOne reports whether a fault that makes sense for one node at a time strikes this one: without a
// name it would strike all of them, so the given one of them stands in.
func (c *Cluster) strikesOne(name string, n, standIn *node) bool {
	everybody := true
	for _, other := range c.nodes {
		everybody = everybody && c.faults.Has(name, other.name)
	}
	return c.faults.Has(name, n.name) && (!everybody || n == standIn)
}

// prepareFaults makes the nodes what the faults say that they are from the start.
func (c *Cluster) prepareFaults() {
	first, last := c.nodes[0], c.nodes[len(c.nodes)-1]
	lone := -1
	for i, n := range c.nodes {
		n.drained = c.faults.Has("all-drained", n.name) || c.strikesOne("drained-before", n, last)
		if c.strikesOne("lone-node-capped", n, first) {
			lone = i
		}
		if c.strikesOne("node-offline", n, last) {
			n.service, n.lastSeen = stopped, c.now.Add(-10*time.Minute)
		}
	}
	for i, n := range c.nodes {
		if lone >= 0 && i != lone {
			n.taskCap = 0
		}
		n.inBalancer = n.inService()
	}
	if c.faults.Has("maintenance-before", first.name) {
		c.maintenance.on, c.maintenance.modifiedBy, c.maintenance.modifiedOn = true, "alice", c.now.Add(-2*time.Hour)
	}
	if c.faults.Has("node-gone", first.name) || c.faults.Has("node-gone", "OLD-NODE") {
		old := c.newNode("OLD-NODE", first.version)
		old.gone, old.service, old.lastSeen, old.inBalancer = true, stopped, c.now.Add(-30*24*time.Hour), false
		c.nodes = append(c.nodes, old)
	}
}

// faultyTasks adds the tasks that faults bring.
func (c *Cluster) faultyTasks() {
	r := c.draw("faulty tasks")
	endless := func(n *node, space, waits string) {
		t := c.started(c.mustWait(r), r, n)
		t.name, t.description = "Deploy", "Deploy Mainframe release 1.0.7 to Production"
		t.space, t.waits, t.endless = space, waits, true
		c.add(t)
	}
	for _, n := range c.nodes {
		if n.service != serving {
			continue
		}
		if c.faults.Has("task-never-ends", n.name) {
			endless(n, spaces[0].id, "")
		}
		if c.faults.Has("task-waits-for-user", n.name) {
			endless(n, spaces[0].id, "GuidedFailure")
		}
		if c.faults.Has("key-sees-little", n.name) {
			endless(n, spaces[1].id, "")
		}
	}
	if c.faults.Has("many-tasks", c.nodes[0].name) {
		for range scheduled {
			t := c.mustWait(r)
			t.queue = c.now.Add(between(r, farLeast, farMost))
			c.add(t)
		}
	}
}

// met counts how often a fault was met, over all nodes.
func (c *Cluster) met(name string) int {
	c.strikes[name]++
	return c.strikes[name]
}

// seesLittle reports whether the key sees the default space only.
func (c *Cluster) seesLittle() bool {
	for _, n := range c.nodes {
		if c.faults.Has("key-sees-little", n.name) {
			return true
		}
	}
	return false
}

// broken reports whether the node's GETs answer 503 now.
func (c *Cluster) broken(n *node) bool {
	return c.faults.Has("octopus-503", n.name) && c.now.Before(c.brokenUntil)
}

// breakOnce begins the time in which GETs answer 503, with the first GET.
func (c *Cluster) breakOnce(n *node) {
	if c.faults.Has("octopus-503", n.name) && c.met("octopus-503") == 1 {
		c.brokenUntil = c.now.Add(brokenFor)
		c.after(brokenFor, func() {}) // users are answered again from then on, which is noted with every event
	}
}

// nextVersion counts the last number of a version up.
func nextVersion(version string) string {
	dot := strings.LastIndexByte(version, '.') + 1
	number, err := strconv.Atoi(version[dot:])
	if err != nil {
		return version + ".1"
	}
	return version[:dot] + strconv.Itoa(number+1)
}
