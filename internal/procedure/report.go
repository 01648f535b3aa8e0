package procedure

import (
	"slices"
	"time"
)

// NodeReport is what became of one node.
type NodeReport struct {
	Node          string           `json:"node"`
	Host          string           `json:"host"`
	Result        Kind             `json:"result"`
	Reason        string           `json:"reason,omitempty"`
	Before        Windows          `json:"before"`
	After         Windows          `json:"after"`
	Installed     []UpdateOutcome  `json:"installed"`
	Failed        []UpdateOutcome  `json:"failed"`
	Skipped       []Update         `json:"skipped"` // offered and not taken, with the reason
	Reboots       int              `json:"reboots"`
	RebootPending bool             `json:"reboot_pending"`
	Precaution    *TakenPrecaution `json:"precaution,omitempty"`
	Phases        []PhaseReport    `json:"phases"`
	Timeline      Timeline         `json:"timeline"`
	Next          string           `json:"next,omitempty"` // the command that goes on from here
	Busy          string           `json:"-"`              // what installed there at the end of patch
}

// PhaseReport is how one phase ended.
type PhaseReport struct {
	Phase   string    `json:"phase"`
	Title   string    `json:"title"`
	Result  Kind      `json:"result"`
	Reason  string    `json:"reason,omitempty"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
}

// Timeline is when a node left service and came back; zero times did not happen.
type Timeline struct {
	Drained     time.Time `json:"drained,omitzero"`
	ServiceDown time.Time `json:"service_down,omitzero"`
	HostDown    time.Time `json:"host_down,omitzero"`
	Back        time.Time `json:"back,omitzero"`
	Reopened    time.Time `json:"reopened,omitzero"`
}

// Downtime is what users saw of it: a probe of OCTOPUS_URL through the whole run.
type Downtime struct {
	Every     float64    `json:"probe_seconds"` // distance of two probes
	Probes    int        `json:"probes"`
	Failed    int        `json:"failed"`
	Seconds   float64    `json:"seconds"` // from the first failed probe of each interval to the next good one
	Intervals []Interval `json:"intervals"`
	Unseen    *Interval  `json:"unseen,omitempty"` // of the run, before this process went on with it: nobody probed then
}

// Interval is one span of user-visible downtime.
type Interval struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Resume takes what an earlier process of the run has done to the node, as its journal tells.
func (r *NodeReport) Resume(j Journal) {
	at := func(unix int64) time.Time {
		if unix == 0 {
			return time.Time{}
		}
		return time.Unix(unix, 0)
	}
	r.Timeline.Drained = at(j.Octopus.EnteredAt)
	if j.Host != nil {
		r.Timeline.ServiceDown = at(j.Phases[Stop].Began)
	}
	what := j.Phases[Patch].Brought
	if what == nil {
		return
	}
	r.Reboots, r.Timeline.HostDown, r.Timeline.Back = what.Reboots, at(what.HostDown), at(what.Back)
	for _, u := range what.Installed {
		r.Installed = append(r.Installed, UpdateOutcome{ID: u.ID, Title: u.Title, KBs: u.KBs, Step: "install", Result: "succeeded", Succeeded: true})
	}
	for _, u := range what.Failed {
		r.Failed = append(r.Failed, UpdateOutcome{ID: u.ID, Title: u.Title, KBs: u.KBs, Step: "install", Result: "failed", Code: u.Code, Words: u.Words, Next: u.Next})
	}
}

// Brought is what patch has done to the node so far, for its journal.
func (r *NodeReport) Brought(reboots int) Brought {
	b := Brought{Installed: []BroughtUpdate{}, Reboots: reboots}
	if t := r.Timeline.HostDown; !t.IsZero() {
		b.HostDown = t.Unix()
	}
	if t := r.Timeline.Back; !t.IsZero() {
		b.Back = t.Unix()
	}
	for _, o := range r.Installed {
		b.Installed = append(b.Installed, BroughtUpdate{ID: o.ID, Title: o.Title, KBs: o.KBs})
	}
	for _, o := range r.Failed {
		b.Failed = append(b.Failed, BroughtUpdate{ID: o.ID, Title: o.Title, KBs: o.KBs, Code: o.Code, Words: o.Words, Next: o.Next})
	}
	return b
}

// Add takes the outcome of one round of the worker into the report.
func (r *NodeReport) Add(result WorkResult) {
	for _, o := range result.Outcomes {
		if o.Succeeded && o.Step == "install" {
			r.Installed = append(slices.DeleteFunc(r.Installed, func(had UpdateOutcome) bool { return had.ID == o.ID }), o)
		}
	}
	r.Skipped = nil
	for _, u := range result.Updates {
		if u.Skip != "" {
			r.Skipped = append(r.Skipped, u)
		}
	}
}
