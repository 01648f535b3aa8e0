package engine

import (
	"fmt"
	"time"
)

// firstGuess is how long a node is thought to take before one has shown it.
const firstGuess = time.Hour

// tooLate says why a node is not begun: the login would end before the node is back in service. A node that an
// unfinished run has left out of service is gone on with all the same.
func (e *Engine) tooLate(t *target) string {
	if e.LoginEnds.IsZero() || t.facts.Journal != nil {
		return ""
	}
	guess := e.longest
	if guess == 0 {
		guess = firstGuess
	}
	if until := e.Clock.Now().Add(guess); e.LoginEnds.Before(until) {
		return fmt.Sprintf("node %s would be back in service by %s, and the login to Octopus ends at %s", t.name, until.UTC().Format("15:04 MST"), e.LoginEnds.UTC().Format("15:04 MST"))
	}
	return ""
}
