package server

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/rehearsal/fault"
	"github.com/octopatch/octopatch/internal/rehearsal/record"
)

const key = "API-TEST"

// still is a speed at which the clock stands: a test moves it by pass.
const still = 1e-9

// world is a cluster and a client of it.
type world struct {
	t *testing.T
	*Cluster
	log    *record.Log
	client *http.Client
	key    string
}

var threeNodes = []string{"ONE", "TWO", "THREE"}

// begin starts a cluster whose clock stands still.
func begin(t *testing.T, faults string, nodes ...string) *world {
	t.Helper()
	return beginWith(t, faults, clock.New(time.Now(), still), nodes...)
}

func beginWith(t *testing.T, faults string, at clock.Clock, nodes ...string) *world {
	t.Helper()
	set, err := fault.Parse(faults, Faults())
	if err != nil {
		t.Fatal(err)
	}
	if nodes == nil {
		nodes = threeNodes
	}
	log := &record.Log{}
	c, err := New(Options{Clock: at, Seed: 7, Nodes: nodes, Version: "2026.3.1", Key: key, Log: log, Faults: set})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	w := &world{t: t, Cluster: c, log: log, key: key, client: &http.Client{Transport: transport, Timeout: 20 * time.Second}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		c.Close()
	})
	return w
}

// pass lets simulated time go by at once.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = clock.New(w.clock.Now().Add(d), still)
}

// object is a JSON answer, which tests read without the types that wrote them.
type object = map[string]any

// ask sends a request and returns what came; status 0 means that the connection ended without an answer.
func (w *world) ask(method, url string, body any) (int, http.Header, []byte) {
	w.t.Helper()
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		sent = bytes.NewReader(text)
	}
	r, err := http.NewRequest(method, url, sent)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.key != "" {
		r.Header.Set("X-Octopus-ApiKey", w.key)
	}
	a, err := w.client.Do(r)
	if err != nil {
		return 0, nil, nil
	}
	defer func() { _ = a.Body.Close() }()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return a.StatusCode, a.Header, text
}

// get reads JSON from the balancer's address and fails the test if the status is another one.
func (w *world) get(path string, want int) object {
	w.t.Helper()
	return w.getAt(w.URL(), path, want)
}

func (w *world) getAt(base, path string, want int) object {
	w.t.Helper()
	status, _, text := w.ask(http.MethodGet, base+path, nil)
	return w.parse(path, status, want, text)
}

func (w *world) put(path string, body any, want int) object {
	w.t.Helper()
	status, _, text := w.ask(http.MethodPut, w.URL()+path, body)
	if want == 0 {
		if status != 0 {
			w.t.Fatalf("PUT %s: status %d, want a cut connection", path, status)
		}
		return nil
	}
	return w.parse(path, status, want, text)
}

func (w *world) parse(path string, status, want int, text []byte) object {
	w.t.Helper()
	if status != want {
		w.t.Fatalf("%s: status %d, want %d: %.200s", path, status, want, text)
	}
	var v object
	if err := json.Unmarshal(text, &v); err != nil {
		w.t.Fatalf("%s: %v: %.200s", path, err, text)
	}
	return v
}

const nodesPath = "/api/octopusservernodes"

// drain puts a node's drain flag through the API as a careful client does.
func (w *world) drain(name string, on bool, want int) object {
	w.t.Helper()
	id := "OctopusServerNodes-" + name
	for _, n := range w.Snapshot().Nodes {
		if n.Name == name {
			return w.put(nodesPath+"/"+id, object{"Id": id, "Name": name, "MaxConcurrentTasks": n.TaskCap, "IsInMaintenanceMode": on}, want)
		}
	}
	w.t.Fatalf("no node %s", name)
	return nil
}

func (w *world) maintain(on bool, want int) object {
	w.t.Helper()
	return w.put("/api/maintenanceconfiguration", object{"Id": "maintenance", "IsInMaintenanceMode": on}, want)
}

// nodeNow returns a node of the snapshot.
func (w *world) nodeNow(name string) NodeSnapshot {
	w.t.Helper()
	for _, n := range w.Snapshot().Nodes {
		if n.Name == name {
			return n
		}
	}
	w.t.Fatalf("no node %s", name)
	return NodeSnapshot{}
}

// summaryOf returns a node of the API's summary.
func (w *world) summaryOf(name string) object {
	w.t.Helper()
	for _, n := range items(w.get(nodesPath+"/summary", 200), "Nodes") {
		if n["Name"] == name {
			return n
		}
	}
	w.t.Fatalf("no node %s in the summary", name)
	return nil
}

// openTasks lists all that is not completed.
func (w *world) openTasks() []object {
	w.t.Helper()
	return items(w.get("/api/tasks?states=Queued,Executing,Cancelling&spaces=all&includeSystem=true&take=100000", 200), "Items")
}

func items(v object, name string) []object {
	var list []object
	for _, item := range v[name].([]any) {
		list = append(list, item.(object))
	}
	return list
}

// fates lists the record as "node what fate".
func (w *world) fates() []string {
	var list []string
	for _, entry := range w.log.Writes() {
		list = append(list, entry.Node+" "+entry.What+": "+entry.Fate)
	}
	return list
}
