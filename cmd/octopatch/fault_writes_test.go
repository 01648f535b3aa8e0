package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/octopatch/octopatch/internal/rehearsal/record"
)

// faultTable is what the engine's fault matrix shows.
const faultTable = "../../internal/rehearsal/FAULTS.md"

// worldRuns are runs of the fault matrix, gone through in the world of the rehearsal.
var worldRuns = []struct {
	name    string // of the section
	nodes   int
	faults  string
	before  string // commands that come first
	run     string // the commands whose writes count
	environ []string
	at      string // the write after which the last happens; empty: nothing does
	denied  bool   // Octopus refuses our login; otherwise the run is interrupted a minute later
}{
	{"run", 1, "", "", "run", nil, "", false},
	{"run", 2, "", "", "run", nil, "", false},
	{"phases", 1, "", "", "enter wait stop precaution patch start exit", nil, "", false},
	{"phases", 2, "", "", "enter wait stop precaution patch start exit", nil, "", false},
	{"hold", 1, "service-wont-start@OCTO-01", "", "run", nil, "", false},
	{"hold of a service that runs", 2, "ping-dead@OCTO-01,node-never-online@OCTO-01", "", "run", nil, "", false},
	{"gone", 1, "reboot-hangs@OCTO-01", "", "run", nil, "", false},
	{"slow reboot", 1, "reboot-slow@OCTO-01", "", "run", nil, "", false},
	{"drain time-out", 2, "task-never-ends@OCTO-01", "", "run", nil, "", false},
	{"cancel", 2, "task-never-ends@OCTO-01", "", "run", []string{"OCTOPATCH_ON_DRAIN_TIMEOUT=cancel"}, "", false},
	{"lost login", 2, "no-updates@OCTO-02", "", "run", nil, "host stop", true},
	{"interrupt in wait", 2, "task-never-ends@OCTO-01", "", "run", nil, "octopus drain", false},
	{"interrupt in patch", 1, "", "", "run", nil, "host reboot", false},
	{"veto", 2, "", "", "run", []string{"OCTOPATCH_HOOK_BEFORE_PATCH=exit 1"}, "", false},
	{"failed update", 1, "update-fails@OCTO-01", "", "run", nil, "", false},
	{"recover by itself", 2, "service-wont-start@OCTO-01", "", "run", []string{"OCTOPATCH_ON_FAILURE=recover"}, "", false},
	{"recover, then run", 2, "service-wont-start@OCTO-01", "run", "recover", nil, "", false},
	{"recover, then recover", 1, "reboot-hangs@OCTO-01", "run", "recover", nil, "", false},
}

// TestFaultWritesOfTheWorld holds the world's own log of writes (calls of Octopus, remote calls, journal writes,
// snapshots), over HTTP and WS-Management, against the rows of the fault matrix: the same writes in the same order, so
// that what the matrix shows in the engine's simulated world is shown for this one. A write without a row fails.
func TestFaultWritesOfTheWorld(t *testing.T) {
	t.Parallel()
	for _, c := range worldRuns {
		t.Run(fmt.Sprintf("%s/%d nodes", c.name, c.nodes), func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Nodes: c.nodes, Faults: c.faults, Program: program(t.T)})
				environ := with(append(w.Environ(), c.environ...), "OCTOPATCH_PRECAUTION=command", "OCTOPATCH_STATE_DIR="+t.TempDir())
				for command := range strings.FieldsSeq(c.before) {
					octopatch(t.Context(), environ, command)
				}
				began, out := len(w.Log.Writes()), ""
				ctx, interrupt := context.WithCancel(t.Context())
				defer interrupt()
				w.Log.Notice(func(n int) {
					switch {
					case w.Log.Writes()[n-1].What != c.at:
					case c.denied:
						w.RefuseLogins(true)
					default:
						w.Clock.AfterFunc(time.Minute, interrupt)
					}
				})
				for i := range c.nodes {
					node := fmt.Sprintf("OCTOPATCH_NODE=OCTO-0%d", i+1)
					for command := range strings.FieldsSeq(c.run) {
						out += octopatch(ctx, with(environ, node), command).out
					}
					if c.name != "phases" { // which are of one node
						break
					}
				}
				if diff := cmp.Diff(fewer(rows(t, c.name, c.nodes)), fewer(inRows(w.Log.Writes()[began:]))); diff != "" {
					t.Errorf("the writes of the world differ from the rows of the matrix (-matrix, +world):\n%s", diff)
					t.Log(out)
				}
			})
		})
	}
}

var row = regexp.MustCompile(`(?m)^\| \d+ \| ([^|]+) \|`)

// rows are the writes of a section of the matrix.
func rows(t *attempt, run string, nodes int) []string {
	t.Helper()
	text, err := os.ReadFile(faultTable)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), fmt.Sprintf("\n## %s: %d node(s), ", run, nodes))
	if !found {
		t.Fatalf("there is no such run: %s", run)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var list []string
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		list = append(list, m[1])
	}
	return ordered(list)
}

// fewer leaves out how often a lease was asked for before it was stale, and how many rounds of updates there were:
// the updates of the two worlds are not the same.
func fewer(list []string) []string {
	var short []string
	for _, what := range list {
		n := len(short)
		switch {
		case n > 0 && short[n-1] == what && strings.HasPrefix(what, "host lease "):
		case n > 1 && short[n-2] == what && strings.HasPrefix(what, "host install "):
			short = short[:n-1]
		default:
			short = append(short, what)
		}
	}
	return short
}

// rowOf is how the matrix calls what the world's log calls otherwise; the rest has the same name.
var rowOf = map[string]string{
	"octopus drain": "octopus drain true", "octopus undrain": "octopus drain false",
	"octopus maintenance on": "octopus maintenance true", "octopus maintenance off": "octopus maintenance false",
	"host work install": "host install", "host work download": "host download",
	"snapshot take": "precaution take", "snapshot revert": "precaution revert", "snapshot remove": "precaution remove",
	"host drop copy": "host drop", "octopus cancel task": "octopus cancel",
}

// inRows are writes of the world as the matrix calls them, but for what the host did by itself.
func inRows(writes []record.Write) []string {
	var list []string
	for _, one := range writes {
		what := one.What
		if what == "octopus local undrain" { // which "host undrain" did
			continue
		}
		if name, other := rowOf[what]; other {
			what = name
		}
		if one.Node != "" {
			what += " " + string('A'+one.Node[len(one.Node)-1]-'1')
		}
		if one.What == "octopus cancel task" {
			what = "octopus cancel ServerTasks-9"
		}
		list = append(list, what)
	}
	return ordered(list)
}

// ordered sorts what is done to all hosts at once, in no order.
func ordered(list []string) []string {
	for range list {
		for i := 1; i < len(list); i++ {
			for _, what := range []string{"host download ", "host release "} {
				if a, b := list[i-1], list[i]; strings.HasPrefix(a, what) && strings.HasPrefix(b, what) && b < a {
					list[i-1], list[i] = b, a
				}
			}
		}
	}
	return list
}
