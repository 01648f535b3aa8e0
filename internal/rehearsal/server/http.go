package server

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// reply is what a client gets.
type reply struct {
	status int
	header map[string]string
	value  any    // sent as JSON
	page   string // sent as HTML, where it is not empty
	cut    bool   // nothing is sent, and the connection is closed
	half   bool   // the JSON ends in the middle
}

// bodyMost limits what a request may bring.
const bodyMost = 1 << 20

// discard is for what net/http would print about connections that are cut on purpose.
func discard() *log.Logger { return log.New(io.Discard, "", 0) }

// serve answers one request that came to a node's own address, or to the load balancer if there is no node.
func (c *Cluster) serve(w http.ResponseWriter, r *http.Request, n *node) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMost))
	if err != nil {
		http.Error(w, "the body was not received", http.StatusBadRequest)
		return
	}
	if c.closed != nil && c.closed() {
		panic(http.ErrAbortHandler) // net/http cuts the connection
	}
	if c.wire != nil {
		c.wire(r.Method+" "+r.URL.String(), true, r.Header, body)
		w = overheard{w, func(body []byte) { c.wire(r.Method+" "+r.URL.String(), false, w.Header(), body) }}
	}
	c.answer(&request{Request: r, body: body, node: n}).send(w)
}

// overheard tells what is written.
type overheard struct {
	http.ResponseWriter
	tell func([]byte)
}

func (o overheard) Write(body []byte) (int, error) {
	o.tell(body)
	return o.ResponseWriter.Write(body)
}

// answer decides under the lock.
func (c *Cluster) answer(r *request) reply {
	c.enter()
	defer c.leave()
	way, id := find(r.URL.Path)
	r.id = id
	c.count(way.class, r.Method)
	if way.class == "token" && !slices.ContainsFunc(c.nodes, func(n *node) bool { return n.service != stopped }) {
		c.requests.ByClass["token while stopped"]++
	}
	if r.node == nil {
		r.node = c.balance()
		if r.node == nil {
			return page(http.StatusServiceUnavailable, "503 Service Unavailable", "No server is available to handle this request.")
		}
	}
	switch r.node.service {
	case stopped: // the balancer has not noticed yet
		return page(http.StatusBadGateway, "502 Bad Gateway", "The server did not answer.")
	case starting:
		return page(http.StatusServiceUnavailable, "Octopus Server", "Octopus Server is starting. Please wait.")
	}
	return c.disturbed(r, way)
}

// disturbed answers as the node does, or as what stands between it and the client.
func (c *Cluster) disturbed(r *request, way route) reply {
	n := r.node.name
	if c.faults.Has("html", n) || c.faults.Has("html-after-change", n) && c.changed {
		c.turnedAway(r, way, "unapplied", "an HTML page was answered")
		return login()
	}
	if r.Method == http.MethodGet {
		c.breakOnce(r.node)
		if c.broken(r.node) {
			return page(http.StatusServiceUnavailable, "503 Service Unavailable", "The service is unavailable.")
		}
		if c.faults.Has("octopus-502", n) && c.met("octopus-502")%gatewayEach == 0 {
			return page(http.StatusBadGateway, "502 Bad Gateway", "The server did not answer.")
		}
	}
	a := c.authorized(r, way)
	if c.faults.Has("html-after-change", n) && c.changed && !a.cut {
		return login()
	}
	a.half = c.faults.Has("truncated-json", n) || c.faults.Has("truncated-json-after-change", n) && c.changed
	return a
}

// authorized answers who may ask, and turns the others away.
func (c *Cluster) authorized(r *request, way route) reply {
	handle, known := way.methods[r.Method]
	switch {
	case way.methods == nil:
		return refusal(http.StatusNotFound, "The resource you requested was not found.")
	case !known:
		return refusal(http.StatusMethodNotAllowed, "The method "+r.Method+" is not allowed for this resource.")
	case way.open:
		return handle(c, r)
	case !c.knows(r.Request) || c.faults.Has("key-refused", r.node.name):
		c.turnedAway(r, way, "refused", "HTTP 401")
		return refusal(http.StatusUnauthorized, "You must be logged in to request this resource. Please provide a valid API key or log in again.")
	case c.faults.Has("octopus-429", r.node.name) && c.met("octopus-429") <= throttled:
		c.turnedAway(r, way, "refused", "HTTP 429")
		a := refusal(http.StatusTooManyRequests, "Too many requests. Please try again later.")
		a.header = map[string]string{"Retry-After": "2"}
		return a
	case (way.admin || r.Method != http.MethodGet) && c.faults.Has("key-not-admin", r.node.name):
		c.turnedAway(r, way, "refused", "HTTP 403")
		return refusal(http.StatusForbidden, "You do not have permission to perform this action. Please contact your Octopus administrator. Missing permission: AdministerSystem")
	}
	return handle(c, r)
}

// knows reports whether the request shows the key, as an API key or as an access token.
func (c *Cluster) knows(r *http.Request) bool {
	if c.revoked {
		return false
	}
	if r.Header.Get("X-Octopus-ApiKey") == c.key || r.Header.Get("Authorization") == "Bearer "+c.key {
		return true
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return c.now.Before(c.tokens[token])
}

func (c *Cluster) count(class, method string) {
	c.requests.Total++
	c.requests.ByClass[class]++
	if method != http.MethodGet && method != http.MethodHead {
		c.requests.Changes++
	}
}

func ok(value any) reply { return reply{status: http.StatusOK, value: value} }

// refusal has the shape of Octopus' errors.
func refusal(status int, message string, more ...string) reply {
	if more == nil {
		more = []string{}
	}
	return reply{status: status, value: struct {
		ErrorMessage    string
		Errors          []string
		FullException   *string
		HelpText        *string
		HelpLink        *string
		ParsedHelpLinks []string
		Details         map[string]string
	}{ErrorMessage: message, Errors: more, ParsedHelpLinks: []string{}, Details: map[string]string{}}}
}

func page(status int, title, text string) reply {
	return reply{status: status, page: "<!DOCTYPE html>\n<html><head><title>" + title + "</title></head><body><h1>" + title + "</h1><p>" + text + "</p></body></html>\n"}
}

// login is the page that a company's single sign-on puts in front of a server.
func login() reply {
	return page(http.StatusOK, "Sign in", `<form method="post"><input name="user"><input name="password" type="password"></form>`)
}

func (a reply) send(w http.ResponseWriter) {
	if a.cut {
		panic(http.ErrAbortHandler) // the documented way to close a connection without an answer
	}
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	body, kind := []byte(a.page), "text/html; charset=utf-8"
	if a.page == "" {
		var err error
		if body, err = json.Marshal(a.value); err != nil {
			panic(err) // the types of this package can all be encoded
		}
		kind = "application/json; charset=utf-8"
		if a.half {
			body = body[:len(body)/2]
		}
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // the client may have gone
}

// fields splits the values of a query parameter, which may be repeated or joined by commas.
func fields(r *request, name string) []string {
	var list []string
	for _, value := range r.URL.Query()[name] {
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
	}
	return list
}
