package procedure

import (
	"fmt"
	"strings"
	"time"
)

// Kind says how a phase ended.
type Kind string

// The four ways in which a phase can end.
const (
	Done    Kind = "done"    // the world is as the phase promises, and that was seen
	Skipped Kind = "skipped" // nothing was to be done, or the phase was not reached; the reason says which
	Failed  Kind = "failed"  // it is known that the phase's promise does not hold
	Unknown Kind = "unknown" // the state of the world could not be read
)

// Result is how a phase ended, with the reason in the operator's words.
type Result struct {
	Kind   Kind
	Reason string
	Err    error // for Failed and Unknown
}

// Skip is a result that says why there was nothing to do.
func Skip(reason string) Result { return Result{Kind: Skipped, Reason: reason} }

// Fail is a result that carries what went wrong.
func Fail(err error) Result { return Result{Kind: Failed, Reason: err.Error(), Err: err} }

// Unsure is a result for a state that cannot be read.
func Unsure(err error) Result { return Result{Kind: Unknown, Reason: err.Error(), Err: err} }

// Count is a number of things in words: 1 node, 3 nodes.
func Count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// Span writes seconds as people say them: "8 s", "4 min 10 s", "1 h 5 min".
func Span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return strings.TrimSuffix(fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60), " 0 s")
	}
	return strings.TrimSuffix(fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60), " 0 min")
}
