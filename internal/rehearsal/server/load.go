package server

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The load: modest, so that a drain takes one to four minutes.
const (
	taskLeast       = 60 * time.Second
	taskMost        = 240 * time.Second
	arrivalsPerNode = 110 * time.Second // on average one task of users in that time, for each node
	finishedBefore  = 60                // tasks that are history when the world begins
	triggersOutOf   = 4                 // one of so many arrivals comes from a trigger, which Maintenance Mode does not stop
)

// spaces are those of the installation; the first one is the default space.
var spaces = []struct{ id, name string }{{"Spaces-1", "Default"}, {"Spaces-2", "Platform"}, {"Spaces-3", "Data"}}

// recurring are the system tasks that come for ever.
var recurring = []struct {
	name, description string
	every             time.Duration
	least, most       time.Duration
}{
	{"RecurringScheduledDeployments", "Process scheduled triggers", time.Minute, 3 * time.Second, 8 * time.Second},
	{"ProcessExternalFeedTriggers", "Process external feed triggers", 90 * time.Second, 4 * time.Second, 9 * time.Second},
	{"SynchronizeBuiltInPackageRepositoryIndex", "Synchronize built-in package repository index", 5 * time.Minute, 8 * time.Second, 25 * time.Second},
	{"Retention", "Apply retention policies", 20 * time.Minute, 20 * time.Second, 50 * time.Second},
}

// arrivals is the stream of tasks that users and triggers queue.
type arrivals struct {
	random *rand.Rand
	chain  int // the chain of arrivals that counts
}

// userTask draws a task of a user.
func (c *Cluster) userTask(r *rand.Rand) task {
	t := task{space: spaces[r.IntN(len(spaces))].id, length: between(r, taskLeast, taskMost)}
	project := []string{"Web shop", "Billing", "Warehouse", "Identity"}[r.IntN(4)]
	switch r.IntN(10) {
	case 0, 1:
		t.name, t.description, t.length = "Health", "Check health of machines in machine policy Default", t.length/4
	case 2, 3, 4:
		t.name, t.description = "RunbookRun", fmt.Sprintf("Run runbook Rotate certificates of %s in Production", project)
	default:
		t.name, t.description = "Deploy", fmt.Sprintf("Deploy %s release 4.%d.%d to Production", project, r.IntN(20), r.IntN(40))
	}
	return t
}

// mustWait is userTask, but always a deployment or a runbook run, for which a drain has to wait.
func (c *Cluster) mustWait(r *rand.Rand) task {
	t := c.userTask(r)
	if !t.ofUsers() {
		t.name, t.description, t.length = "Deploy", "Deploy Web shop release 4.2.1 to Production", t.length*4
	}
	return t
}

// prepare makes the world as it is when nobody has touched it yet.
func (c *Cluster) prepare() {
	c.addHistory()
	c.prepareFaults()
	for i, n := range c.nodes {
		if n.service != serving {
			continue
		}
		r := c.draw("before", n.name)
		if !n.drained && n.taskCap > 0 {
			for k := range 2 - i%2 {
				t := c.add(c.started(c.mustWait(r), r, n))
				c.finishAfter(t, between(r, 40*time.Second, time.Duration(200-60*k)*time.Second))
			}
		}
		c.pollQueue(n, between(r, time.Second, queuePollEvery))
	}
	c.addWaiting()
	c.faultyTasks()
	c.arrive("arrivals", 0, between(c.draw("first arrival"), 10*time.Second, 40*time.Second))
	for i := range recurring {
		c.recur(i)
	}
}

// started makes the task one that was begun on the node some time before the world.
func (c *Cluster) started(t task, r *rand.Rand, n *node) task {
	t.start = c.now.Add(-between(r, 10*time.Second, 3*time.Minute))
	t.queue = t.start.Add(-between(r, time.Second, queuePollEvery))
	t.state, t.node = executing, n
	return t
}

// addHistory adds what has ended in the past days.
func (c *Cluster) addHistory() {
	r := c.draw("history")
	for i := range finishedBefore {
		t := c.userTask(r)
		if i%5 == 0 {
			system := recurring[r.IntN(len(recurring))]
			t.name, t.description, t.space = system.name, system.description, ""
		}
		t.queue = c.now.Add(-time.Duration(finishedBefore-i)*time.Hour - between(r, 0, 30*time.Minute))
		t.start = t.queue.Add(between(r, time.Second, queuePollEvery))
		t.completed = t.start.Add(t.length)
		t.node = c.nodes[r.IntN(len(c.nodes))]
		t.state = success
		switch r.IntN(10) {
		case 0:
			t.state, t.problem = failed, "The step \"Deploy package\" failed."
		case 1:
			t.state, t.problem = canceled, "The task was canceled."
		case 2:
			t.state, t.problem = timedOut, "The task was not started before its time in the queue ended."
			t.start, t.node = time.Time{}, nil
		}
		c.add(t)
	}
}

// addWaiting adds what is Queued: scheduled for later, paused for a human, and due.
func (c *Cluster) addWaiting() {
	r := c.draw("waiting")
	for _, in := range []time.Duration{30 * time.Minute, 2 * time.Hour} {
		t := c.mustWait(r)
		t.queue = c.now.Add(in)
		t.expiry = t.queue.Add(time.Hour)
		c.add(t)
	}
	paused := c.started(c.mustWait(r), r, c.nodes[0])
	paused.state, paused.waits = queued, "ManualIntervention" // it gave its slot back and stays tied to its node
	c.add(paused)
	c.add(c.mustWait(r))
}

// arrive chains arrivals, the first of them after d. In Maintenance Mode users cannot queue anything, but
// triggers still do; with no node that serves there is nobody to ask.
func (c *Cluster) arrive(purpose string, nth int, d time.Duration) {
	c.arrivals.random = c.draw(purpose, nth)
	c.arrivals.chain++
	this := c.arrivals.chain
	first := nth > 0
	var next func()
	next = func() {
		if c.arrivals.chain != this {
			return
		}
		r := c.arrivals.random
		t, trigger := c.userTask(r), r.IntN(triggersOutOf) == 0
		if first {
			t, trigger, first = c.mustWait(r), true, false
		}
		if c.anyServing() && (!c.maintenance.on || trigger) {
			c.add(t)
		}
		mean := arrivalsPerNode / time.Duration(len(c.nodes))
		c.after(between(r, mean/2, mean*3/2), next)
	}
	c.after(d, next)
}

// recur queues a system task at its interval, unless the one before it still waits.
func (c *Cluster) recur(i int) {
	kind := recurring[i]
	r := c.draw("recurring", kind.name)
	var last *task
	var next func()
	next = func() {
		if c.anyServing() && (last == nil || last.state != queued) {
			last = c.add(task{name: kind.name, description: kind.description, length: between(r, kind.least, kind.most)})
		}
		c.after(kind.every, next)
	}
	c.after(between(r, time.Second, kind.every), next)
}

func (c *Cluster) anyServing() bool {
	for _, n := range c.nodes {
		if n.service == serving {
			return true
		}
	}
	return false
}
