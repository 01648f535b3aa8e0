package procedure

import (
	"context"
	"time"
)

// NodeState is one node of the cluster, as Octopus' summary tells it.
type NodeState struct {
	ID       string
	Name     string
	Drained  bool // IsInMaintenanceMode of the node, which is drain and not Maintenance Mode
	TaskCap  int  // MaxConcurrentTasks; 0 is a node for the web portal only
	Offline  bool
	LastSeen time.Time // zero: never, or not told
	Running  int       // RunningTaskCount
	Version  string    // empty before 2020: then it is only in /api
}

// NodePing is what a node itself answers at its own address.
type NodePing struct {
	Status  int // 200 serving, 418 draining or offline
	Name    string
	Version string
}

// Task is an Octopus task that has not completed.
type Task struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"` // the type: Deploy, RunbookRun, Health, …
	Description  string    `json:"description"`
	State        string    `json:"state"`          // Queued, Executing, Cancelling
	SpaceID      string    `json:"space"`          // empty for system tasks
	Node         string    `json:"node,omitempty"` // ServerNode: the node's id, on old servers its name; empty while not picked up
	QueueTime    time.Time `json:"queue_time,omitzero"`
	QueueExpiry  time.Time `json:"queue_expiry,omitzero"`
	StartTime    time.Time `json:"start_time,omitzero"` // zero: not started
	WaitsForUser bool      `json:"waits_for_human"`     // HasPendingInterruptions
}

// ServerInfo is what /api and /api/serverstatus say.
type ServerInfo struct {
	Version        string
	InstallationID string
	Maintenance    bool
}

// User is the account behind the key or token.
type User struct {
	Name              string
	IsService         bool
	AdministerSystem  bool
	PermissionsProven bool // IsPermissionsComplete: the list of permissions is whole
}

// Cluster is Octopus' API as the phases need it. Every method reads afresh. Errors are Faults: ErrNoReply
// after a lost answer to a change, ErrUnreachable when it surely did not arrive, ErrUnreadable for HTML or
// truncated JSON, ErrDenied for 401 and 403.
type Cluster interface {
	// Nodes reads the summary of all nodes.
	Nodes(ctx context.Context) ([]NodeState, error)
	// SetDrain puts the node into drain mode or out of it; every other field of the node stays as it is.
	SetDrain(ctx context.Context, node string, drained bool) error
	// MaintenanceMode reads whether the installation is in Maintenance Mode.
	MaintenanceMode(ctx context.Context) (bool, error)
	// SetMaintenanceMode enters or exits Maintenance Mode.
	SetMaintenanceMode(ctx context.Context, on bool) error
	// Tasks lists every task that is Queued, Executing or Cancelling, in all spaces, system tasks included.
	Tasks(ctx context.Context) ([]Task, error)
	// CancelTask asks Octopus to cancel a task.
	CancelTask(ctx context.Context, id string) error
}

// Server is the part of Octopus' API that tells who and what we talk to.
type Server interface {
	// Info reads version, installation and Maintenance Mode through OCTOPUS_URL.
	Info(ctx context.Context) (ServerInfo, error)
	// CurrentUser reads the account and its system permissions.
	CurrentUser(ctx context.Context) (User, error)
	// Ping asks the node at its own URL; ErrNoNodeURL when there is none.
	Ping(ctx context.Context, node string) (NodePing, error)
	// Serving asks the address that users use, once and without a key: nil means it answered 200.
	Serving(ctx context.Context) error
}
