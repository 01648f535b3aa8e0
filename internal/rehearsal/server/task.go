package server

import (
	"cmp"
	"slices"
	"time"
)

// The states of a task, as the API spells them.
const (
	queued     = "Queued"
	executing  = "Executing"
	cancelling = "Cancelling"
	success    = "Success"
	failed     = "Failed"
	canceled   = "Canceled"
	timedOut   = "TimedOut"
)

const (
	queuePollEvery = 20 * time.Second
	picksPerPoll   = 2 // a node takes no more at once, so that the work spreads over the nodes
	queueExpiry    = 24 * time.Hour
	adoptAfter     = time.Hour // then another node cancels what a node that is gone has left
)

// task is one Octopus task.
type task struct {
	number      int
	name        string
	description string
	space       string // empty for a system task
	state       string
	node        *node // that has it, or had it
	queue       time.Time
	expiry      time.Time
	start       time.Time
	completed   time.Time
	length      time.Duration // once it is picked up
	endless     bool
	waits       string // the type of the interruption that waits for a user, or empty
	problem     string
	killed      string // the problem that a stopped node leaves behind until it is back
	finishing   int    // the plan to finish that counts; an older one is void
}

func (t *task) active() bool { return t.state == executing || t.state == cancelling }
func (t *task) open() bool   { return t.active() || t.state == queued }

// ofUsers tells deployments and runbook runs from what Octopus does by itself.
func (t *task) ofUsers() bool { return t.name == "Deploy" || t.name == "RunbookRun" }

// firstTask is the number of the oldest task that there is.
const firstTask = 4001

// add takes the task into the database, Queued since now unless it says otherwise.
func (c *Cluster) add(t task) *task {
	t.number = firstTask + len(c.tasks)
	t.state = cmp.Or(t.state, queued)
	if t.queue.IsZero() {
		t.queue = c.now
	}
	if t.expiry.IsZero() {
		t.expiry = t.queue.Add(queueExpiry)
	}
	c.tasks = append(c.tasks, &t)
	c.store("task "+t.id(), t.state)
	enter := func() {
		if t.open() { // it may have been canceled before it was due
			c.due = append(c.due, &t)
		}
	}
	if t.queue.After(c.now) {
		c.after(t.queue.Sub(c.now), enter)
	} else {
		enter()
	}
	return &t
}

// pollQueue chains the node's polls of the queue, the next one after d.
func (c *Cluster) pollQueue(n *node, d time.Duration) {
	n.queuePoll++
	this := n.queuePoll
	var poll func()
	poll = func() {
		if n.queuePoll != this || n.service != serving {
			return
		}
		c.pickUp(n)
		c.after(queuePollEvery, poll)
	}
	c.after(d, poll)
}

// pickUp starts queued tasks that are due, oldest first, while the node is not drained and has a free slot.
func (c *Cluster) pickUp(n *node) {
	if n.drained {
		return
	}
	free := min(n.taskCap-c.running(n), picksPerPoll)
	for _, t := range slices.Clone(c.due) {
		if free <= 0 {
			return
		}
		switch {
		case t.state != queued || t.waits != "":
		case t.node != nil && t.node != n: // a task that was paused resumes on its own node (OctopusDeploy/Issues#6372)
		case !t.expiry.After(c.now):
			c.end(t, timedOut, "The task was not started before its time in the queue ended.")
		default:
			c.begin(t, n)
			free--
		}
	}
}

// begin lets the node execute the task.
func (c *Cluster) begin(t *task, n *node) {
	t.state, t.node = executing, n
	c.store("task "+t.id(), t.state)
	if t.start.IsZero() {
		t.start = c.now
	}
	if !t.endless {
		c.finishAfter(t, t.length)
	}
}

// finishAfter plans the end of a task that executes, in place of an earlier plan.
func (c *Cluster) finishAfter(t *task, d time.Duration) {
	t.finishing++
	this := t.finishing
	c.after(d, func() {
		if t.finishing != this {
			return
		}
		switch {
		case t.state == cancelling:
			c.end(t, canceled, "The task was canceled.")
		case c.draw("outcome", t.number).IntN(12) == 0:
			c.end(t, failed, "The step \"Deploy package\" failed.")
		default:
			c.end(t, success, "")
		}
	})
}

func (c *Cluster) end(t *task, state, problem string) {
	t.finishing++
	t.state, t.problem, t.completed, t.waits = state, problem, c.now, ""
	c.store("task "+t.id(), t.state)
	c.due = slices.DeleteFunc(c.due, func(d *task) bool { return d == t })
}

// running counts what the node executes or cancels, system tasks included.
func (c *Cluster) running(n *node) int { return len(c.activeOn(n)) }

func (c *Cluster) activeOn(n *node) []*task {
	var list []*task
	for _, t := range c.due {
		if t.active() && t.node == n {
			list = append(list, t)
		}
	}
	return list
}

// cancel asks for the end of a task. What executes is canceled by its own node, a while later.
func (c *Cluster) cancel(t *task) {
	if t.state == queued {
		c.end(t, canceled, "The task was canceled.")
		return
	}
	t.state = cancelling
	c.store("task "+t.id(), t.state)
	t.waits = ""
	if t.node.service == serving {
		c.finishAfter(t, between(c.draw("cancel", t.number), 3*time.Second, 12*time.Second))
	}
}

// killTasks: the process is gone and nothing works on its tasks, yet they look as before until it is back.
// The texts are those that the vendor's script for running them again looks for.
func (c *Cluster) killTasks(n *node, clean bool) {
	problem := "The Octopus Server process that was executing the task was terminated unexpectedly."
	if clean {
		problem = "The Octopus Server process that was executing the task was shutdown."
	}
	for _, t := range c.activeOn(n) {
		if t.killed == "" {
			t.finishing++
			t.killed = problem
		}
	}
	this := n.starts
	c.after(adoptAfter, func() {
		others := slices.ContainsFunc(c.nodes, func(o *node) bool { return o != n && o.service == serving })
		if n.service == stopped && n.starts == this && others {
			c.cancelLeftovers(n)
		}
	})
}

// cancelLeftovers ends the tasks that a process has left behind.
func (c *Cluster) cancelLeftovers(n *node) {
	for _, t := range c.activeOn(n) {
		if t.killed != "" {
			c.end(t, canceled, t.killed)
		}
	}
}
