package procedure

import (
	"errors"
	"strings"
)

// The kinds of a Fault. They decide the result and the exit code; compare with errors.Is.
var (
	// ErrRefused: a guard or a setting forbids it and nothing was changed (exit 4).
	ErrRefused = errors.New("refused")
	// ErrNoReply: the request may or may not have taken effect; ask the world.
	ErrNoReply = errors.New("no reply")
	// ErrUnreachable: the request certainly did not take effect, for it never arrived or was turned away.
	ErrUnreachable = errors.New("not reachable")
	// ErrUnreadable: an answer came and cannot be understood; the state is unknown.
	ErrUnreadable = errors.New("answer not understood")
	// ErrDenied: the world refuses our credentials or rights; never tried again by itself.
	ErrDenied = errors.New("access denied")
	// ErrStopped: a rule of the run ended it (window, drain time-out, failure budget; exit 5).
	ErrStopped = errors.New("stopped by a rule")
	// ErrTimeout: a wait reached its limit.
	ErrTimeout = errors.New("limit reached")
)

// Fault is an error that an operator can meet: what it is about, what is wrong, and what to do.
type Fault struct {
	Kind    error  // one of the sentinels above, or nil for a plain failure
	Subject string // the variable, file, node or host, as the operator knows it
	Problem string // lower case, no full stop
	Remedy  string // what to check or run next; empty only where Cause is a Fault with one
	Cause   error  // the error underneath, or nil
}

// Error reads "subject: problem: cause (remedy)".
func (f *Fault) Error() string {
	var b strings.Builder
	if f.Subject != "" {
		b.WriteString(f.Subject + ": ")
	}
	b.WriteString(f.Problem)
	if f.Cause != nil {
		b.WriteString(": " + f.Cause.Error())
	}
	if f.Remedy != "" {
		b.WriteString(" (" + f.Remedy + ")")
	}
	return b.String()
}

// Unwrap makes both the kind and the cause visible to errors.Is and errors.As.
func (f *Fault) Unwrap() []error {
	var list []error
	if f.Kind != nil {
		list = append(list, f.Kind)
	}
	if f.Cause != nil {
		list = append(list, f.Cause)
	}
	return list
}

// Refuse is a Fault of kind ErrRefused.
func Refuse(subject, problem, remedy string) error {
	return &Fault{Kind: ErrRefused, Subject: subject, Problem: problem, Remedy: remedy}
}
