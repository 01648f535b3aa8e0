package engine

import (
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// tries notes what a dead process still asks for. It may write down where it stands and let go, and undo what it did
// while the node still serves; anything else would have mattered, had it arrived.
func (w *world) tries(what string) {
	if !w.died {
		return
	}
	w.late = append(w.late, what)
	verb, node := what, w.nodes[0] // of a single server
	if i := strings.LastIndex(what, " "); !strings.HasPrefix(what, "octopus maintenance") {
		verb, node = what[:i], w.node(what[i+1:])
	}
	stopped := node.journal != nil && node.journal.Host != nil && !node.journal.Host.Restored
	switch verb {
	case "host record", "host arm", "host release":
	case "octopus drain false", "octopus maintenance false", "precaution remove", "host clear", "host drop":
		untaken := verb == "precaution remove" && node.journal.Precaution != nil && node.journal.Precaution.State == procedure.PrecautionTaking
		if stopped && !untaken {
			w.harmful = append(w.harmful, what)
		}
	default:
		w.harmful = append(w.harmful, what)
	}
}

// write logs a write and decides its fate: apply says whether to change the world, err what the caller hears.
func (w *world) write(what string) (apply bool, err error) {
	w.writes = append(w.writes, what)
	mode := ""
	if w.inject != nil {
		mode = w.inject(len(w.writes), what)
	}
	switch mode {
	case "unapplied":
		return false, &procedure.Fault{Kind: procedure.ErrNoReply, Problem: "connection reset"}
	case "lost":
		return true, &procedure.Fault{Kind: procedure.ErrNoReply, Problem: "connection reset"}
	case "dead before", "dead after":
		w.died = true
		w.dead()
		return mode == "dead after", errDead
	}
	return true, nil
}
