package procedure

import (
	"testing"
	"time"
)

// TestAnnounceListsWhatFallsInsideTheWindow: by QueueTime, both ends included, and nothing before a later window.
func TestAnnounceListsWhatFallsInsideTheWindow(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	from := now.Add(10 * time.Hour)
	at := func(id string, queue time.Time) Task { return Task{ID: id, State: "Queued", QueueTime: queue} }
	tasks := []Task{
		at("before", from.Add(-time.Second)), at("begin", from), at("inside", from.Add(time.Hour)), at("end", from.Add(2*time.Hour)), at("after", from.Add(2*time.Hour+time.Second)),
		{ID: "human", State: "Queued", WaitsForUser: true, QueueTime: from}, {ID: "running", State: "Executing", QueueTime: from},
	}
	n := Announce(Notice{Topology: Single}, tasks, Rules{WindowStart: from, WindowLength: 2 * time.Hour}, now)
	got := ""
	for _, task := range n.Scheduled {
		got += task.ID + " "
	}
	if got != "begin inside end " || len(n.Waiting) != 1 || n.Waiting[0].ID != "human" {
		t.Errorf("scheduled %q, waiting %v", got, n.Waiting)
	}
}
