package octopus_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/octopus"
	"github.com/octopatch/octopatch/internal/secret"
)

const key = "API-CANARY0123456789"

// task is a task of the world; fields beyond these are not read.
type task struct {
	ID, State, Node string
}

// world is an Octopus Server as small as the adapter needs it; its answers have the recorded shapes.
type world struct {
	mu          sync.Mutex
	maintenance bool
	drained     bool
	taskCap     int
	tasks       []task // newest first
	requests    []string
	headers     []http.Header
	writes      int

	// before may answer instead of the world, or break the connection; it reports whether it did.
	before func(w http.ResponseWriter, r *http.Request) bool
	// after may do the same once the world has done what was asked.
	after func(w http.ResponseWriter, r *http.Request) bool
}

func newWorld() *world { return &world{taskCap: 5} }

func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	w.requests = append(w.requests, r.Method+" "+r.URL.Path)
	w.headers = append(w.headers, r.Header.Clone())
	before, after := w.before, w.after
	w.mu.Unlock()
	if before != nil && before(out, r) {
		return
	}
	status, text := w.act(r, body)
	if after != nil && after(out, r) {
		return
	}
	reply(out, status, "application/json; charset=utf-8", text)
}

func (w *world) act(r *http.Request, body []byte) (int, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	public := r.URL.Path == "/api" || strings.HasSuffix(r.URL.Path, "/ping")
	if !public && r.Header.Get("X-Octopus-ApiKey") != key && r.Header.Get("Authorization") != "Bearer "+key {
		return 401, `{"ErrorMessage":"You must be logged in to perform this action."}`
	}
	const id = "/api/octopusservernodes/OctopusServerNodes-WEB%2F1"
	switch route := r.Method + " " + r.URL.EscapedPath(); {
	case route == "GET /api":
		return 200, `{"Application":"Octopus Deploy","Version":"2026.3.1","ApiVersion":"3.0.0","InstallationId":"3f1e","Links":{}}`
	case route == "GET /api/serverstatus":
		return 200, fmt.Sprintf(`{"IsDatabaseEncrypted":true,"IsInMaintenanceMode":%t,"Links":{}}`, w.maintenance)
	case route == "GET /api/users/me":
		return 200, `{"Id":"Users-1","Username":"patcher","DisplayName":"Patcher","IsActive":true,"IsService":true}`
	case route == "GET /api/users/Users-1/permissions" && r.URL.Query().Get("includeSystem") == "true":
		return 200, `{"Id":"Users-1","SystemPermissions":["TaskView","AdministerSystem"],"SpacePermissions":{},"IsPermissionsComplete":true,"IsTeamsComplete":true}`
	case route == "GET /api/maintenanceconfiguration":
		return 200, w.maintenanceJSON()
	case route == "PUT /api/maintenanceconfiguration":
		var m struct {
			ID string `json:"Id"`
			On *bool  `json:"IsInMaintenanceMode"`
		}
		if json.Unmarshal(body, &m) != nil || m.On == nil || m.ID != "maintenance" {
			return 400, `{"ErrorMessage":"There was a problem with your request.","Errors":["IsInMaintenanceMode"]}`
		}
		w.maintenance = *m.On
		w.writes++
		return 200, w.maintenanceJSON()
	case route == "GET /api/octopusservernodes/summary":
		return 200, w.summaryJSON()
	case route == "GET "+id:
		return 200, w.nodeJSON()
	case route == "GET "+id+"/details":
		return 200, `{"Id":"OctopusServerNodes-WEB/1","RunningTasks":3,"Links":{}}`
	case route == "PUT "+id:
		var n struct {
			ID      string `json:"Id"`
			Name    string
			TaskCap int   `json:"MaxConcurrentTasks"` // left out it falls to 0, the worse of the undocumented cases
			Drained *bool `json:"IsInMaintenanceMode"`
		}
		if json.Unmarshal(body, &n) != nil || n.ID != "OctopusServerNodes-WEB/1" || n.Name != "WEB 1" || n.Drained == nil {
			return 400, `{"ErrorMessage":"There was a problem with your request."}`
		}
		w.taskCap, w.drained = n.TaskCap, *n.Drained
		w.writes++
		return 200, w.nodeJSON()
	case route == "GET /api/octopusservernodes/ping":
		status := 200
		if w.drained {
			status = 418
		}
		return status, fmt.Sprintf(`{"Id":"OctopusServerNodes-WEB/1","Name":"WEB 1","LastSeen":"2026-12-13T02:00:00.000+00:00","IsOffline":false,"MaxConcurrentTasks":5,"IsInMaintenanceMode":%t,"Version":"2026.3.1"}`, w.drained)
	case route == "GET /api/tasks":
		return 200, w.tasksJSON(r)
	case r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/cancel"):
		id := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/api/tasks/"), "/cancel")
		i := slices.IndexFunc(w.tasks, func(t task) bool { return t.ID == id })
		if i < 0 {
			return 404, `{"ErrorMessage":"The resource '` + id + `' was not found."}`
		}
		w.tasks[i].State = "Cancelling"
		w.writes++
		return 200, w.tasks[i].json()
	default:
		return 404, `{"ErrorMessage":"The resource you requested was not found."}`
	}
}

func (w *world) maintenanceJSON() string {
	return fmt.Sprintf(`{"Id":"maintenance","IsInMaintenanceMode":%t,"LastModifiedOn":"2026-12-01T00:00:00.000+00:00","LastModifiedBy":"admin","Links":{}}`, w.maintenance)
}

func (w *world) nodeJSON() string {
	return fmt.Sprintf(`{"Id":"OctopusServerNodes-WEB/1","Name":"WEB 1","MaxConcurrentTasks":%d,"IsInMaintenanceMode":%t,"Links":{}}`, w.taskCap, w.drained)
}

func (w *world) summaryJSON() string {
	return fmt.Sprintf(`{"Nodes":[{"Id":"OctopusServerNodes-WEB/1","Name":"WEB 1","LastSeen":"2026-12-13T02:00:01.123+10:00","RunningTaskCount":3,"IsOffline":false,"MaxConcurrentTasks":%d,"IsInMaintenanceMode":%t,"Version":"2026.3.1","MaxSqlConnectionPoolSize":100,"Links":{}},`+
		`{"Id":"OctopusServerNodes-OLD","Name":"OLD","LastSeen":null,"RunningTaskCount":0,"IsOffline":true,"MaxConcurrentTasks":0,"IsInMaintenanceMode":true,"Links":{}}],"Links":{}}`, w.taskCap, w.drained)
}

func (w *world) tasksJSON(r *http.Request) string {
	q := r.URL.Query()
	if q.Get("spaces") != "all" || q.Get("includeSystem") != "true" || q.Get("states") != "Queued,Executing,Cancelling" {
		return `{"Items":[],"TotalResults":0}` // what a careless question gets: nothing, and no error
	}
	skip, _ := strconv.Atoi(q.Get("skip"))
	take, _ := strconv.Atoi(q.Get("take"))
	var b strings.Builder
	fmt.Fprintf(&b, `{"ItemType":"Task","TotalResults":%d,"ItemsPerPage":%d,"Items":[`, len(w.tasks), take)
	for i, t := range w.tasks[min(skip, len(w.tasks)):min(skip+take, len(w.tasks))] {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(t.json())
	}
	b.WriteString(`]}`)
	return b.String()
}

func (t task) json() string {
	return fmt.Sprintf(`{"Id":%q,"SpaceId":null,"Name":"Deploy","Description":"Deploy Shop","State":%q,"ServerNode":%q,"QueueTime":"2026-12-13T01:00:00.000+00:00","QueueTimeExpiry":null,"StartTime":null,"HasPendingInterruptions":true,"IsCompleted":false,"Links":{}}`, t.ID, t.State, t.Node)
}

// with looks at the world, or changes it, between two requests.
func (w *world) with(f func(*world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w)
}

// seen lists the requests so far.
func (w *world) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.requests)
}

func (w *world) count(request string) int {
	n := 0
	for _, r := range w.seen() {
		if strings.HasPrefix(r, request) {
			n++
		}
	}
	return n
}

func reply(out http.ResponseWriter, status int, kind, text string) {
	out.Header().Set("Content-Type", kind)
	out.WriteHeader(status)
	_, _ = io.WriteString(out, text)
}

// cut breaks the connection without an answer.
func cut(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// serve starts the world, and a client on a clock that runs speed times as fast.
func serve(t *testing.T, w http.Handler, speed float64, change ...func(*octopus.Options)) *octopus.Client {
	t.Helper()
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	return dial(t, server.URL, speed, change...)
}

func dial(t *testing.T, url string, speed float64, change ...func(*octopus.Options)) *octopus.Client {
	t.Helper()
	o := octopus.Options{URL: url, Key: secret.New(key), NodeURLs: map[string]string{"WEB 1": url + "/"}, Clock: clock.New(time.Now(), speed)}
	for _, f := range change {
		f(&o)
	}
	c, err := octopus.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
