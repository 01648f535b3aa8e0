package server

import (
	"net/http"
	"slices"
	"strings"
)

// nodeResource is a node as list, item and PUT show it: without its state.
type nodeResource struct {
	Id                  string //nolint:revive,staticcheck // Octopus' spelling
	Name                string
	MaxConcurrentTasks  int
	IsInMaintenanceMode bool // drain, and not Maintenance Mode (OctopusDeploy/Issues#7964)
	LastModifiedOn      *string
	LastModifiedBy      string
	Links               links
}

// nodeSummary is a node with its state.
type nodeSummary struct {
	nodeResource
	IsOffline                           bool
	LastSeen                            *string
	RunningTaskCount                    int
	Version                             string `json:",omitempty"`
	MaxSqlConnectionPoolSize            int    `json:",omitempty"` //nolint:revive,staticcheck // Octopus' spelling
	RecommendedMaxSqlConnectionPoolSize int    `json:",omitempty"` //nolint:revive,staticcheck // Octopus' spelling
	Rank                                string `json:",omitempty"` // until 2020.3
}

func (n *node) resource() nodeResource {
	self := "/api/octopusservernodes/" + n.id
	return nodeResource{n.id, n.name, n.taskCap, n.drained, stamp(n.modifiedOn), n.modifiedBy, links{"Self": self, "Node": self, "Details": self + "/details"}}
}

func (c *Cluster) listNodes(r *request) reply {
	ids, part := fields(r, "ids"), strings.ToLower(r.URL.Query().Get("partialName"))
	list := []nodeResource{}
	for _, n := range c.nodes {
		if (len(ids) == 0 || slices.Contains(ids, n.id)) && strings.Contains(strings.ToLower(n.name), part) {
			list = append(list, n.resource())
		}
	}
	return paged(r, "OctopusServerNode", list)
}

func (c *Cluster) allNodes(*request) reply {
	list := []nodeResource{}
	for _, n := range c.nodes {
		list = append(list, n.resource())
	}
	return ok(list)
}

func (c *Cluster) summary(r *request) reply {
	list := []nodeSummary{}
	for i, n := range c.nodes {
		s := nodeSummary{
			nodeResource: n.resource(), IsOffline: n.offline(c.now), LastSeen: stamp(n.seen(c.now)), RunningTaskCount: c.running(n),
			Version: n.version, MaxSqlConnectionPoolSize: 100, RecommendedMaxSqlConnectionPoolSize: 100,
		}
		if c.faults.Has("octopus-2019", r.node.name) {
			s.Version, s.MaxSqlConnectionPoolSize, s.RecommendedMaxSqlConnectionPoolSize = "", 0, 0
			s.Rank = "Follower"
			if i == 0 {
				s.Rank = "Leader"
			}
		}
		list = append(list, s)
	}
	return ok(struct {
		Nodes []nodeSummary
		Links links
	}{list, links{"Self": "/api/octopusservernodes/summary"}})
}

// ping tells who answers: 200 when it serves, 418 when it drains.
func (c *Cluster) ping(r *request) reply {
	n := r.node
	a := ok(struct {
		Id, Name            string //nolint:revive,staticcheck // Octopus' spelling
		LastSeen            *string
		IsOffline           bool
		MaxConcurrentTasks  int
		IsInMaintenanceMode bool
		Version             string
		Links               links
	}{n.id, n.name, stamp(n.seen(c.now)), n.offline(c.now), n.taskCap, n.drained, n.version,
		links{"Self": "/api/octopusservernodes/ping", "Node": "/api/octopusservernodes/" + n.id}})
	if n.drained {
		a.status = http.StatusTeapot
	}
	return a
}

func (c *Cluster) byID(id string) *node {
	i := slices.IndexFunc(c.nodes, func(n *node) bool { return strings.EqualFold(n.id, id) })
	if i < 0 {
		return nil
	}
	return c.nodes[i]
}

func (c *Cluster) readNode(r *request) reply {
	n := c.byID(r.id)
	if n == nil {
		return missing(r.id)
	}
	return ok(n.resource())
}

func (c *Cluster) nodeDetails(r *request) reply {
	n := c.byID(r.id)
	if n == nil {
		return missing(r.id)
	}
	return ok(struct {
		Id           string //nolint:revive,staticcheck // Octopus' spelling
		RunningTasks int
		Links        links
	}{n.id, c.running(n), links{"Self": "/api/octopusservernodes/" + n.id + "/details"}})
}
