package report

import (
	"os"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
)

// Tee hands each event to several sinks.
type Tee []procedure.Sink

// Event hands it on.
func (t Tee) Event(e procedure.Event) {
	for _, s := range t {
		s.Event(e)
	}
}

// Kinds of logs: the values of OCTOPATCH_LOG, and the terminal, which auto chooses.
const (
	logAuto     = "auto"
	logText     = "text"
	logTerminal = "terminal"
	logJSON     = "json"
	logGitHub   = "github"
	logOctopus  = "octopus"
)

// Pick is the kind of log to write: what OCTOPATCH_LOG says, or for auto what suits where octopatch runs.
func Pick(setting string, getenv func(string) string, terminal bool) string {
	switch {
	case setting != logAuto && setting != "":
		return setting
	case getenv("GITHUB_ACTIONS") == "true":
		return logGitHub
	case getenv("TentacleHome") != "" || getenv("OctopusCalamariWorkingDirectory") != "":
		return logOctopus
	case terminal && getenv("TERM") != "dumb" && getenv("CI") == "":
		return logTerminal
	}
	return logText
}

// New is the sink of that kind on w, and what ends it: after the end nothing is written and no goroutine is left.
func New(kind string, w *Redact, clk clock.Clock) (procedure.Sink, func()) {
	none := func() {}
	switch kind {
	case logJSON:
		return NewJSON(w), none
	case logGitHub:
		return NewGitHub(w), none
	case logOctopus:
		return w.Sink(NewOctopus(w)), none
	case logTerminal:
		t := NewTerminal(w, clk)
		return t, t.Close
	}
	return NewText(w), none
}

// IsTerminal reports whether a person may be looking at the file. The null device looks like a terminal, and
// what is drawn there does no harm.
func IsTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
