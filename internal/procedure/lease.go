package procedure

import (
	"context"
	"errors"
	"time"
)

// ErrTaken: another process holds the lease of the host by now. Nothing was done, and nothing may be.
var ErrTaken = errors.New("taken over by another process")

// How often a lease is renewed; three missed renewals make it stale.
const (
	LeaseWorking = 5 * time.Minute  // on the host in work
	LeaseWaiting = 30 * time.Minute // on the others
)

// Lease is who works on a host: lease.json beside the journal. Times are Unix seconds of the host's own clock.
type Lease struct {
	Format   int    `json:"format"` // 1
	Run      string `json:"run"`
	Owner    string `json:"owner"`
	Attempt  string `json:"attempt"` // of the same job; recorded and not compared
	Nonce    string `json:"nonce"`   // of the process; the dead-man switch writes its own name here when it fires
	Every    int64  `json:"every"`   // seconds between two renewals
	Taken    int64  `json:"taken"`
	Renewed  int64  `json:"renewed"`
	Released bool   `json:"released"` // its holder has let it go and left the journal to whoever comes next
}

// StaleAt is when three renewals will have been missed, by the host's clock.
func (l Lease) StaleAt() time.Time { return time.Unix(l.Renewed+3*l.Every, 0) }

// clockSlack is how far in the future a renewal may lie; one that lies further was noted before the host's clock was
// set back, and is no sign of life.
const clockSlack = 5 * time.Minute

// Live: somebody works on the host, as far as the host can tell at its time. A holder that lives renews by a clock that
// was set back with its next call; one that lost its lease meanwhile is refused by the host.
func (l Lease) Live(now time.Time) bool {
	return !l.Released && now.Before(l.StaleAt()) && !now.Add(clockSlack).Before(time.Unix(l.Renewed, 0))
}

// Claim is what a process asks a host's lease with.
type Claim struct {
	Run, Owner, Attempt, Nonce string
	Every                      time.Duration
	Expect                     string // the nonce of the stale lease that it may take the place of; empty: none
}

// Claimed is the host's answer to a Claim.
type Claimed struct {
	Held    bool
	Lease   *Lease // as it stands now
	Live    bool
	Journal *Journal // nil: no run is open on the host
}

// Locker keeps two processes from working on one host at once.
type Locker interface {
	// Take asks for the lease. Of many that ask at once one gets it; asking again with the same nonce renews it.
	// From then on every call of this Host renews it, and ends as ErrTaken once it is somebody else's.
	Take(ctx context.Context, c Claim) (Claimed, error)
	// Pace sets how often the lease is renewed from the next call on.
	Pace(every time.Duration)
	// Renewed is when a call of this Host last renewed it; now, while a call is on its way.
	Renewed() time.Time
	// LetGo makes the calls from now on go without the lease, until it is taken again; it asks the host nothing, so that the
	// lease there still keeps everybody else away.
	LetGo()
	// Release lets the lease go. Where no run is open it removes all that is ours from the host.
	Release(ctx context.Context) error
}

// Deadman says how the dead-man switch of a host is set: the SYSTEM task that starts Octopus again when nobody
// else does. The zero value leaves it as it is.
type Deadman struct {
	After time.Duration // without a renewal of the lease, counted from the last one or from boot
	Until time.Time     // instead, for a phase that runs alone and leaves nobody to renew: the hour at which it fires
	Off   bool
}

// Armed is what a host's dead-man switch is set to. Times are Unix seconds.
type Armed struct {
	After int64 `json:"after"` // seconds
	Until int64 `json:"until"` // 0: none
	Armed int64 `json:"armed"`
}

// Fired is what the dead-man switch did.
type Fired struct {
	At     int64  `json:"at"`
	Why    string `json:"why"`
	Faults string `json:"faults"` // what did not come back; it is tried again
}

// Standing is where an unfinished run stands on one host, and who works on it.
type Standing struct {
	Journal        // without a format where nothing was changed yet
	Lease   *Lease `json:"lease,omitempty"`
	Live    bool   `json:"live"` // somebody works on it now
	Armed   *Armed `json:"armed,omitempty"`
	Busy    string `json:"busy,omitempty"` // what installs there now
	// Finished: the run has ended here, and only octopatch's own folder is left.
	Finished bool `json:"finished,omitempty"`
	// Rewound says where the journal shown is kept, because the one on the host is older, as after a revert.
	Rewound string `json:"rewound,omitempty"`
	// Doubt is why the journal on the host may be older than the run, with no newer copy at hand.
	Doubt string `json:"doubt,omitempty"`
}

// Armer sets the dead-man switch of a host besides Stop, which arms it, and Start, which disarms it.
type Armer interface {
	Arm(ctx context.Context, c Change, d Deadman) (Journal, error)
}
