package procedure

import "time"

// Plan is what a run would do now.
type Plan struct {
	Topology    Topology          `json:"topology"`
	Version     string            `json:"octopus_version"`
	Precaution  string            `json:"precaution"`
	Nodes       []PlanNode        `json:"nodes"` // in patch order
	Notice      Notice            `json:"notice"`
	Limits      map[string]string `json:"limits"` // by the setting's variable
	Warnings    []string          `json:"warnings"`
	Maintenance bool              `json:"maintenance_mode"` // on already
}

// PlanNode is what a run would do with one node.
type PlanNode struct {
	Node     string   `json:"node"`
	Host     string   `json:"host"`
	Windows  Windows  `json:"windows"`
	Pending  []string `json:"pending_reboot"`
	Services []string `json:"services"`
	Holds    []Task   `json:"holds_drain"`     // tasks that a drain would wait for now
	Humans   []Task   `json:"waits_for_human"` // those that nobody but a human ends
	Updates  []Update `json:"updates"`
	Skipped  []Update `json:"skipped"`
	Free     int64    `json:"free_bytes"`
	Need     int64    `json:"need_bytes"` // that the updates need on the system drive, as a rule

	Soft   []string     `json:"pending_reboot_uncertain"` // signs that are often stale or foreign, and not acted on
	Busy   string       `json:"busy"`                     // what installs right now
	Policy UpdatePolicy `json:"policy"`
	Agents []string     `json:"agents"`
	Skew   float64      `json:"clock_ahead_seconds"` // of the host against the runner

	Reason  string `json:"not_touched"` // why the node would be skipped; empty: it would be patched
	Problem string `json:"problem"`     // why it is not known what it would install; empty: it is known
}

// Notice is the announcement of the maintenance window to the teams using Octopus.
type Notice struct {
	Server      string    `json:"server"` // OCTOPUS_URL
	Topology    Topology  `json:"topology"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	Unavailable string    `json:"unavailable"` // what users will miss, in one sentence
	Scheduled   []Task    `json:"scheduled"`   // work whose QueueTime falls inside the window
	Waiting     []Task    `json:"waiting"`     // work that waits for a human and cannot resume meanwhile
}
