package procedure

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Machine is the machine of a node, as a provider of precautions needs to know it.
type Machine struct {
	Node     string // Octopus' node name
	Host     string // the host in OCTOPATCH_NODES
	Computer string // its NetBIOS name; empty where it could not be read
}

// Point is one recovery point of one machine.
type Point struct {
	Machine
	Run     string
	Name    string    // octopatch-<run>-<node>, with -2 and so on where the run goes over the node again
	Taken   time.Time // when it was asked for
	Expires time.Time // zero: the run removes it; otherwise it is kept until then, and removed by whoever looks after it
}

// Description is what the provider writes beside the name, for people who find it. Leftover reads it back.
func (p Point) Description() string {
	text := fmt.Sprintf("octopatch: node %s before it was patched, run %s, taken %s", p.Node, p.Run, p.Taken.UTC().Format(time.RFC3339))
	if !p.Expires.IsZero() {
		text += ", expires " + p.Expires.UTC().Format(time.RFC3339)
	}
	return text
}

// Leftover is a recovery point of an earlier run that is still there.
type Leftover struct {
	Name    string
	Expires time.Time // zero: it was to be removed by its run
}

var expiry = regexp.MustCompile(`, expires (\S+)`)

// LeftoverOf reads what stands in a recovery point's description.
func LeftoverOf(name, description string) Leftover {
	l := Leftover{Name: name}
	if m := expiry.FindStringSubmatch(description); m != nil {
		l.Expires, _ = time.Parse(time.RFC3339, m[1]) // unreadable is as good as none: it is reported
	}
	return l
}

// What a revert rewinds.
const (
	RewindsDisks   = "every local disk" // the journal on the host too
	RewindsWindows = "the files and the registry of Windows itself"
	RewindsNothing = "nothing by itself" // only a human can go back to it
)

// ErrByHand: the provider cannot do it from here; the fault says how it is done, or that nothing is to be done.
var ErrByHand = errors.New("only by hand")

// Provider takes precautions of one kind. A lost reply is an error of Transient kind: Find tells the truth.
type Provider interface {
	// Check proves that the precaution can be taken of the machine, and lists what earlier runs left behind
	// there. It changes nothing.
	Check(ctx context.Context, m Machine) ([]Leftover, error)
	// Take takes it and returns once it is complete. Taking what is there already is no error.
	Take(ctx context.Context, p Point, progress func(string)) error
	// Find reports whether it is there, complete and usable.
	Find(ctx context.Context, p Point) (bool, error)
	// Revert puts the machine back to the point and sees to it that it is powered on.
	Revert(ctx context.Context, p Point, progress func(string)) error
	// Remove removes it. Removing what is not there is no error.
	Remove(ctx context.Context, p Point) error
	// Rewinds is one of the constants above.
	Rewinds() string
}

// Prover is a provider whose system keeps a record of how a revert ended.
type Prover interface {
	// Reverted is nil once the system says that its last revert succeeded; it is asked when the machine is back.
	Reverted(ctx context.Context, p Point) error
}
