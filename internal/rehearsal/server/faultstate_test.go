package server

import (
	"strings"
	"testing"
	"time"
)

func seesLittle(t *testing.T) {
	w := begin(t, "key-sees-little@TWO")
	w.drain("TWO", true, 200)
	w.pass(10 * time.Minute)
	for _, task := range w.openTasks() {
		if task["SpaceId"] != nil && task["SpaceId"] != "Spaces-1" {
			t.Errorf("the key sees %v", task)
		}
		if task["ServerNode"] == "OctopusServerNodes-TWO" && task["State"] == "Executing" {
			t.Errorf("the key sees %v", task)
		}
	}
	if got := w.summaryOf("TWO")["RunningTaskCount"]; got != float64(1) {
		t.Errorf("the node counts %v", got)
	}
	w.get("/api/tasks/"+w.nodeNow("TWO").Running[0].ID, 404)
}

func notAdmin(t *testing.T) {
	w := begin(t, "key-not-admin")
	for _, p := range w.get("/api/users/Users-21/permissions", 200)["SystemPermissions"].([]any) {
		if p == "AdministerSystem" {
			t.Error("the key has AdministerSystem")
		}
	}
	w.get("/api/serverstatus/system-info", 403)
	w.drain("ONE", true, 403)
	w.maintain(true, 403)
	w.get("/api/tasks", 200)
	if got := w.fates(); len(got) != 2 || got[0] != "ONE octopus drain: refused" {
		t.Errorf("recorded: %v", got)
	}
}

func keyRefused(t *testing.T) {
	w := begin(t, "key-refused")
	w.get("/api", 200)
	w.get("/api/users/me", 401)
	w.maintain(true, 401)
}

func nodeOffline(t *testing.T) {
	w := begin(t, "node-offline")
	got := w.summaryOf("THREE")
	seen, _ := time.Parse(time.RFC3339, got["LastSeen"].(string))
	if ago := w.Snapshot().Time.Sub(seen).Round(time.Minute); got["IsOffline"] != true || ago != 10*time.Minute {
		t.Errorf("offline %v, seen %v ago", got["IsOffline"], ago)
	}
	if status, _, _ := w.ask("GET", w.NodeURL("THREE")+"/api", nil); status != 0 {
		t.Errorf("it answers %d", status)
	}
	if w.summaryOf("ONE")["IsOffline"] != false || w.summaryOf("TWO")["IsOffline"] != false {
		t.Error("without a name it strikes more than one node")
	}
	w.ServiceStarted("THREE")
	w.pass(startMost)
	w.getAt(w.NodeURL("THREE"), nodesPath+"/ping", 200)
	named := begin(t, "node-offline@ONE")
	if !named.nodeNow("ONE").Offline || named.nodeNow("THREE").Offline {
		t.Error("it does not strike the node that is named")
	}
}

func nodeGone(t *testing.T) {
	w := begin(t, "node-gone")
	got := w.summaryOf("OLD-NODE")
	seen, _ := time.Parse(time.RFC3339, got["LastSeen"].(string))
	if days := w.Snapshot().Time.Sub(seen).Hours() / 24; got["IsOffline"] != true || days < 29.9 || days > 30.1 {
		t.Errorf("offline %v, seen %v days ago", got["IsOffline"], days)
	}
	if n := w.get(nodesPath, 200)["TotalResults"]; n != float64(4) {
		t.Errorf("%v nodes", n)
	}
}

func of2019(t *testing.T) {
	w := begin(t, "octopus-2019")
	if got, has := w.summaryOf("ONE")["Version"]; has {
		t.Errorf("the summary has the version %v", got)
	}
	if w.get("/api", 200)["Version"] == "" {
		t.Error("/api has no version")
	}
	for _, task := range w.openTasks() {
		if node, ok := task["ServerNode"].(string); ok && strings.Contains(node, "OctopusServerNodes-") {
			t.Errorf("a task is on %s", node)
		}
	}
	if got := w.get("/api/tasks?spaces=all&running=true&node=ONE", 200)["TotalResults"]; got == float64(0) {
		t.Error("no task is on ONE")
	}
}

func manyTasks(t *testing.T) {
	w := begin(t, "many-tasks")
	got := w.get("/api/tasks?states=Queued&spaces=all&includeSystem=true&take=100&skip=9900", 200)
	if total := got["TotalResults"].(float64); total < scheduled || len(items(got, "Items")) != 100 || got["NumberOfPages"].(float64) < 100 {
		t.Errorf("%v tasks on %v pages", total, got["NumberOfPages"])
	}
	w.pass(8 * time.Hour)
	if got := w.Snapshot().Queued; got > 10 {
		t.Errorf("%d are due", got)
	}
}

func drainedBefore(t *testing.T) {
	w := begin(t, "drained-before@TWO")
	w.getAt(w.NodeURL("TWO"), nodesPath+"/ping", 418)
	if n := w.nodeNow("TWO"); !n.Drained || n.InBalancer || len(n.Running) > 0 || w.nodeNow("ONE").Drained {
		t.Errorf("%+v", n)
	}
	unnamed := begin(t, "drained-before")
	if unnamed.nodeNow("ONE").Drained || unnamed.nodeNow("TWO").Drained || !unnamed.nodeNow("THREE").Drained {
		t.Error("without a name it is not the last node alone")
	}
}

func allDrained(t *testing.T) {
	w := begin(t, "all-drained")
	for _, n := range w.Snapshot().Nodes {
		if !n.Drained {
			t.Errorf("%s is not drained", n.Name)
		}
		w.getAt(w.NodeURL(n.Name), nodesPath+"/ping", 418)
	}
	if status, _, _ := w.ask("GET", w.URL()+"/api", nil); status != 503 {
		t.Errorf("the balancer answers %d", status)
	}
}

func maintenanceBefore(t *testing.T) {
	w := begin(t, "maintenance-before")
	if got := w.get("/api/maintenanceconfiguration", 200); got["IsInMaintenanceMode"] != true || got["LastModifiedBy"] == "" || got["LastModifiedOn"] == nil {
		t.Errorf("%v", got)
	}
}

func neverOnline(t *testing.T) {
	w := begin(t, "node-never-online@TWO")
	for _, name := range []string{"ONE", "TWO"} {
		w.ServiceStopped(name, true)
		w.ServiceStarted(name)
	}
	w.pass(3 * time.Hour)
	if status, _, _ := w.ask("GET", w.NodeURL("TWO")+nodesPath+"/ping", nil); status != 503 {
		t.Errorf("it answers %d", status)
	}
	w.getAt(w.NodeURL("ONE"), nodesPath+"/ping", 200)
}

func versionChanges(t *testing.T) {
	w := begin(t, "version-changes@TWO")
	w.ServiceStopped("TWO", true)
	w.ServiceStarted("TWO")
	w.pass(startMost)
	if got := w.getAt(w.NodeURL("TWO"), "/api", 200)["Version"]; got != "2026.3.2" {
		t.Errorf("/api: %v", got)
	}
	if got := w.summaryOf("TWO")["Version"]; got != "2026.3.2" {
		t.Errorf("summary: %v", got)
	}
	if got := w.summaryOf("ONE")["Version"]; got != "2026.3.1" {
		t.Errorf("another node: %v", got)
	}
}

func loneNode(t *testing.T) {
	for given, lone := range map[string]string{"lone-node-capped": "ONE", "lone-node-capped@TWO": "TWO"} {
		w := begin(t, given)
		w.pass(5 * time.Minute)
		for _, n := range w.Snapshot().Nodes {
			if want := map[bool]int{true: defaultTaskCap, false: 0}[n.Name == lone]; n.TaskCap != want {
				t.Errorf("%s: %s has the cap %d", given, n.Name, n.TaskCap)
			}
			if n.TaskCap == 0 && len(n.Running) > 0 {
				t.Errorf("%s: %s runs %v", given, n.Name, n.Running)
			}
		}
	}
}
