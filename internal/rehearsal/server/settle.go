package server

import (
	"math/rand/v2"
	"slices"
	"time"
)

// How long a drain, or the emptying of the queue in Maintenance Mode, is going to take is drawn at the moment
// at which it begins. Otherwise it would hang on the second at which a client happens to ask, which differs
// between two speeds of the clock, and no two runs of a seed could be compared.
const (
	settleLeast = 60 * time.Second
	settleMost  = 200 * time.Second
)

// settleForDrain draws how long the tasks of a node that has just been drained still run. In normal work at
// least one deployment runs then; in Maintenance Mode the node may be idle.
func (c *Cluster) settleForDrain(n *node) {
	if n.service != serving {
		return
	}
	r := c.draw("drain", n.name, n.drains)
	if !c.maintenance.on {
		c.busy(n, r)
	}
	c.redraw(n, r, settleLeast, settleMost)
}

// settleForMaintenance does so for the whole cluster, and sees that something is queued: Maintenance Mode
// does not stop it.
func (c *Cluster) settleForMaintenance() {
	c.maintenance.switches++
	r := c.draw("maintenance", c.maintenance.switches)
	var due []*task
	for _, t := range c.due {
		if t.state == queued && t.waits == "" && t.node == nil && t.ofUsers() {
			due = append(due, t)
		}
	}
	if len(due) == 0 {
		due = append(due, c.add(c.mustWait(r)))
	}
	for i, t := range due {
		t.length = fraction(r, i, between(r, settleLeast, settleMost/2))
	}
	for _, n := range c.nodes {
		if n.service == serving && !n.drained && n.taskCap > 0 {
			c.busy(n, r)
			c.redraw(n, r, settleLeast, settleMost/2)
			c.pollQueue(n, between(r, queuePollEvery/4, queuePollEvery))
		}
	}
	c.arrive("arrivals in Maintenance Mode", c.maintenance.switches, 15*time.Second)
}

// busy lets a deployment begin on the node when none runs there.
func (c *Cluster) busy(n *node, r *rand.Rand) {
	if n.taskCap == 0 || slices.ContainsFunc(c.activeOn(n), (*task).ofUsers) {
		return
	}
	c.begin(c.add(c.mustWait(r)), n)
}

// redraw draws anew how long each task on the node still executes; the longest is drawn from least to most.
func (c *Cluster) redraw(n *node, r *rand.Rand, least, most time.Duration) {
	longest := between(r, least, most)
	users := 0
	for _, t := range c.activeOn(n) {
		switch {
		case t.endless || t.state != executing || t.waits != "":
		case t.ofUsers():
			c.finishAfter(t, fraction(r, users, longest))
			users++
		default:
			c.finishAfter(t, between(r, 5*time.Second, 15*time.Second))
		}
	}
}

// fraction is the whole for the first of several tasks and less for the others.
func fraction(r *rand.Rand, i int, whole time.Duration) time.Duration {
	if i == 0 {
		return whole
	}
	return between(r, whole/4, whole*3/4)
}
