package octopus_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/octopus"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

// reads are all that the adapter reads, the changes' own reads included.
var reads = map[string]func(context.Context, *octopus.Client) error{
	"nodes":        func(ctx context.Context, c *octopus.Client) error { _, err := c.Nodes(ctx); return err },
	"tasks":        func(ctx context.Context, c *octopus.Client) error { _, err := c.Tasks(ctx); return err },
	"info":         func(ctx context.Context, c *octopus.Client) error { _, err := c.Info(ctx); return err },
	"user":         func(ctx context.Context, c *octopus.Client) error { _, err := c.CurrentUser(ctx); return err },
	"maintenance":  func(ctx context.Context, c *octopus.Client) error { _, err := c.MaintenanceMode(ctx); return err },
	"ping":         func(ctx context.Context, c *octopus.Client) error { _, err := c.Ping(ctx, "WEB 1"); return err },
	"details":      func(ctx context.Context, c *octopus.Client) error { _, err := c.RunningTasks(ctx, "WEB 1"); return err },
	"before drain": func(ctx context.Context, c *octopus.Client) error { return c.SetDrain(ctx, "WEB 1", true) },
	"before mode":  func(ctx context.Context, c *octopus.Client) error { return c.SetMaintenanceMode(ctx, true) },
}

func TestReadFaults(t *testing.T) {
	t.Parallel()
	const page = "<!DOCTYPE html><title>" + key + "</title>"
	cases := map[string]struct {
		strike strike
		want   error
		plain  bool
		tries  int
		words  string
	}{
		"reset":           {cut, procedure.ErrUnreachable, false, 3, "was not answered"},
		"black_hole":      {hang, procedure.ErrUnreachable, false, 0, "within"},
		"half":            {half, procedure.ErrUnreadable, false, 3, "broke off"},
		"502":             {answering(502, "text/html", page), procedure.ErrUnreachable, false, 3, "status 502"},
		"503":             {answering(503, "text/html", page), procedure.ErrUnreachable, false, 3, "status 503"},
		"504":             {answering(504, "", ""), procedure.ErrUnreachable, false, 3, "status 504"},
		"500":             {answering(500, "application/json", `{"ErrorMessage":"Deadlock of `+key+`.\n::error::x"}`), procedure.ErrUnreadable, false, 1, "Deadlock of [redacted]"},
		"401":             {answering(401, "application/json", `{"ErrorMessage":"The API key `+key+` is not valid."}`), procedure.ErrDenied, false, 1, "OCTOPUS_API_KEY"},
		"403":             {answering(403, "application/json", `{"ErrorMessage":"You do not have permission."}`), procedure.ErrDenied, false, 1, "System Administrator"},
		"404":             {answering(404, "application/json", `{"ErrorMessage":"The resource was not found."}`), nil, true, 1, "not found"},
		"404_of_balancer": {answering(404, "text/html", page), procedure.ErrUnreadable, false, 1, "an HTML page"},
		"429":             {limited("600"), procedure.ErrUnreachable, false, 1, "too many requests"},
		"html":            {answering(200, "text/html; charset=utf-8", page), procedure.ErrUnreadable, false, 1, "an HTML page"},
		"html_as_json":    {answering(200, "application/json", page), procedure.ErrUnreadable, false, 1, "an HTML page"},
		"empty":           {answering(200, "application/json", ""), procedure.ErrUnreadable, false, 1, "nothing"},
		"no_content":      {func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(204); return true }, procedure.ErrUnreadable, false, 1, "nothing"},
		"cut_json":        {answering(200, "application/json", `{"Nodes":[{"Id":"`+key), procedure.ErrUnreadable, false, 1, "cut off"},
		"text":            {answering(200, "text/plain", key), procedure.ErrUnreadable, false, 1, "text/plain"},
		"null":            {answering(200, "application/json", "null"), procedure.ErrUnreadable, false, 1, "missing"},
		"other_object":    {answering(200, "application/json", `{"`+key+`":1}`), procedure.ErrUnreadable, false, 1, "missing"},
		"array":           {answering(200, "application/json", `["`+key+`"]`), procedure.ErrUnreadable, false, 1, "another form"},
		"elsewhere":       {redirect("https://elsewhere.example/login?token=" + key), procedure.ErrUnreachable, false, 1, "https://elsewhere.example "},
		"same_host":       {redirect("/login?token=" + key), procedure.ErrUnreachable, false, 1, "OCTOPUS_URL"},
	}
	for what, read := range reads {
		for name, tc := range cases {
			t.Run(what+"/"+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld()
				w.before = tc.strike
				err := read(t.Context(), serve(t, w, 300))
				checkFault(t, err, tc.want, tc.plain)
				wanted := tc.words
				if what == "ping" {
					wanted = strings.ReplaceAll(wanted, "OCTOPUS_URL", "OCTOPATCH_NODE_URLS")
				}
				if !strings.Contains(err.Error(), wanted) {
					t.Errorf("does not say %q: %v", wanted, err)
				}
				if strings.ContainsAny(err.Error(), "\r\n") {
					t.Errorf("more than a line: %q", err)
				}
				if n := len(w.seen()); tc.tries > 0 && n != tc.tries {
					t.Errorf("%d requests, want %d", n, tc.tries)
				}
			})
		}
	}
}

func TestReadIsRepeated(t *testing.T) {
	t.Parallel()
	for name, strike := range map[string]strike{"reset": cut, "half": half, "503": answering(503, "", ""), "429": limited("1")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, struck := newWorld(), 0
			w.before = func(out http.ResponseWriter, r *http.Request) bool {
				struck++
				return struck <= 2 && strike(out, r)
			}
			if _, err := serve(t, w, 100).Nodes(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestServingAsksOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]strike{
		"reset": cut, "503": answering(503, "", ""), "429": limited("1"), "sorry_page": answering(200, "text/html", "<html>back soon</html>"),
		"redirected": redirect("/sorry"), "black_hole": hang,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.before = tc
			err := serve(t, w, 100).Serving(t.Context())
			if err == nil || len(w.seen()) != 1 {
				t.Errorf("%d requests, %v", len(w.seen()), err)
			}
		})
	}
}

// TestMissingFields: a field that did not come is never false or 0.
func TestMissingFields(t *testing.T) {
	t.Parallel()
	node := `{"Id":"N","Name":"WEB 1","MaxConcurrentTasks":1,"IsInMaintenanceMode":false,"IsOffline":false,"RunningTaskCount":0}`
	task := `{"Id":"T","Name":"Deploy","State":"Queued","QueueTime":"2026-12-13T01:00:00+00:00"}`
	without := func(text, field, value string) string { return strings.Replace(text, `"`+field+`":`+value, `"X":0`, 1) }
	cases := map[string]struct{ read, text, words string }{
		"mode":          {"maintenance", `{"Id":"maintenance"}`, "IsInMaintenanceMode is missing"},
		"mode_null":     {"maintenance", `{"Id":"maintenance","IsInMaintenanceMode":null}`, "IsInMaintenanceMode is missing"},
		"mode_text":     {"maintenance", `{"Id":"maintenance","IsInMaintenanceMode":"` + key + `"}`, "IsInMaintenanceMode is of the wrong type (string)"},
		"drain":         {"nodes", `{"Nodes":[` + without(node, "IsInMaintenanceMode", "false") + `]}`, "IsInMaintenanceMode is missing (node 1 of 1)"},
		"offline":       {"nodes", `{"Nodes":[` + without(node, "IsOffline", "false") + `]}`, "IsOffline is missing"},
		"count":         {"nodes", `{"Nodes":[` + node + "," + without(node, "RunningTaskCount", "0") + `]}`, "RunningTaskCount is missing (node 2 of 2)"},
		"count_1.5":     {"nodes", `{"Nodes":[` + strings.Replace(node, `Count":0`, `Count":1.5`, 1) + `]}`, "(number)"},
		"cap":           {"nodes", `{"Nodes":[` + without(node, "MaxConcurrentTasks", "1") + `]}`, "MaxConcurrentTasks is missing"},
		"node_name":     {"nodes", `{"Nodes":[` + without(node, "Name", `"WEB 1"`) + `]}`, "Name is missing"},
		"node_null":     {"nodes", `{"Nodes":[null]}`, "Id is missing"},
		"seen_undated":  {"nodes", `{"Nodes":[{"LastSeen":"` + key + `"}]}`, "not a date"},
		"nodes":         {"nodes", `{"Links":{}}`, "Nodes is missing"},
		"items":         {"tasks", `{"TotalResults":0}`, "Items is missing"},
		"total":         {"tasks", `{"Items":[]}`, "TotalResults is missing"},
		"task_id":       {"tasks", `{"TotalResults":1,"Items":[` + without(task, "Id", `"T"`) + `]}`, "Id is missing"},
		"task_state":    {"tasks", `{"TotalResults":1,"Items":[` + without(task, "State", `"Queued"`) + `]}`, "State is missing"},
		"state_unknown": {"tasks", `{"TotalResults":1,"Items":[` + strings.Replace(task, "Queued", "Dreaming", 1) + `]}`, "Dreaming"},
		"time_undated":  {"tasks", `{"TotalResults":1,"Items":[` + strings.Replace(task, "2026-12", "soon", 1) + `]}`, "QueueTime is of the wrong type (not a date)"},
		"no_items":      {"tasks", `{"TotalResults":1,"Items":[]}`, "no tasks although there are 1"},
		"version":       {"info", `{"Application":"Octopus Deploy"}`, "Version is missing"},
		"user_id":       {"user", `{"Username":"x"}`, "Id is missing"},
		"permissions":   {"user", `{"Id":"Users-1","Username":"x"}`, "SystemPermissions is missing"},
		"running":       {"details", `{"Id":"N","Nodes":[` + node + `]}`, "RunningTasks is missing"},
		"ping_name":     {"ping", `{"Id":"N"}`, "Name is missing"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.before = answering(200, "application/json", tc.text)
			err := reads[tc.read](t.Context(), serve(t, w, 20))
			checkFault(t, err, procedure.ErrUnreadable, false)
			if err == nil || !strings.Contains(err.Error(), tc.words) {
				t.Errorf("does not say %q: %v", tc.words, err)
			}
		})
	}
}

// TestOctopusOf2019: no Version in the summary, no mode in the status, tasks with a bare node name.
func TestOctopusOf2019(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.maintenance = true
	w.before = func(out http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/api/octopusservernodes/summary":
			return answering(200, "application/json", `{"Nodes":[{"Id":"OctopusServerNodes-WEB/1","Name":"WEB 1","Rank":"Leader","LastSeen":"2019-07-12T00:00:00.000","RunningTaskCount":1,"IsOffline":false,"MaxConcurrentTasks":5,"IsInMaintenanceMode":false}]}`)(out, r)
		case "/api/serverstatus":
			return answering(200, "application/json", `{"IsDatabaseEncrypted":true}`)(out, r)
		}
		return false
	}
	w.tasks = []task{{"ServerTasks-1", "Executing", "WEB 1"}}
	c := serve(t, w, 20)
	nodes, err := c.Nodes(t.Context())
	if err != nil || nodes[0].Version != "" || !nodes[0].LastSeen.Equal(time.Date(2019, 7, 12, 0, 0, 0, 0, time.UTC)) {
		t.Fatalf("%+v, %v", nodes, err)
	}
	tasks, err := c.Tasks(t.Context())
	if err != nil || !tasks[0].On(nodes[0]) {
		t.Errorf("%+v, %v", tasks, err)
	}
	if info, err := c.Info(t.Context()); err != nil || info.Version == "" || !info.Maintenance {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestReadGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.before = hang
	c := serve(t, w, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Nodes(ctx)
	checkFault(t, err, nil, true)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller's own limit is not told: %v", err)
	}
	w.with(func(w *world) { w.before = answering(503, "", "") })
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err = c.Nodes(ctx); err == nil || time.Since(began) > 900*time.Millisecond {
		t.Errorf("went on for %s after the caller had gone: %v", time.Since(began), err)
	}
}

// TestOwnLimitIsNotTheCallers: a request that is too slow must not look as if the run had been ended.
func TestOwnLimitIsNotTheCallers(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.before = hang
	_, err := serve(t, w, 600).Nodes(t.Context())
	checkFault(t, err, procedure.ErrUnreachable, false)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Errorf("looks like the caller's end: %v", err)
	}
}

func TestExpiredTokenIsNamed(t *testing.T) {
	t.Parallel()
	token := jwt(`{"exp":1000000000}`)
	w := newWorld()
	c := serve(t, w, 20, func(o *octopus.Options) { o.Key, o.Token = secret.Secret{}, secret.New(token) })
	_, err := c.Nodes(t.Context())
	checkFault(t, err, procedure.ErrDenied, false)
	if !strings.Contains(err.Error(), "ended at 2001-09-09") || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "OCTOPUS_ACCESS_TOKEN") {
		t.Errorf("%v", err)
	}
}
