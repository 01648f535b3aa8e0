package procedure

import "time"

// EventType is the type of a line in the JSON log.
type EventType string

// All types of events.
const (
	RunStarted   EventType = "run_started"
	PhaseStarted EventType = "phase_started"
	Waiting      EventType = "waiting"
	Progress     EventType = "progress"
	PhaseEnded   EventType = "phase_ended"
	NodeEnded    EventType = "node_ended"
	Warning      EventType = "warning"
	RunEnded     EventType = "run_ended"
)

// Event is one thing that an operator should know. Text, JSON and CI logs are rendered from the same events.
type Event struct {
	Type       EventType `json:"type"`
	Time       time.Time `json:"time"` // of the run's clock
	Run        string    `json:"run"`
	Node       string    `json:"node,omitempty"`   // Octopus' node name; empty where the phase is the cluster's
	Phase      string    `json:"phase,omitempty"`  // "enter", "patch", …; also "preflight" and "stage"
	Title      string    `json:"title,omitempty"`  // the document's words, on phase_started
	Result     Kind      `json:"result,omitempty"` // on phase_ended, node_ended
	Reason     string    `json:"reason,omitempty"`
	Seconds    float64   `json:"seconds,omitempty"`       // phase_ended, node_ended, run_ended: how long it took; waiting: how long so far
	WaitingFor string    `json:"waiting_for,omitempty"`   // waiting: what is awaited, by name
	Since      time.Time `json:"since,omitzero"`          // waiting: since when
	Limit      float64   `json:"limit_seconds,omitempty"` // waiting: how long it may take
	Percent    int       `json:"percent,omitempty"`       // progress
	Message    string    `json:"message,omitempty"`       // progress, warning: one sentence
	Next       string    `json:"next,omitempty"`          // run_ended, node_ended: the one command to run next
	Exit       *int      `json:"exit,omitempty"`          // run_ended
	Alert      bool      `json:"-"`                       // must not be missed: OCTOPATCH_NOTIFY gets it
}

// Sink receives events. It must not block for long, and may be called from any goroutine.
type Sink interface {
	Event(Event)
}
