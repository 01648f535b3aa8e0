package procedure

import "time"

// What may be done when the drain limit is reached.
const (
	DrainAbort  = "abort"
	DrainCancel = "cancel"
)

// What to do with tasks that wait for a human on the node that drains.
const (
	InterruptionsFail   = "fail"
	InterruptionsWait   = "wait"
	InterruptionsIgnore = "ignore"
	InterruptionsCancel = "cancel"
)

// When to reboot.
const (
	RebootIfRequired = "if-required"
	RebootAlways     = "always"
	RebootNever      = "never"
)

// QueuedHold drains a single server at once instead of letting its queue run empty first.
const QueuedHold = "hold"

// Rules are the settings that the phases obey.
type Rules struct {
	DrainTimeout   time.Duration
	OnDrainTimeout string
	Queued         string
	Interruptions  string
	IgnoreTasks    []string

	Filter        UpdateFilter
	Reboot        string
	MaxRounds     int
	MaxReboots    int
	RebootTimeout time.Duration
	StallTimeout  time.Duration

	Precaution        string        // a provider's name, or none
	PrecautionKeep    time.Duration // how long it is kept after the run; 0: removed after the soak
	PrecautionTimeout time.Duration // for taking, and for reverting
	Recover           string        // what a recovery may do besides; empty: nothing
	OnFailure         string        // of a node whose health is not proved
	HookTimeout       time.Duration // for each hook of a phase

	Soak           time.Duration
	WindowStart    time.Time // zero: the run's start
	WindowLength   time.Duration
	MaxFailedNodes int
	StopBy         time.Time     // the service is not stopped any later, so that the rest fits before the end; zero: any time
	PatchBy        time.Time     // the same for the first change of patch
	Ends           string        // what ends then: the window, or the login to Octopus
	Deadman        time.Duration // 0: no dead-man switch
}

// Fixed limits and intervals. They are not settings, because nobody has a better value for them.
const (
	pollEvery    = 10 * time.Second // with one read a poll, 6 of the 12 requests a minute that Octopus may get
	settleAfter  = 25 * time.Second // a drained node may still pick up a task within one poll of its queue
	sampleEvery  = 10 * time.Second // distance of two looks at the world that are to agree
	stopLimit    = 5 * time.Minute
	startLimit   = 5 * time.Minute
	healthLimit  = 20 * time.Minute
	healthEvery  = 15 * time.Second
	quietPeriod  = time.Minute
	patienceRead = 5 * time.Minute // how long a state may stay unreadable before it counts as unknown
	exitLimit    = 15 * time.Minute
	enterLimit   = 10 * time.Minute
)
