package procedure

import (
	"testing"
	"time"
)

func TestWeighTasks(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	node := NodeState{ID: "OctopusServerNodes-A", Name: "A", Running: 3}
	tasks := []Task{
		{ID: "1", Name: "Deploy", State: "Executing", Node: node.ID},
		{ID: "2", Name: "RunbookRun", State: "Cancelling", Node: "A"}, // old servers tell the bare name
		{ID: "3", Name: "Health", State: "Executing", Node: node.ID},
		{ID: "4", Name: "Deploy", State: "Executing", Node: "OctopusServerNodes-B"},
		{ID: "5", Name: "Deploy", State: "Queued", QueueTime: now.Add(-time.Minute)},
		{ID: "6", Name: "Deploy", State: "Queued", QueueTime: now.Add(time.Hour)},
		{ID: "7", Name: "Deploy", State: "Queued", StartTime: now.Add(-time.Hour), Node: node.ID, WaitsForUser: true},
		{ID: "8", Name: "Retention", State: "Queued", QueueTime: now.Add(-time.Minute)},
		{ID: "9", Name: "SomethingNew", State: "Executing", Node: "OctopusServerNodes-AB"},
	}
	l := weigh(node, tasks, now, Rules{})
	for _, c := range []struct {
		what string
		got  []Task
		want string
	}{
		{"must", l.must, "1 2"}, {"ignored", l.ignored, "3"}, {"queued", l.queued, "5"}, {"later", l.later, "6"}, {"paused", l.paused, "7"},
	} {
		got := ""
		for i, task := range c.got {
			if i > 0 {
				got += " "
			}
			got += task.ID
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, got, c.want)
		}
	}
	if l.unseen != 0 || l.idle() {
		t.Errorf("unseen %d, idle %t; want 0, false", l.unseen, l.idle())
	}
	node.Running = 5
	if got := Unseen(node, tasks, Rules{}); got != 2 {
		t.Errorf("a node that counts 5 and shows 3: unseen %d, want 2", got)
	}
}

// TestUnknownTasksAreAwaited: a name that is not on the list of ignorable ones holds the drain.
func TestUnknownTasksAreAwaited(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		also []string
		want bool
	}{
		{"Deploy", nil, false}, {"NeverHeardOf", nil, false}, {"Health", nil, true}, {"health", nil, true},
		{"NeverHeardOf", []string{"neverheardof"}, true}, {"SystemIntegrityCheck", nil, false},
	} {
		if got := Ignorable(Task{Name: c.name}, c.also); got != c.want {
			t.Errorf("%s also %v: got %t, want %t", c.name, c.also, got, c.want)
		}
	}
}
