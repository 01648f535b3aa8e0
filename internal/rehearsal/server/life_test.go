package server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestADrainedNodeFinishesAndPicksNothingUp(t *testing.T) {
	t.Parallel()
	for seed := range int64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := begin(t, "")
			w.seed = seed
			w.pass(time.Duration(seed) * 47 * time.Second)
			w.drain("TWO", true, 200)
			began := w.Snapshot().Time
			mine := map[string]bool{}
			for _, task := range w.nodeNow("TWO").Running {
				mine[task.ID] = true
			}
			if len(mine) == 0 {
				t.Fatal("nothing runs on the node")
			}
			for len(w.nodeNow("TWO").Running) > 0 {
				for _, task := range w.nodeNow("TWO").Running {
					if !mine[task.ID] {
						t.Fatalf("the drained node picked up %v", task)
					}
				}
				w.pass(time.Second)
			}
			if took := w.Snapshot().Time.Sub(began); took < settleLeast-time.Second || took > settleMost+time.Second {
				t.Errorf("the drain took %v", took)
			}
			w.pass(10 * time.Minute)
			if got := w.nodeNow("TWO").Running; len(got) > 0 {
				t.Errorf("a drained node runs %v", got)
			}
			w.drain("TWO", false, 200)
			picked := false
			for range 600 {
				w.pass(time.Second)
				picked = picked || len(w.nodeNow("TWO").Running) > 0
			}
			if !picked {
				t.Error("the node picked nothing up in 10 min after its drain")
			}
			if got := w.Downtime(); len(got) > 0 {
				t.Errorf("users were not answered: %v", got)
			}
		})
	}
}

func TestMaintenanceModeDoesNotEmptyTheQueue(t *testing.T) {
	t.Parallel()
	w := begin(t, "", "LONE")
	w.maintain(true, 200)
	entered := w.Snapshot().Time
	if w.get("/api/serverstatus", 200)["IsInMaintenanceMode"] != true || w.get("/api/maintenanceconfiguration", 200)["IsInMaintenanceMode"] != true {
		t.Error("the flag is not on in both places")
	}
	if w.get(nodesPath+"/ping", 200)["IsInMaintenanceMode"] != false {
		t.Error("ping shows Maintenance Mode, which it must not: there the flag is drain")
	}
	queuedThen := map[string]bool{}
	for _, task := range w.openTasks() {
		if task["State"] == "Queued" && task["StartTime"] == nil {
			queuedThen[task["Id"].(string)] = true
		}
	}
	startedLater, arrived := 0, 0
	for range 40 {
		w.pass(5 * time.Second)
		for _, task := range w.openTasks() {
			id := task["Id"].(string)
			if task["State"] == "Executing" && task["SpaceId"] != nil && queuedThen[id] {
				startedLater++
				delete(queuedThen, id)
			}
			if at, _ := time.Parse(time.RFC3339, task["QueueTime"].(string)); at.After(entered) && at.Before(entered.Add(20*time.Minute)) && task["SpaceId"] != nil {
				arrived++
			}
		}
	}
	if startedLater == 0 || arrived == 0 {
		t.Errorf("%d queued tasks began, %d arrived", startedLater, arrived)
	}
	w.maintain(false, 200)
	if w.Snapshot().Maintenance {
		t.Error("still on")
	}
	if got := w.Downtime(); len(got) > 0 {
		t.Errorf("Maintenance Mode is no downtime: %v", got)
	}
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	before := w.NodeURL("TWO")
	w.drain("TWO", true, 200)
	w.pass(4 * time.Minute)
	w.ServiceStopped("TWO", true)
	if status, _, _ := w.ask("GET", w.NodeURL("TWO")+"/api", nil); status != 0 {
		t.Errorf("a stopped node answers %d", status)
	}
	if w.summaryOf("TWO")["IsOffline"] != true {
		t.Error("a clean stop does not flag the node offline")
	}
	w.pass(15 * time.Minute)
	w.ServiceStarted("TWO")
	w.ServiceStarted("TWO") // again, as a watchdog does
	started := w.Snapshot().Time
	if status, _, _ := w.ask("GET", w.NodeURL("TWO")+nodesPath+"/ping", nil); status != 503 {
		t.Errorf("a starting node answers %d", status)
	}
	if w.NodeURL("TWO") != before {
		t.Error("the address changed")
	}
	for !w.nodeNow("TWO").Serving {
		w.pass(time.Second)
	}
	if took := w.Snapshot().Time.Sub(started); took < startLeast || took > startMost+time.Second {
		t.Errorf("it answered 503 for %v", took)
	}
	if got := w.getAt(w.NodeURL("TWO"), nodesPath+"/ping", 418); got["Name"] != "TWO" {
		t.Errorf("ping: %v", got)
	}
	seen, _ := time.Parse(time.RFC3339, w.summaryOf("TWO")["LastSeen"].(string))
	if w.summaryOf("TWO")["IsOffline"] != false || seen.Before(started) {
		t.Errorf("after the start: %v", w.summaryOf("TWO"))
	}
	w.drain("TWO", false, 200)
	w.getAt(w.NodeURL("TWO"), nodesPath+"/ping", 200)
	w.pass(noticeMost)
	if !w.nodeNow("TWO").InBalancer {
		t.Error("the balancer did not take the node back")
	}
	if got := w.Downtime(); len(got) > 0 {
		t.Errorf("users were not answered: %v", got)
	}
	if killed := w.Snapshot().Killed; len(killed) > 0 {
		t.Errorf("killed: %v", killed)
	}
}

func TestWhatACrashLeaves(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		clean   bool
		problem string
	}{
		{true, "process that was executing the task was shutdown"},
		{false, "was terminated unexpectedly"},
	} {
		w := begin(t, "")
		w.ServiceStopped("ONE", c.clean)
		if got := w.summaryAt("TWO", "ONE")["IsOffline"]; got != c.clean {
			t.Errorf("offline at once: %v, clean stop: %v", got, c.clean)
		}
		killed := w.Snapshot().Killed
		if len(killed) == 0 || w.summaryAt("TWO", "ONE")["RunningTaskCount"].(float64) == 0 {
			t.Fatalf("killed: %v", killed)
		}
		w.pass(5*time.Minute + 11*time.Second)
		if w.summaryOf("ONE")["IsOffline"] != true {
			t.Error("not offline after 5 min")
		}
		if got := w.get("/api/tasks/"+killed[0].ID, 200); got["State"] != "Executing" {
			t.Errorf("before the node is back: %v", got["State"])
		}
		w.ServiceStarted("ONE")
		w.pass(startMost)
		got := w.get("/api/tasks/"+killed[0].ID, 200)
		if got["State"] != "Canceled" || !strings.Contains(got["ErrorMessage"].(string), c.problem) {
			t.Errorf("after it is back: %v %v", got["State"], got["ErrorMessage"])
		}
	}
}

// summaryAt asks a certain node, because the balancer may not have noticed yet.
func (w *world) summaryAt(at, name string) object {
	w.t.Helper()
	for _, n := range items(w.getAt(w.NodeURL(at), nodesPath+"/summary", 200), "Nodes") {
		if n["Name"] == name {
			return n
		}
	}
	return nil
}

func TestAnotherNodeCancelsAfterAnHour(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	w.ServiceStopped("ONE", false)
	killed := w.Snapshot().Killed
	w.pass(59 * time.Minute)
	if got := w.get("/api/tasks/"+killed[0].ID, 200)["State"]; got != "Executing" {
		t.Errorf("after 59 min: %v", got)
	}
	w.pass(2 * time.Minute)
	if got := w.get("/api/tasks/"+killed[0].ID, 200)["State"]; got != "Canceled" {
		t.Errorf("after 61 min: %v", got)
	}
}

func TestTheBalancerDropsADrainedSingleServer(t *testing.T) {
	t.Parallel()
	w := begin(t, "", "LONE")
	w.drain("LONE", true, 200)
	w.pass(noticeMost)
	status, header, _ := w.ask("GET", w.URL()+"/api", nil)
	if status != 503 || !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
		t.Errorf("%d %s", status, header.Get("Content-Type"))
	}
	if got := w.getAt(w.NodeURL("LONE"), "/api/serverstatus/health", 418)["IsEntireClusterDrainingTasks"]; got != true {
		t.Errorf("health: %v", got)
	}
	w.ServiceStopped("LONE", true)
	w.pass(10 * time.Minute)
	w.DrainLocal("LONE", false)
	w.ServiceStarted("LONE")
	w.pass(startMost + noticeMost)
	w.get("/api", 200)
	down := w.Downtime()
	if len(down) != 1 || down[0].To.Sub(down[0].From) < 10*time.Minute || down[0].To.Sub(down[0].From) > 11*time.Minute {
		t.Errorf("downtime: %v", down)
	}
	if diff := cmp.Diff([]string{"LONE octopus drain: applied", "LONE octopus local undrain: applied"}, w.fates()); diff != "" {
		t.Error(diff)
	}
}

func TestACrashIsDowntimeUntilTheBalancerNotices(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	w.ServiceStopped("ONE", false)
	failures := 0
	for range 6 {
		if status, _, _ := w.ask("GET", w.URL()+"/api", nil); status == 502 {
			failures++
		}
	}
	if failures != 2 {
		t.Errorf("%d of 6 requests went to the dead node", failures)
	}
	if now := w.Downtime(); len(now) != 1 || now[0].To != now[0].From {
		t.Errorf("downtime that lasts: %v", now)
	}
	w.pass(time.Minute)
	down := w.Downtime()
	if len(down) != 1 || down[0].To.Sub(down[0].From) > noticeMost || down[0].To.Sub(down[0].From) < noticeLeast {
		t.Errorf("downtime: %v", down)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	open := w.openTasks()
	for _, task := range open {
		url := "/api/tasks/" + task["Id"].(string)
		status, _, text := w.ask(http.MethodPost, w.URL()+url+"/cancel", nil)
		got := w.parse(url, status, 200, text)["State"]
		if want := map[any]string{"Queued": "Canceled", "Executing": "Cancelling"}[task["State"]]; got != want {
			t.Errorf("%v becomes %v, want %s", task["State"], got, want)
		}
	}
	w.pass(15 * time.Second)
	for _, task := range open {
		url := "/api/tasks/" + task["Id"].(string)
		if got := w.get(url, 200); got["State"] != "Canceled" || got["IsCompleted"] != true || got["CompletedTime"] == nil {
			t.Errorf("in the end: %v", got)
		}
		if status, _, _ := w.ask(http.MethodPost, w.URL()+url+"/cancel", nil); status != 400 {
			t.Errorf("a second cancel: %d", status)
		}
	}
	if got := w.log.Writes(); got[0].What != "octopus cancel task" || got[0].Fate != "applied" || got[len(open)].Fate != "refused" {
		t.Errorf("recorded: %v", got)
	}
}

func TestAPutWithoutATaskCapResetsIt(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	id := "OctopusServerNodes-ONE"
	if got := w.put(nodesPath+"/"+id, object{"Id": id, "IsInMaintenanceMode": true}, 200); got["MaxConcurrentTasks"] != float64(0) {
		t.Errorf("%v", got)
	}
	if got := w.log.Writes()[0]; got.Detail != "task cap 5 becomes 0" || got.What != "octopus drain" {
		t.Errorf("recorded: %v", got)
	}
}
