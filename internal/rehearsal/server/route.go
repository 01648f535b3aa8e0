package server

import (
	"net/http"
	"strings"
)

// request is one request on its way through the server.
type request struct {
	*http.Request
	body []byte
	node *node  // that answers
	id   string // the part of the path that stands for {id}
}

// handler answers a request; the state is locked.
type handler func(*Cluster, *request) reply

// route is one resource. A zero route is one that there is not.
type route struct {
	path    string // {id} stands for one segment
	class   string // in Requests
	open    bool   // needs no key
	admin   bool   // needs AdministerSystem even to read
	methods map[string]handler
}

// routes lists what is simulated, literal segments before {id}.
func routes() []route {
	get := func(h handler) map[string]handler { return map[string]handler{http.MethodGet: h} }
	const nodes = "/api/octopusservernodes"
	return []route{
		{path: "/", class: "other", open: true, methods: get((*Cluster).portal)},
		{path: "/app", class: "other", open: true, methods: get((*Cluster).portal)},
		{path: "/.well-known/openid-configuration", class: "token", open: true, methods: get((*Cluster).wellKnown)},
		{path: "/token/v1", class: "token", open: true, methods: map[string]handler{http.MethodPost: (*Cluster).exchangeToken}},
		{path: "/api", class: "api", open: true, methods: get((*Cluster).root)},
		{path: "/api/serverstatus", class: "status", methods: get((*Cluster).serverStatus)},
		{path: "/api/serverstatus/health", class: "status", open: true, methods: get((*Cluster).health)},
		{path: "/api/serverstatus/system-info", class: "status", admin: true, methods: get((*Cluster).systemInfo)},
		{path: "/api/maintenanceconfiguration", class: "maintenance", methods: map[string]handler{
			http.MethodGet: (*Cluster).readMaintenance, http.MethodPut: (*Cluster).putMaintenance}},
		{path: nodes, class: "nodes", methods: get((*Cluster).listNodes)},
		{path: nodes + "/all", class: "nodes", methods: get((*Cluster).allNodes)},
		{path: nodes + "/summary", class: "summary", methods: get((*Cluster).summary)},
		{path: nodes + "/ping", class: "ping", open: true, methods: get((*Cluster).ping)},
		{path: nodes + "/{id}", class: "nodes", methods: map[string]handler{
			http.MethodGet: (*Cluster).readNode, http.MethodPut: (*Cluster).putNode}},
		{path: nodes + "/{id}/details", class: "nodes", methods: get((*Cluster).nodeDetails)},
		{path: "/api/tasks", class: "tasks", methods: get((*Cluster).listTasks)},
		{path: "/api/tasks/{id}", class: "tasks", methods: get((*Cluster).readTask)},
		{path: "/api/tasks/{id}/cancel", class: "tasks", methods: map[string]handler{http.MethodPost: (*Cluster).cancelTask}},
		{path: "/api/users/me", class: "user", methods: get((*Cluster).me)},
		{path: "/api/users/{id}/permissions", class: "user", methods: get((*Cluster).permissions)},
		{path: "/api/spaces/all", class: "spaces", methods: get((*Cluster).allSpaces)},
	}
}

// find returns the route of a path and what stands in it for {id}.
func find(path string) (route, string) {
	if trimmed := strings.TrimSuffix(path, "/"); trimmed != "" {
		path = trimmed
	}
	for _, way := range routes() {
		if id, matches := match(way.path, path); matches {
			return way, id
		}
	}
	return route{class: "other"}, ""
}

// match compares segment by segment. As in Octopus, the case of letters does not count.
func match(pattern, path string) (id string, matches bool) {
	wanted, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(wanted) != len(got) {
		return "", false
	}
	for i, segment := range wanted {
		if segment == "{id}" {
			id = got[i]
		} else if !strings.EqualFold(segment, got[i]) {
			return "", false
		}
	}
	return id, true
}
