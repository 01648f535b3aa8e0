package procedure

import (
	"cmp"
	"runtime"
	"strings"
	"unicode"
)

// Journal is run.json: the truth about an unfinished run, kept on the host itself. Times are Unix seconds
// and boot times FILETIME digits, because Windows PowerShell and PowerShell 7 read ISO dates differently.
type Journal struct {
	Format   int                    `json:"format"` // 1
	Run      string                 `json:"run"`
	Counter  int64                  `json:"counter"` // only grows
	Node     string                 `json:"node"`
	Owner    string                 `json:"owner"`
	Topology Topology               `json:"topology"`
	Updated  int64                  `json:"updated"`
	Intent   *Intent                `json:"intent,omitempty"` // the last change that was begun
	Phases   map[string]PhaseRecord `json:"phases,omitempty"` // by phase name
	Octopus  OctopusPrior           `json:"octopus"`
	// Precaution is what was taken of the machine, from the moment on at which it was about to be.
	Precaution *TakenPrecaution `json:"precaution,omitempty"`
	Host       *HostPrior       `json:"host,omitempty"` // written by the host when it first changes something
	Deadman    *Fired           `json:"deadman,omitempty"`
}

// Intent is a change that is about to be made.
type Intent struct {
	Phase string `json:"phase"`
	What  string `json:"what"`
	At    int64  `json:"at"`
	// Job is what the worker was last told to install, while its result is not known: another runner follows the same.
	Job  string `json:"job,omitempty"`
	Boot string `json:"boot,omitempty"` // of the host when it was told; FILETIME digits
}

// PhaseRecord is how a phase ended on this node.
type PhaseRecord struct {
	Result Kind   `json:"result"` // empty: it has begun, and its end was not recorded; with Began 0: it was taken back
	Reason string `json:"reason,omitempty"`
	Began  int64  `json:"began"` // 0: something forbade it before it did anything
	Ended  int64  `json:"ended"`
	// Brought is what patch has done to the machine so far, for the report of whoever goes on.
	Brought *Brought `json:"brought,omitempty"`
}

// Brought is what patch has done to a machine. Times are Unix seconds; 0: not yet.
type Brought struct {
	Installed []BroughtUpdate `json:"installed"`
	Failed    []BroughtUpdate `json:"failed,omitempty"`
	Reboots   int             `json:"reboots"`  // that were asked for
	HostDown  int64           `json:"hostDown"` // the first of them
	Back      int64           `json:"back"`     // from the last that was seen to end
}

// BroughtUpdate is an update that Windows reported as installed, or why it was not.
type BroughtUpdate struct {
	ID    string   `json:"id"`
	Title string   `json:"title"`
	KBs   []string `json:"kbs"`
	Code  string   `json:"code,omitempty"`
	Words string   `json:"words,omitempty"`
	Next  string   `json:"next,omitempty"`
}

// OctopusPrior is what Octopus looked like before this run changed it, and what this run changed. Only
// what is marked as ours is undone.
type OctopusPrior struct {
	Known       bool     `json:"known"`       // the three fields below were read
	Maintenance bool     `json:"maintenance"` // Maintenance Mode was on already
	Drained     bool     `json:"drained"`     // the node was drained already
	TaskCap     int      `json:"taskCap"`
	Version     string   `json:"version"`
	EnteredAt   int64    `json:"enteredAt"`             // T0: when Maintenance Mode or drain was on; 0: not yet
	OursMaint   bool     `json:"oursMaint"`             // this run enters Maintenance Mode
	OursDrain   bool     `json:"oursDrain"`             // this run drains the node
	Released    bool     `json:"released"`              // everything of ours is undone
	FileVersion string   `json:"fileVersion,omitempty"` // of Octopus.Server.exe
	OnDisks     []string `json:"onDisks"`               // settings whose data lies on the host's own disks; nil: not asked
	StartBegan  bool     `json:"startBegan"`            // the service may have run since it was stopped
	PingStatus  int      `json:"pingStatus"`            // what the node answered before; 0: not asked
	// Installation is the id of the installation, for the self-patch guard while the server is stopped.
	Installation string `json:"installation"`
}

// HostPrior is the host before this run changed it.
type HostPrior struct {
	Services  []Service  `json:"services"`
	Watchdogs []Watchdog `json:"watchdogs"`
	Boot      string     `json:"boot"` // FILETIME digits
	Build     string     `json:"build"`
	UBR       int        `json:"ubr"`
	Restored  bool       `json:"restored"`
}

// Change is what a remote call writes into run.json, in the same call that makes the change and before it.
type Change struct {
	Run      string                 `json:"run"`
	Counter  int64                  `json:"counter"`
	Node     string                 `json:"node"`
	Owner    string                 `json:"owner"`
	Topology Topology               `json:"topology"`
	At       int64                  `json:"at"`
	Intent   *Intent                `json:"intent,omitempty"`
	Phases   map[string]PhaseRecord `json:"phases,omitempty"`
	Octopus  *OctopusPrior          `json:"octopus,omitempty"`
	// Precaution replaces the field of the same name.
	Precaution *TakenPrecaution `json:"precaution,omitempty"`
}

// What has become of a precaution.
const (
	PrecautionTaking  = "taking"  // asked for, and not yet seen
	PrecautionTaken   = "taken"   // found again after it was taken
	PrecautionKept    = "kept"    // left on purpose until it expires
	PrecautionRemoved = "removed" // not there any more
	PrecautionLeft    = "left"    // could not be removed
)

// TakenPrecaution is the recovery point that this run takes of a node's machine.
type TakenPrecaution struct {
	Provider string `json:"provider"` // value of OCTOPATCH_PRECAUTION
	Name     string `json:"name"`
	Taken    int64  `json:"taken"`   // Unix seconds
	Expires  int64  `json:"expires"` // Unix seconds; 0: removed by the run
	State    string `json:"state"`
}

// Pending: it is there, or may be, and nobody has ended it.
func (t *TakenPrecaution) Pending() bool {
	return t != nil && (t.State == PrecautionTaken || t.State == PrecautionTaking)
}

// Held begins the note of a node that is held, without its dead-man switch; the reason follows.
const Held = "held: "

// GoOn is the command that goes on with every unfinished run, wherever it stands.
const GoOn = "octopatch run"

// With is a variable before a command, as the reader of this program's output types it: on Windows in PowerShell,
// elsewhere in a shell. Several stand one after the other.
func With(variable, value string) string { return with(runtime.GOOS, variable, value) }

func with(system, variable, value string) string {
	if system == "windows" {
		return "$env:" + variable + " = '" + strings.ReplaceAll(value, "'", "''") + "'; "
	}
	if strings.ContainsFunc(value, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.", r)
	}) {
		value = "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
	}
	return variable + "=" + value + " "
}

// Alone is the command that goes on with this node by the next phase only.
func (j Journal) Alone() string { return With("OCTOPATCH_NODE", j.Node) + "octopatch " + j.Next() }

// Finished: the run has ended on this node and put everything back; what is left is octopatch's own folder.
func (j Journal) Finished() bool {
	ours := j.Octopus.OursDrain || j.Octopus.OursMaint
	return j.Phases[Exit].Result == Done && !ours && (j.Host == nil || j.Host.Restored)
}

// PatchBegan: this run has begun to patch the machine, in this pass over the node or in an earlier one.
func (j Journal) PatchBegan() bool {
	patch := j.Phases[Patch]
	return patch.Began != 0 || patch.Brought != nil
}

// begun: the phase has come to something in this pass over the node.
func (j Journal) begun(phase string) bool {
	record, known := j.Phases[phase]
	return known && (record.Began != 0 || record.Result != "") || j.Intent != nil && j.Intent.Phase == phase
}

// Next is the phase that goes on from here: the one after the last that ended well, and the last one again where
// its end was not recorded. After one that ended badly the node is put back: what was not stopped needs no start.
func (j Journal) Next() string {
	if j.Deadman != nil && j.Host != nil && j.Host.Restored { // the service runs, and the node is closed
		return Exit
	}
	if j.Intent != nil && j.Intent.Phase == Recover { // a revert that was begun is finished before anything else
		return Recover
	}
	var last Phase
	next := Enter
	for _, p := range Phases() {
		if j.begun(p.Name) {
			last, next = p, ""
		} else if next == "" {
			next = p.Name
		}
	}
	switch record := j.Phases[last.Name]; {
	case last.Name == "":
		return Enter
	case record.Result == Done || record.Result == Skipped:
		return cmp.Or(next, Exit)
	case record.Result == "":
		return last.Name
	case j.Host == nil || last.Name == Exit:
		return Exit
	}
	return Start
}
