package report

import (
	"io"
	"strings"
	"sync"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/sethvargo/go-githubactions"
)

// GitHub writes the lines of Text, folded by phase, and workflow commands that annotate the run with what a
// person must not miss. GitHub shows the first ten of a step.
type GitHub struct {
	mu     sync.Mutex
	text   *Text
	w      io.Writer
	action *githubactions.Action
	open   map[string]bool // phases that have begun and not ended, by node and name
	ended  []string        // how those ended that share the open group
}

// NewGitHub writes to w, GitHub's standard output of a step.
func NewGitHub(w io.Writer) *GitHub {
	w = patient{w}
	return &GitHub{text: NewText(w), w: w, action: githubactions.New(githubactions.WithWriter(w)), open: map[string]bool{}}
}

// Event writes the line, or the command that annotates the run.
func (g *GitHub) Event(e procedure.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := e.Node + " " + e.Phase
	if e.Type == procedure.RunEnded && len(g.open) > 0 { // the run was cut short: its end must not be folded away
		g.action.EndGroup()
		clear(g.open)
	}
	switch {
	case e.Type == procedure.PhaseStarted:
		g.begin(key, e)
	case e.Type == procedure.PhaseEnded && g.open[key]:
		g.end(key, e)
	case e.Type == procedure.Warning:
		g.action.Warningf("%s", annotation(e))
	default:
		g.text.Event(told(e))
	}
	if bad(e) && !comesAgain(e) {
		g.action.Errorf("%s", annotation(e))
	}
}

// comesAgain: a node's failed phase comes again with the node's end, and each fault of a refusal by itself.
func comesAgain(e procedure.Event) bool {
	return e.Type == procedure.PhaseEnded && (e.Node != "" || e.Phase == "preflight") || e.Type == procedure.RunEnded && exit(e) == refused
}

const refused = 4 // exit code

// begin opens a group. Groups do not nest: phases that overlap, as the nodes' scans do, share one.
func (g *GitHub) begin(key string, e procedure.Event) {
	if len(g.open) == 0 {
		g.action.Group(Line(e))
	} else {
		g.text.Event(e)
	}
	g.open[key] = true
}

// end closes the group with its last phase, and writes below it, unfolded, how its phases ended.
func (g *GitHub) end(key string, e procedure.Event) {
	delete(g.open, key)
	g.ended = append(g.ended, Line(e))
	if len(g.open) > 0 {
		g.text.Event(e)
		return
	}
	g.action.EndGroup()
	_, _ = io.WriteString(g.w, strings.Join(g.ended, "\n")+"\n")
	g.ended = nil
}

// annotation is the event without the time, which GitHub shows by itself.
func annotation(e procedure.Event) string {
	text := strings.TrimLeft(sentence(e), "!x?+- ")
	if where := strings.TrimSpace(e.Node + " " + e.Phase); where != "" {
		text = where + ": " + text
	}
	return plain(text)
}

// patient takes what cannot be written for written: the library panics on a closed pipe, and a run must not
// end half way because nobody reads it any more.
type patient struct{ w io.Writer }

func (p patient) Write(b []byte) (int, error) {
	_, _ = p.w.Write(b)
	return len(b), nil
}
