package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// faultTests shows for every fault that it does what its help says.
func faultTests() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"balancer-ignores-drain":      balancerIgnoresDrain,
		"octopus-429":                 throttles,
		"octopus-502":                 everySeventh,
		"octopus-503":                 unavailableAtFirst,
		"drain-lost":                  func(t *testing.T) { writeFault(t, "drain-lost", true) },
		"drain-unapplied":             func(t *testing.T) { writeFault(t, "drain-unapplied", false) },
		"undrain-lost":                func(t *testing.T) { undrainFault(t, "undrain-lost", true) },
		"undrain-unapplied":           func(t *testing.T) { undrainFault(t, "undrain-unapplied", false) },
		"maintenance-lost":            func(t *testing.T) { maintenanceFault(t, "maintenance-lost", true) },
		"maintenance-unapplied":       func(t *testing.T) { maintenanceFault(t, "maintenance-unapplied", false) },
		"task-never-ends":             neverEnds,
		"task-waits-for-user":         waitsForUser,
		"html":                        answersHTML,
		"html-after-change":           answersHTMLAfterChange,
		"truncated-json":              truncates,
		"truncated-json-after-change": truncatesAfterChange,
		"key-sees-little":             seesLittle,
		"key-not-admin":               notAdmin,
		"key-refused":                 keyRefused,
		"token-refused":               tokenRefused,
		"node-offline":                nodeOffline,
		"node-gone":                   nodeGone,
		"octopus-2019":                of2019,
		"many-tasks":                  manyTasks,
		"drained-before":              drainedBefore,
		"all-drained":                 allDrained,
		"maintenance-before":          maintenanceBefore,
		"node-never-online":           neverOnline,
		"version-changes":             versionChanges,
		"lone-node-capped":            loneNode,
	}
}

func TestEveryFaultDoesWhatItSays(t *testing.T) {
	t.Parallel()
	tests := faultTests()
	for _, f := range Faults() {
		test := tests[f.Name]
		if test == nil || f.Help == "" || !strings.HasSuffix(f.Help, ".") {
			t.Errorf("fault %s has no test, or no help that is a sentence: %q", f.Name, f.Help)
			continue
		}
		delete(tests, f.Name)
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
	for name := range tests {
		t.Errorf("%s is tested and not listed", name)
	}
}

func balancerIgnoresDrain(t *testing.T) {
	w := begin(t, "balancer-ignores-drain")
	w.drain("TWO", true, 200)
	w.pass(4 * time.Minute)
	w.ServiceStopped("TWO", true)
	w.pass(time.Minute)
	failures := 0
	for range 6 {
		if status, _, _ := w.ask("GET", w.URL()+"/api", nil); status == 502 {
			failures++
		}
	}
	if failures != 2 {
		t.Errorf("%d of 6 requests failed, want 2", failures)
	}
	w.ServiceStarted("TWO")
	w.pass(startMost)
	down := w.Downtime()
	if len(down) != 1 || down[0].To.Sub(down[0].From) < time.Minute+startLeast {
		t.Errorf("downtime: %v", down)
	}
}

func throttles(t *testing.T) {
	w := begin(t, "octopus-429")
	w.get("/api", 200)
	for range throttled - 1 {
		if status, header, _ := w.ask("GET", w.URL()+"/api/users/me", nil); status != 429 || header.Get("Retry-After") != "2" {
			t.Errorf("%d, Retry-After %q", status, header.Get("Retry-After"))
		}
	}
	w.maintain(true, 429)
	w.maintain(true, 200)
	if got := w.fates(); len(got) != 2 || got[0] != " octopus maintenance on: refused" {
		t.Errorf("recorded: %v", got)
	}
}

func everySeventh(t *testing.T) {
	w := begin(t, "octopus-502")
	for i := 1; i <= 21; i++ {
		want := 200
		if i%7 == 0 {
			want = 502
		}
		if status, _, _ := w.ask("GET", w.URL()+"/api/users/me", nil); status != want {
			t.Errorf("GET %d: %d", i, status)
		}
	}
	w.maintain(true, 200)
}

func unavailableAtFirst(t *testing.T) {
	w := begin(t, "octopus-503")
	w.pass(time.Hour)
	for _, passed := range []time.Duration{0, brokenFor - time.Second} {
		w.pass(passed)
		if status, _, _ := w.ask("GET", w.URL()+"/api", nil); status != 503 {
			t.Errorf("after %v: %d", passed, status)
		}
		w.maintain(true, 200)
	}
	w.pass(2 * time.Second)
	w.get("/api", 200)
	down := w.Downtime()
	if len(down) != 1 || down[0].To.Sub(down[0].From).Round(time.Second) != brokenFor {
		t.Errorf("downtime: %v", down)
	}
}

func writeFault(t *testing.T, name string, applied bool) {
	w := begin(t, name+"@TWO")
	w.drain("ONE", true, 200)
	w.drain("TWO", true, 0)
	if got := w.nodeNow("TWO").Drained; got != applied {
		t.Errorf("drained: %v", got)
	}
	w.drain("TWO", true, 200)
	everybody := begin(t, name)
	everybody.drain("TWO", true, 0)
	everybody.drain("TWO", true, 200)
}

func undrainFault(t *testing.T, name string, applied bool) {
	w := begin(t, name)
	w.drain("TWO", true, 200)
	w.drain("TWO", false, 0)
	if got := !w.nodeNow("TWO").Drained; got != applied {
		t.Errorf("undrained: %v", got)
	}
	w.drain("TWO", false, 200)
}

func maintenanceFault(t *testing.T, name string, applied bool) {
	w := begin(t, name, "LONE")
	w.maintain(true, 0)
	if got := w.Snapshot().Maintenance; got != applied {
		t.Errorf("on: %v", got)
	}
	w.maintain(true, 200)
	w.maintain(false, 200)
}

func neverEnds(t *testing.T) {
	w := begin(t, "task-never-ends@TWO")
	w.drain("TWO", true, 200)
	w.drain("ONE", true, 200)
	w.pass(6 * time.Hour)
	if got := w.nodeNow("TWO").Running; len(got) != 1 || got[0].Name != "Deploy" || got[0].State != "Executing" {
		t.Errorf("running: %v", got)
	}
	if got := w.nodeNow("ONE").Running; len(got) > 0 {
		t.Errorf("the other node runs %v", got)
	}
}

func waitsForUser(t *testing.T) {
	w := begin(t, "task-waits-for-user@TWO")
	w.drain("TWO", true, 200)
	w.pass(6 * time.Hour)
	running := w.nodeNow("TWO").Running
	if len(running) != 1 {
		t.Fatalf("running: %v", running)
	}
	got := w.get("/api/tasks/"+running[0].ID, 200)
	if got["State"] != "Executing" || got["HasPendingInterruptions"] != true || got["ServerNode"] != "OctopusServerNodes-TWO" {
		t.Errorf("%v", got)
	}
	w.ask(http.MethodPost, w.URL()+"/api/tasks/"+running[0].ID+"/cancel", nil)
	w.pass(15 * time.Second)
	if got := w.nodeNow("TWO").Running; len(got) > 0 {
		t.Errorf("after its cancel: %v", got)
	}
}

// isLogin reports whether the answer is the page of a login.
func (w *world) isLogin(method, url string, body any) bool {
	w.t.Helper()
	status, header, text := w.ask(method, url, body)
	return status == 200 && strings.HasPrefix(header.Get("Content-Type"), "text/html") && strings.Contains(string(text), "Sign in")
}

func answersHTML(t *testing.T) {
	w := begin(t, "html")
	for _, path := range []string{"/api", "/api/tasks", nodesPath + "/ping"} {
		if !w.isLogin("GET", w.URL()+path, nil) {
			t.Errorf("%s is no login", path)
		}
	}
	if !w.isLogin("PUT", w.URL()+"/api/maintenanceconfiguration", object{"IsInMaintenanceMode": true}) || w.Snapshot().Maintenance {
		t.Error("a PUT was obeyed")
	}
	if got := w.fates(); len(got) != 1 || got[0] != " octopus maintenance on: unapplied" {
		t.Errorf("recorded: %v", got)
	}
}

func answersHTMLAfterChange(t *testing.T) {
	w := begin(t, "html-after-change")
	w.get("/api", 200)
	if !w.isLogin("PUT", w.URL()+"/api/maintenanceconfiguration", object{"IsInMaintenanceMode": true}) || !w.Snapshot().Maintenance {
		t.Error("the first change is not obeyed and answered with a login")
	}
	if !w.isLogin("GET", w.URL()+"/api", nil) {
		t.Error("no login after the change")
	}
	if !w.isLogin("PUT", w.URL()+"/api/maintenanceconfiguration", object{"IsInMaintenanceMode": false}) || !w.Snapshot().Maintenance {
		t.Error("a second change reached the server")
	}
}

// isHalf reports whether the answer is a JSON text that ends too early.
func (w *world) isHalf(method, url string, body any) bool {
	w.t.Helper()
	status, _, text := w.ask(method, url, body)
	return status == 200 && len(text) > 0 && text[0] == '{' && !json.Valid(text)
}

func truncates(t *testing.T) {
	w := begin(t, "truncated-json")
	for _, path := range []string{"/api", "/api/tasks", nodesPath + "/summary"} {
		if !w.isHalf("GET", w.URL()+path, nil) {
			t.Errorf("%s is whole", path)
		}
	}
}

func truncatesAfterChange(t *testing.T) {
	w := begin(t, "truncated-json-after-change")
	w.get("/api", 200)
	if !w.isHalf("PUT", w.URL()+"/api/maintenanceconfiguration", object{"IsInMaintenanceMode": true}) || !w.Snapshot().Maintenance {
		t.Error("the first change is not obeyed and answered in half")
	}
	if !w.isHalf("GET", w.URL()+"/api", nil) {
		t.Error("whole after the change")
	}
}
