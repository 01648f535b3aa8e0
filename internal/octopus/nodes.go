package octopus

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

const nodesPath = "/api/octopusservernodes"

// summary is the answer of /api/octopusservernodes/summary.
type summary struct{ Nodes *[]nodeSummary }

// nodeSummary is one node of it. Version came with Octopus 2020; LastSeen is null before the first heartbeat.
type nodeSummary struct {
	nodeRecord
	IsOffline        *bool
	LastSeen         moment
	RunningTaskCount *int
	Version          string
}

// nodeRecord is the node itself, as it is read and as it is put. IsInMaintenanceMode is drain here, and false
// must be sent as well as true; MaxConcurrentTasks 0 makes a node for the web portal only.
type nodeRecord struct {
	ID      string `json:"Id"`
	Name    string
	TaskCap *int  `json:"MaxConcurrentTasks"`
	Drained *bool `json:"IsInMaintenanceMode"`
}

func (n nodeRecord) gap() string {
	return absent(need{"Id", n.ID != ""}, need{"Name", n.Name != ""}, need{"MaxConcurrentTasks", n.TaskCap != nil}, need{"IsInMaintenanceMode", n.Drained != nil})
}

func (s summary) gap() string {
	if s.Nodes == nil {
		return absent(need{"Nodes", false})
	}
	for i, n := range *s.Nodes {
		gap := n.gap()
		if gap == "" {
			gap = absent(need{"IsOffline", n.IsOffline != nil}, need{"RunningTaskCount", n.RunningTaskCount != nil})
		}
		if gap != "" {
			return fmt.Sprintf("%s (node %d of %d)", gap, i+1, len(*s.Nodes))
		}
	}
	return ""
}

// Nodes reads the summary of all nodes.
func (c *Client) Nodes(ctx context.Context) ([]procedure.NodeState, error) {
	s, err := ask[summary](ctx, c, call{path: nodesPath + "/summary"})
	if err != nil {
		return nil, err
	}
	nodes := make([]procedure.NodeState, len(*s.Nodes))
	for i, n := range *s.Nodes {
		nodes[i] = procedure.NodeState{
			ID: n.ID, Name: n.Name, Drained: *n.Drained, TaskCap: *n.TaskCap,
			Offline: *n.IsOffline, LastSeen: n.LastSeen.Time, Running: *n.RunningTaskCount, Version: n.Version,
		}
	}
	return nodes, nil
}

// SetDrain puts the node into drain mode or out of it. The node is read afresh and put back whole, since it is
// not documented what becomes of a task cap that is left out.
func (c *Client) SetDrain(ctx context.Context, node string, drained bool) error {
	id, err := c.nodeID(ctx, node)
	if err != nil {
		return err
	}
	path := nodesPath + "/" + url.PathEscape(id)
	record, err := ask[nodeRecord](ctx, c, call{path: path})
	if err != nil {
		return err
	}
	if record.ID != id || !strings.EqualFold(record.Name, node) {
		return c.unreadable(call{path: path}, "another node than "+node)
	}
	record.Drained = &drained
	put := call{method: http.MethodPut, path: path, body: record}
	after, err := ask[nodeRecord](ctx, c, put)
	if err != nil {
		return err
	}
	if after.ID != id || *after.Drained != drained || *after.TaskCap != *record.TaskCap {
		return c.unreadable(put, "a node that is not as it was put")
	}
	return nil
}

// nodeID looks the id up by name: it is never built, for nothing documents how.
func (c *Client) nodeID(ctx context.Context, node string) (string, error) {
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return "", err
	}
	id := ""
	for _, n := range nodes {
		if !strings.EqualFold(n.Name, node) {
			continue
		}
		if id != "" {
			return "", &procedure.Fault{Subject: node, Problem: "is the name of more than one node", Remedy: "delete the record that is not in use in Configuration > Nodes"}
		}
		id = n.ID
	}
	if id == "" {
		return "", &procedure.Fault{Subject: node, Problem: "is not a node of the Octopus Server at " + c.at.url, Remedy: "look at Configuration > Nodes"}
	}
	return id, nil
}

// nodeDetails is the answer of /api/octopusservernodes/{id}/details.
type nodeDetails struct{ RunningTasks *int }

func (d nodeDetails) gap() string { return absent(need{"RunningTasks", d.RunningTasks != nil}) }

// RunningTasks asks for the number of tasks that a node runs, apart from the summary.
func (c *Client) RunningTasks(ctx context.Context, node string) (int, error) {
	id, err := c.nodeID(ctx, node)
	if err != nil {
		return 0, err
	}
	d, err := ask[nodeDetails](ctx, c, call{path: nodesPath + "/" + url.PathEscape(id) + "/details"})
	if err != nil {
		return 0, err
	}
	return *d.RunningTasks, nil
}

// ping is the answer of /api/octopusservernodes/ping.
type ping struct{ Name, Version string }

func (p ping) gap() string { return absent(need{"Name", p.Name != ""}) }

// Ping asks the node at its own address, without a key. Status 418 is an answer too: draining or offline.
func (c *Client) Ping(ctx context.Context, node string) (procedure.NodePing, error) {
	near, ok := c.Via(node)
	if !ok {
		return procedure.NodePing{}, &procedure.Fault{Kind: procedure.ErrNoNodeURL, Subject: node, Problem: "its own address is not known", Remedy: "give it in " + settingNodeURLs}
	}
	p, status, err := askStatus[ping](ctx, near, call{path: nodesPath + "/ping", open: true, also: []int{http.StatusTeapot}, limit: pingLimit})
	if err != nil {
		return procedure.NodePing{}, err
	}
	return procedure.NodePing{Status: status, Name: p.Name, Version: p.Version}, nil
}
