package procedure

import (
	"context"
	"time"
)

// Service is one Windows service. Names are data and may hold any character.
type Service struct {
	Name       string   `json:"name"`
	State      string   `json:"state"`      // Win32_Service.State: Running, Stopped, Start Pending, Stop Pending, …
	Start      string   `json:"start"`      // Win32_Service.StartMode: Auto, Manual, Disabled
	Delayed    bool     `json:"delayed"`    // delayed auto-start
	Dependents []string `json:"dependents"` // names of the services that depend on it and were running
}

// Instance is one Octopus Server instance found on a host through its service's binary path.
type Instance struct {
	Service  Service
	Name     string   // instance name: "OctopusServer" for the default one
	Node     string   // Octopus.Server.NodeName of its configuration
	Prefixes []string // its own listen prefixes
	Version  string   // file version of Octopus.Server.exe
	// LocalData: the database or file share of the cluster lives on this host (a derived yes or no).
	LocalData bool
	// OnDisks names the settings whose data lies on the host's own disks, or of which that cannot be told: what a
	// revert of these disks would rewind.
	OnDisks []string
}

// Watchdog is a Windows scheduled task that restarts a stopped Octopus Server.
type Watchdog struct {
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"`
}

// Windows is what tells one operating system state from another.
type Windows struct {
	Boot    string `json:"boot"`    // boot time as FILETIME digits: compared for equality only
	Caption string `json:"caption"` // "Microsoft Windows Server 2022 Standard"
	Build   string `json:"build"`   // "20348"
	UBR     int    `json:"ubr"`     // update build revision
}

// HostFacts is what preflight and plan need to know of a host; reading them changes nothing.
type HostFacts struct {
	Computer   string // NetBIOS name
	FQDN       string
	MachineID  string // a hash of MachineGuid: equal to the runner's own means the runner is this host
	PowerShell string // PSVersion
	Time       time.Time
	BootTime   time.Time
	Windows    Windows
	FreeBytes  int64    // on the system drive
	Pending    []string // indicators of a hard pending reboot, by name; empty: none
	Soft       []string // indicators that are reported only
	Busy       string   // what installs right now, or empty
	Policy     UpdatePolicy
	Agents     []string // what else may patch or restart this host, in words
	Instances  []Instance
	Watchdogs  []Watchdog
	Folder     string // "absent", "ours", or why the folder cannot be trusted
	Journal    *Journal
	Copy       *Journal // of another node, while that one's machine is reverted
	Lease      *Lease   // nil: nobody works on it
	Deadman    *Armed   // nil: not armed
}

// UpdatePolicy is what policies say about updates on a host.
type UpdatePolicy struct {
	Restarts    []string `json:"restarts"`      // what lets Windows install or restart by itself; empty: nothing
	Server      string   `json:"update_server"` // the WSUS; empty: none
	ServerError string   `json:"update_server_error,omitempty"`
	NoInternet  bool     `json:"no_internet"` // Microsoft's own services may not be asked
}

// HostHealth is what decides whether a node may be opened again.
type HostHealth struct {
	Windows  Windows
	BootTime time.Time
	Services []Service
	Pending  []string
	// Ping is what the instance answered at its own listen prefix, asked on the host without any key.
	Ping NodePing
	// PingError is set when it did not answer.
	PingError string
}

// StopOrder says which services to stop.
type StopOrder struct {
	Services []string
	Ran      []string      // those among them that ran when the run began, whatever they do by now
	Limit    time.Duration // for each service to reach Stopped
	Deadman  Deadman       // set before anything stops
}

// StartOrder says what to put back: the prior state comes from the journal on the host itself.
type StartOrder struct {
	Limit time.Duration // for each service to reach Running
}

// Readiness describes when a host counts as back after a reboot.
type Readiness struct {
	BootBefore string        // the boot time must differ from this one; empty: any
	Quiet      time.Duration // same boot time and everything idle for that long
	Limit      time.Duration
}

// Prober reads a host.
type Prober interface {
	// Probe reads the facts of the host.
	Probe(ctx context.Context) (HostFacts, error)
	// Health reads what decides whether the node is healthy; node is the Octopus node name to expect.
	Health(ctx context.Context, services []string, prefixes []string) (HostHealth, error)
}

// Recorder keeps the journal on a host.
type Recorder interface {
	// Record merges the change into run.json and answers with the journal as it stands then.
	Record(ctx context.Context, c Change) (Journal, error)
	// Clear removes our tasks and our folder. Clearing what is not there is no error. The run id must
	// match the journal's, or be empty to remove only what no journal claims.
	Clear(ctx context.Context, run string) error
}

// Copier keeps a copy of another node's journal while that node's machine is reverted, which rewinds its own.
type Copier interface {
	// KeepCopy replaces the copy of that node. A host that keeps another node's refuses.
	KeepCopy(ctx context.Context, j Journal) error
	// DropCopy removes the copy of that node. Dropping what is not there is no error.
	DropCopy(ctx context.Context, node string) error
}

// Servicer stops and starts Windows services; each call writes its Change into run.json first.
type Servicer interface {
	// Stop records the prior state in the journal, holds start types and watchdogs, and stops the services.
	Stop(ctx context.Context, c Change, order StopOrder) (Journal, error)
	// Start puts start types, services, dependents and watchdogs back as the journal recorded them.
	Start(ctx context.Context, c Change, order StartOrder) (Journal, error)
	// Undrain exits drain mode through Octopus.Server.exe on the host itself.
	Undrain(ctx context.Context, c Change, instance string) error
}

// Updater works with Windows Update through the worker on the host. The worker outlives the connection;
// Work follows it again after a fault, so a lost reply does not surface here.
type Updater interface {
	Work(ctx context.Context, c Change, order WorkOrder, progress func(WorkProgress)) (WorkResult, error)
}

// Rebooter reboots a host and sees it come back.
type Rebooter interface {
	// Reboot asks Windows to restart now. It is never retried blindly: ErrNoReply means ask Ready.
	Reboot(ctx context.Context, c Change) error
	// Ready returns once the host is back and quiet; waiting tells what is awaited at present.
	Ready(ctx context.Context, want Readiness, waiting func(string)) (Windows, error)
}

// Host is one Windows machine.
type Host interface {
	Prober
	Recorder
	Copier
	Servicer
	Updater
	Rebooter
	Locker
	Armer
}
