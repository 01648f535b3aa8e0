package octopus_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/octopatch/octopatch/internal/octopus"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

func TestReads(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.tasks = []task{{"ServerTasks-2", "Queued", ""}, {"ServerTasks-1", "Executing", "OctopusServerNodes-WEB/1"}}
	w.maintenance = true
	c := serve(t, w, 20)
	ctx := t.Context()

	nodes, err := c.Nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []procedure.NodeState{
		{ID: "OctopusServerNodes-WEB/1", Name: "WEB 1", TaskCap: 5, LastSeen: time.Date(2026, 12, 12, 16, 0, 1, 123e6, time.UTC), Running: 3, Version: "2026.3.1"},
		{ID: "OctopusServerNodes-OLD", Name: "OLD", Drained: true, Offline: true},
	}
	if diff := cmp.Diff(want, nodes); diff != "" {
		t.Error(diff)
	}
	tasks, err := c.Tasks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	queued := procedure.Task{ID: "ServerTasks-2", Name: "Deploy", Description: "Deploy Shop", State: "Queued",
		QueueTime: time.Date(2026, 12, 13, 1, 0, 0, 0, time.UTC), WaitsForUser: true}
	executing := queued
	executing.ID, executing.State, executing.Node = "ServerTasks-1", "Executing", "OctopusServerNodes-WEB/1"
	if diff := cmp.Diff([]procedure.Task{queued, executing}, tasks); diff != "" {
		t.Error(diff)
	}
	if !tasks[1].On(nodes[0]) {
		t.Error("the task is not recognised as the node's")
	}
	info, err := c.Info(ctx)
	if want := (procedure.ServerInfo{Version: "2026.3.1", InstallationID: "3f1e", Maintenance: true}); err != nil || info != want {
		t.Errorf("Info: %+v, %v", info, err)
	}
	user, err := c.CurrentUser(ctx)
	if want := (procedure.User{Name: "patcher", IsService: true, AdministerSystem: true, PermissionsProven: true}); err != nil || user != want {
		t.Errorf("CurrentUser: %+v, %v", user, err)
	}
	if on, err := c.MaintenanceMode(ctx); err != nil || !on {
		t.Errorf("MaintenanceMode: %t, %v", on, err)
	}
	if n, err := c.RunningTasks(ctx, "web 1"); err != nil || n != 3 {
		t.Errorf("RunningTasks: %d, %v", n, err)
	}
	if err := c.Serving(ctx); err != nil {
		t.Error(err)
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := serve(t, w, 20)
	for _, drained := range []bool{false, true} {
		w.with(func(w *world) { w.drained = drained })
		want := procedure.NodePing{Status: 200, Name: "WEB 1", Version: "2026.3.1"}
		if drained {
			want.Status = 418
		}
		if got, err := c.Ping(t.Context(), "web 1"); err != nil || got != want {
			t.Errorf("drained %t: %+v, %v", drained, got, err)
		}
	}
	if n := w.count("GET"); n != 2 {
		t.Errorf("%d requests for two pings: 418 was asked again", n)
	}
	if _, err := c.Ping(t.Context(), "WEB 2"); !errors.Is(err, procedure.ErrNoNodeURL) {
		t.Errorf("a node without an address: %v", err)
	}
}

func TestKeyTravelsOnlyWhereItIsNeeded(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := serve(t, w, 20)
	_, _ = c.Ping(t.Context(), "WEB 1")
	_ = c.Serving(t.Context())
	_, _ = c.Info(t.Context())
	for i, r := range w.seen() {
		has := w.headers[i].Get("X-Octopus-ApiKey") != ""
		if want := r == "GET /api/serverstatus"; has != want {
			t.Errorf("%s: key sent: %t", r, has)
		}
	}
}

func TestAccessToken(t *testing.T) {
	t.Parallel()
	fetched := 0
	for name, change := range map[string]func(*octopus.Options){
		"given": func(o *octopus.Options) { o.Key, o.Token = secret.Secret{}, secret.New(key) },
		"fetched": func(o *octopus.Options) {
			o.Key = secret.Secret{}
			o.TokenSource = func(context.Context) (secret.Secret, error) { fetched++; return secret.New(key), nil }
		},
	} {
		w := newWorld()
		c := serve(t, w, 20, change)
		if _, err := c.Nodes(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := w.headers[0].Get("Authorization"); got != "Bearer "+key || w.headers[0].Get("X-Octopus-ApiKey") != "" {
			t.Errorf("%s: Authorization %q", name, got)
		}
	}
	if fetched != 1 {
		t.Errorf("the source was asked %d times for one request", fetched)
	}
	c := serve(t, newWorld(), 20, func(o *octopus.Options) {
		o.Key = secret.Secret{}
		o.TokenSource = func(context.Context) (secret.Secret, error) { return secret.Secret{}, errors.New("no id-token") }
	})
	if err := c.SetMaintenanceMode(t.Context(), true); !errors.Is(err, procedure.ErrUnreachable) {
		t.Errorf("no token: %v", err)
	}
}

func TestViaSendsToTheNode(t *testing.T) {
	t.Parallel()
	balancer, node := newWorld(), newWorld()
	server := httptest.NewServer(node)
	t.Cleanup(server.Close)
	c := serve(t, balancer, 20, func(o *octopus.Options) { o.NodeURLs = map[string]string{"WEB 1": server.URL} })
	near, ok := c.Via("web 1")
	if !ok {
		t.Fatal("no way to the node")
	}
	if err := near.SetDrain(t.Context(), "WEB 1", true); err != nil {
		t.Fatal(err)
	}
	if err := near.Serving(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !node.drained || balancer.drained || len(balancer.seen()) != 0 {
		t.Errorf("the balancer got %v", balancer.seen())
	}
	if _, ok := c.Via("WEB 2"); ok {
		t.Error("a way to a node without an address")
	}
	if url, ok := c.NodeURL("WEB 1"); !ok || url != server.URL {
		t.Errorf("NodeURL: %q %t", url, ok)
	}
	if _, ok := c.NodeURL("WEB 2"); ok {
		t.Error("an address that was not given")
	}
}

func TestVirtualDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := serve(t, http.StripPrefix("/octopus", w), 20, func(o *octopus.Options) { o.URL += "/octopus/" })
	if _, err := c.Nodes(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.SetDrain(t.Context(), "WEB 1", true); err != nil || !w.drained {
		t.Errorf("drained %t, %v", w.drained, err)
	}
}

func TestOptionsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		o    octopus.Options
		want string
	}{
		"no_url":            {octopus.Options{Key: secret.New(key)}, "OCTOPUS_URL"},
		"no_scheme":         {octopus.Options{URL: "octopus.example.com", Key: secret.New(key)}, "OCTOPUS_URL"},
		"password_in_url":   {octopus.Options{URL: "https://me:hunter2@octopus.example.com", Key: secret.New(key)}, "OCTOPUS_URL"},
		"unparsable":        {octopus.Options{URL: "https://me:hunter2@octopus.example.com:port", Key: secret.New(key)}, "OCTOPUS_URL"},
		"portal_page":       {octopus.Options{URL: "https://octopus.example.com/app#/Spaces-1", Key: secret.New(key)}, "OCTOPUS_URL"},
		"bad_node_url":      {octopus.Options{URL: "https://o", NodeURLs: map[string]string{"A": "ftp://a"}, Key: secret.New(key)}, "OCTOPATCH_NODE_URLS"},
		"no_login":          {octopus.Options{URL: "https://o"}, "OCTOPUS_API_KEY"},
		"two_logins":        {octopus.Options{URL: "https://o", Key: secret.New(key), Token: secret.New("t")}, "OCTOPUS_ACCESS_TOKEN"},
		"key_with_line_end": {octopus.Options{URL: "https://o", Key: secret.New(key + "\n")}, "OCTOPUS_API_KEY"},
		"empty_ca":          {octopus.Options{URL: "https://o", Key: secret.New(key), CAFile: []byte("no PEM")}, "OCTOPATCH_OCTOPUS_CA_FILE"},
	} {
		_, err := octopus.New(tc.o)
		if !errors.Is(err, procedure.ErrRefused) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: a secret in %v", name, err)
		}
	}
}

func TestPlainHTTPIsWarnedOf(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]int{"http://octopus.example.com": 1, "https://octopus.example.com": 0, "http://127.0.0.1:8065": 0, "http://localhost": 0} {
		got := 0
		_, err := octopus.New(octopus.Options{URL: url, Key: secret.New(key), Warn: func(string) { got++ }})
		if err != nil || got != want {
			t.Errorf("%s: %d warnings, %v", url, got, err)
		}
	}
}
