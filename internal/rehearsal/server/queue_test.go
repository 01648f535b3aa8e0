package server

import (
	"testing"
	"time"
)

func TestTheQueueIsWorkedOff(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	most := 0
	for range 240 {
		w.pass(time.Minute)
		s := w.Snapshot()
		most = max(most, s.Queued)
		for _, n := range s.Nodes {
			if len(n.Running) > n.TaskCap {
				t.Fatalf("%s runs %d tasks with a cap of %d", n.Name, len(n.Running), n.TaskCap)
			}
		}
	}
	if most > 12 {
		t.Errorf("%d tasks were due and waited", most)
	}
	system := int(w.get("/api/tasks?spaces=none&includeSystem=true&take=1", 200)["TotalResults"].(float64))
	if system < 200 {
		t.Errorf("%d system tasks in 4 h", system)
	}
}

func TestAnAnsweredTaskResumesOnItsOwnNode(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	w.drain("ONE", true, 200)
	w.mu.Lock()
	var paused *task
	for _, candidate := range w.due {
		if candidate.waits != "" {
			paused = candidate
			candidate.waits = "" // a user answers
		}
	}
	w.mu.Unlock()
	if paused == nil {
		t.Fatal("no task is paused")
	}
	url := "/api/tasks/" + paused.id()
	w.pass(10 * time.Minute)
	if got := w.get(url, 200); got["State"] != "Queued" {
		t.Errorf("while its node is drained: %v on %v", got["State"], got["ServerNode"])
	}
	w.drain("ONE", false, 200)
	w.pass(queuePollEvery)
	if got := w.get(url, 200); got["State"] != "Executing" || got["ServerNode"] != "OctopusServerNodes-ONE" {
		t.Errorf("afterwards: %v on %v", got["State"], got["ServerNode"])
	}
}

func TestATaskThatNobodyStartsInADayTimesOut(t *testing.T) {
	t.Parallel()
	w := begin(t, "all-drained", "LONE")
	w.pass(time.Minute)
	var oldest Task
	w.mu.Lock()
	for _, candidate := range w.due {
		if candidate.state == queued && candidate.waits == "" && oldest.ID == "" {
			oldest = candidate.plain()
		}
	}
	w.mu.Unlock()
	w.pass(queueExpiry)
	w.DrainLocal("LONE", false)
	w.pass(queuePollEvery + noticeMost)
	if got := w.get("/api/tasks/"+oldest.ID, 200); got["State"] != "TimedOut" || got["IsCompleted"] != true || got["StartTime"] != nil || got["Duration"] != "" {
		t.Errorf("%v", got)
	}
}
