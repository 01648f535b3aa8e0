package procedure

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ignorable names the system tasks that Octopus can cancel at any time without loss. Octopus documents that
// such tasks exist but not their names; this list is inferred from the clients' sources and unverified, so
// any name that is not on it is waited for.
var ignorable = []string{
	"Health", "Retention", "SyncCommunityActionTemplates", "ProcessExternalFeedTriggers", "RecurringScheduledDeployments",
	"SynchronizeExternalSecurityGroupsForUsers", "SynchronizeBuiltInPackageRepositoryIndex", "ProcessSubscriptions",
	"ConfigureLetsEncrypt", "TestEmail", "TestAccount", "TestAzureAccount",
}

// Ignorable reports whether the task need not be waited for.
func Ignorable(t Task, also []string) bool {
	same := func(name string) bool { return strings.EqualFold(name, t.Name) }
	return slices.ContainsFunc(ignorable, same) || slices.ContainsFunc(also, same)
}

// Active reports whether a node works on the task.
func (t Task) Active() bool { return t.State == "Executing" || t.State == "Cancelling" }

// On reports whether the task belongs to the node: newer servers tell the node's id, older ones its name.
func (t Task) On(n NodeState) bool { return t.Node != "" && (t.Node == n.ID || t.Node == n.Name) }

// Paused reports whether the task was started, waits for a human and holds no slot meanwhile.
func (t Task) Paused() bool { return t.State == "Queued" && (t.WaitsForUser || !t.StartTime.IsZero()) }

// String names the task for people.
func (t Task) String() string {
	text := t.ID + " " + t.Name
	if t.Description != "" {
		text += " \"" + t.Description + "\""
	}
	return text
}

// load is what one look at Octopus says about the work of a node.
type load struct {
	node    NodeState
	must    []Task // Executing or Cancelling on the node, and not ignorable
	waiting []Task // those of must that wait for a human
	ignored []Task // Executing or Cancelling on the node, ignorable
	paused  []Task // put back to the queue until a human answers; they resume on this node
	queued  []Task // anybody's: Queued and due
	later   []Task // anybody's: Queued for later
	unseen  int    // running tasks that the node counts and the list does not show
}

// weigh sorts the tasks; due is the moment until which a queued task counts as due.
func weigh(node NodeState, tasks []Task, due time.Time, rules Rules) load {
	l := load{node: node}
	for _, t := range tasks {
		switch {
		case t.Active() && t.On(node) && Ignorable(t, rules.IgnoreTasks):
			l.ignored = append(l.ignored, t)
		case t.Active() && t.On(node):
			l.must = append(l.must, t)
			if t.WaitsForUser {
				l.waiting = append(l.waiting, t)
			}
		case t.Paused():
			if t.On(node) {
				l.paused = append(l.paused, t)
			}
		case t.State == "Queued" && Ignorable(t, rules.IgnoreTasks):
		case t.State == "Queued" && !t.QueueTime.After(due):
			l.queued = append(l.queued, t)
		case t.State == "Queued":
			l.later = append(l.later, t)
		}
	}
	l.unseen = max(0, node.Running-len(l.must)-len(l.ignored))
	return l
}

// idle: nothing that must be waited for is listed, and the node counts no more than what is listed.
func (l load) idle() bool { return len(l.must) == 0 && l.unseen == 0 }

// holdups names what keeps the node busy.
func (l load) holdups() string {
	if len(l.must) == 0 && l.unseen > 0 {
		return fmt.Sprintf("%d running tasks that the key cannot see", l.unseen)
	}
	return Names(l.must)
}

// Names lists tasks for people, the first three by name.
func Names(tasks []Task) string {
	const most = 3
	var names []string
	for i, t := range tasks {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(tasks)-most))
			break
		}
		names = append(names, t.String())
	}
	return strings.Join(names, ", ")
}

// HoldsDrain lists the tasks that a drain of the node would wait for now, and those that wait for a human.
func HoldsDrain(node NodeState, tasks []Task, rules Rules) (must, waiting []Task) {
	l := weigh(node, tasks, time.Time{}, rules)
	return l.must, l.waiting
}

// Unseen is the number of running tasks that the node counts and the list does not show.
func Unseen(node NodeState, tasks []Task, rules Rules) int {
	return weigh(node, tasks, time.Time{}, rules).unseen
}

// FindNode returns the node of that name.
func FindNode(nodes []NodeState, name string) (NodeState, bool) {
	i := slices.IndexFunc(nodes, func(n NodeState) bool { return strings.EqualFold(n.Name, name) })
	if i < 0 {
		return NodeState{}, false
	}
	return nodes[i], true
}
