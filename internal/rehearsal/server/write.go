package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/octopatch/octopatch/internal/rehearsal/record"
)

// Mode says how an injected fault treats a write.
type Mode string

// The ways in which a write can go wrong.
const (
	Unapplied Mode = "unapplied" // the connection is cut before anything is done
	Lost      Mode = "lost"      // it is done, and the connection is cut
	Refused   Mode = "refused"   // it answers 500 and nothing is done
)

// Injection makes one write go wrong.
type Injection struct {
	What string // the name in the record: "octopus drain", …
	Node string // empty: any, and the cluster's own
	Nth  int    // the how-manieth such write from now on; 0 is the first
	Mode Mode
	met  int
}

// Inject arms an injection.
func (c *Cluster) Inject(i Injection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i.Nth = max(i.Nth, 1)
	c.injections = append(c.injections, &i)
}

// write is one change that a request asks for.
type write struct{ what, node, detail string }

// fate decides what becomes of a write, by injections first and faults second; empty: it is done.
func (c *Cluster) fate(r *request, w write) Mode {
	var mode Mode
	for _, i := range c.injections {
		if i.What == w.what && (i.Node == "" || i.Node == w.node) {
			if i.met++; i.met == i.Nth && mode == "" {
				mode = i.Mode
			}
		}
	}
	switch c.log.FateOf(record.Write{Time: c.now, Node: w.node, What: w.what, Detail: w.detail}) {
	case record.Unapplied:
		return Unapplied
	case record.Lost:
		return Lost
	}
	name := map[string]string{
		"octopus drain": "drain", "octopus undrain": "undrain",
		"octopus maintenance on": "maintenance", "octopus maintenance off": "maintenance",
	}[w.what]
	struck := w.node
	if struck == "" {
		struck = r.node.name // Maintenance Mode is of no node: the one that answers stands for it
	}
	switch {
	case mode != "" || name == "":
	case c.faults.Take(name+"-unapplied", struck, 1):
		mode = Unapplied
	case c.faults.Take(name+"-lost", struck, 1):
		mode = Lost
	}
	return mode
}

// carryOut does the change, or what a fault makes of it, and records it.
func (c *Cluster) carryOut(r *request, w write, do func() reply) reply {
	switch c.fate(r, w) {
	case Unapplied:
		c.record(w, "unapplied")
		return reply{cut: true}
	case Refused:
		c.record(w, "unapplied")
		return refusal(http.StatusInternalServerError, "An unexpected error occurred. Please check the Octopus Server logs.")
	case Lost:
		c.record(w, "lost reply")
		c.changed = true
		do()
		return reply{cut: true}
	}
	c.record(w, "applied")
	c.changed = true
	return do()
}

func (c *Cluster) record(w write, fate string) {
	c.log.Add(record.Write{Time: c.now, Node: w.node, What: w.what, Detail: w.detail, Fate: fate})
}

// turnedAway records a change that never reached its handler.
func (c *Cluster) turnedAway(r *request, way route, fate, detail string) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || way.methods[r.Method] == nil {
		return
	}
	w := write{what: "octopus " + strings.ToLower(r.Method) + " " + r.URL.Path}
	switch way.class {
	case "maintenance":
		if on, err := readSwitch(r.body); err == nil {
			w = maintenanceWrite(on)
		}
	case "nodes":
		if n, order := c.byID(r.id), (nodeOrder{}); n != nil && json.Unmarshal(r.body, &order) == nil {
			w = drainWrite(n, order)
		}
	case "tasks":
		w = write{what: "octopus cancel task", detail: r.id}
		if t := c.byTaskID(r.id); t != nil && t.node != nil {
			w.node = t.node.name
		}
	}
	w.detail = strings.TrimPrefix(w.detail+"; "+detail, "; ")
	c.record(w, fate)
}

// nodeOrder is the body of a PUT to a node. What it leaves out becomes false or 0: it is not documented
// whether a real server keeps the value then, and a client that relies on it should not pass here.
type nodeOrder struct {
	Id                  string //nolint:revive,staticcheck // Octopus' spelling
	Name                string
	IsInMaintenanceMode bool
	MaxConcurrentTasks  int
}

func drainWrite(n *node, order nodeOrder) write {
	w := write{what: "octopus undrain", node: n.name}
	if order.IsInMaintenanceMode {
		w.what = "octopus drain"
	}
	if order.MaxConcurrentTasks != n.taskCap {
		w.detail = fmt.Sprintf("task cap %d becomes %d", n.taskCap, order.MaxConcurrentTasks)
	}
	return w
}

func (c *Cluster) putNode(r *request) reply {
	n := c.byID(r.id)
	if n == nil {
		return missing(r.id)
	}
	var order nodeOrder
	if err := json.Unmarshal(r.body, &order); err != nil {
		return refusal(http.StatusBadRequest, "The request body is not valid.", err.Error())
	}
	if !strings.EqualFold(order.Id, n.id) || order.MaxConcurrentTasks < 0 {
		return refusal(http.StatusBadRequest, "There was a problem with your request.", "Id must be that of the node, and MaxConcurrentTasks not below 0.")
	}
	return c.carryOut(r, drainWrite(n, order), func() reply {
		n.taskCap = order.MaxConcurrentTasks
		c.store("node "+n.name+" task cap", n.taskCap)
		c.setDrain(n, order.IsInMaintenanceMode, "patching")
		return ok(n.resource())
	})
}

func maintenanceWrite(on bool) write {
	if on {
		return write{what: "octopus maintenance on"}
	}
	return write{what: "octopus maintenance off"}
}

// readSwitch reads the flag, which the vendor's own samples send as a bool and as a string.
func readSwitch(body []byte) (bool, error) {
	var order struct{ IsInMaintenanceMode any }
	if err := json.Unmarshal(body, &order); err != nil {
		return false, err
	}
	switch v := order.IsInMaintenanceMode.(type) {
	case bool:
		return v, nil
	case string:
		if i := slices.Index([]string{"false", "true"}, strings.ToLower(v)); i >= 0 {
			return i == 1, nil
		}
	}
	return false, fmt.Errorf("IsInMaintenanceMode is required")
}

func (c *Cluster) putMaintenance(r *request) reply {
	on, err := readSwitch(r.body)
	if err != nil {
		return refusal(http.StatusBadRequest, "There was a problem with your request.", err.Error())
	}
	return c.carryOut(r, maintenanceWrite(on), func() reply {
		begins := on && !c.maintenance.on
		c.maintenance.on, c.maintenance.modifiedOn, c.maintenance.modifiedBy = on, c.now, "patching"
		c.store("maintenance", on)
		if begins {
			c.settleForMaintenance()
		}
		return c.readMaintenance(r)
	})
}

func (c *Cluster) cancelTask(r *request) reply {
	t := c.byTaskID(r.id)
	if t == nil {
		return missing(r.id)
	}
	w := write{what: "octopus cancel task", detail: t.id() + " " + t.name}
	if t.node != nil {
		w.node = t.node.name
	}
	if !t.open() {
		w.detail += "; it had ended"
		c.record(w, "refused")
		return refusal(http.StatusBadRequest, "There was a problem with your request.", "The task has completed and cannot be canceled.")
	}
	return c.carryOut(r, w, func() reply {
		if t.state != cancelling {
			c.cancel(t)
		}
		return ok(c.taskResource(t, r.node))
	})
}
