package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/octopatch/octopatch/internal/report"
)

// readReport reads report.json.
func readReport(t *attempt, dir string) report.Report {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// wrote reports whether the world was asked for such a change of the node.
func wrote(w *rehearsal.World, node, what string) bool {
	for _, one := range w.Log.Writes() {
		if one.Node == node && one.What == what {
			return true
		}
	}
	return false
}

// drained reports a node's drain mode.
func drained(w *rehearsal.World, node string) bool {
	for _, n := range w.State().Cluster.Nodes {
		if n.Name == node {
			return n.Drained
		}
	}
	return false
}

// TestNothingToInstall: a node with nothing to install is not touched, unless a reboot was asked for.
func TestNothingToInstall(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Faults: "no-updates"})
		octopatch(t.Context(), with(w.Environ(), "OCTOPATCH_LOG=json"), "run").wants(t, 0, "nothing to install")
		octopatch(t.Context(), w.Environ(), "run").wants(t, 0, "Done: nothing to install, 2 nodes not touched", "20348.3932")
		for _, one := range w.Log.Writes() {
			if !slices.Contains([]string{"host lease", "host work download", "host clear", "host release"}, one.What) {
				t.Errorf("nothing is to be done, and yet: %+v", one)
			}
		}
		w = newWorld(t, rehearsal.Options{Faults: "no-updates"})
		octopatch(t.Context(), with(w.Environ(), "OCTOPATCH_REBOOT=always"), "run").wants(t, 0)
		for _, what := range []string{"octopus drain", "host stop", "host reboot", "host start", "octopus undrain"} {
			if !wrote(w, "OCTO-02", what) {
				t.Errorf("OCTOPATCH_REBOOT=always, and no %q", what)
			}
		}
	})
}

// TestARefusalIsSaidOnce: each fault has one line of its own in a log that shows both streams.
func TestARefusalIsSaidOnce(t *testing.T) {
	for _, log := range []string{"github", "octopus"} {
		t.Run(log, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Faults: "foreign-folder"})
				got := octopatch(t.Context(), with(w.Environ(), "OCTOPATCH_LOG="+log), "run")
				got.wants(t, 4, "OCTO-01", "OCTO-02")
				if n := strings.Count(got.out+got.errs, "cannot be trusted"); n != 2 {
					t.Errorf("the faults of two nodes are told %d times:\n%s%s", n, got.out, got.errs)
				}
			})
		})
	}
}

// TestOneNodeHasNothingToInstall: the others are patched all the same.
func TestOneNodeHasNothingToInstall(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Faults: "no-updates@OCTO-01"})
		octopatch(t.Context(), w.Environ(), "run").wants(t, 0, "1 of 2 nodes patched and serving, 1 not touched")
		if wrote(w, "OCTO-01", "octopus drain") || !wrote(w, "OCTO-02", "octopus undrain") {
			t.Errorf("%+v", w.Log.Writes())
		}
	})
}

// TestFailedUpdateKeepsNoNodeOut: the node is started and opened again, and its result is failed, with the KB,
// the code and the next step.
func TestFailedUpdateKeepsNoNodeOut(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Faults: "update-fails@OCTO-01"})
		before, dir := w.State(), t.TempDir()
		octopatch(t.Context(), with(w.Environ(), "OCTOPATCH_MAX_FAILED_NODES=1", "OCTOPATCH_REPORT_DIR="+dir), "run").wants(t, 3, "0x80070643")
		allKept(t, w, before)
		first := readReport(t, dir).Nodes[0]
		if first.Result != procedure.Failed || len(first.Failed) == 0 || len(first.Failed[0].KBs) == 0 || first.Failed[0].Code != "0x80070643" || first.Failed[0].Next == "" {
			t.Errorf("%s, %+v", first.Result, first.Failed)
		}
		if second := readReport(t, dir).Nodes[1]; second.Result != procedure.Done {
			t.Errorf("the other node is %s: %s", second.Result, second.Reason)
		}
	})
}

// TestUnprovedHealthHoldsTheNode: it stays out of service with its journal, nobody else is begun, and the last
// line names the next command.
func TestUnprovedHealthHoldsTheNode(t *testing.T) {
	t.Parallel()
	for fault, code := range map[string]int{"service-wont-start@OCTO-01": 1, "reboot-hangs@OCTO-01": 6} {
		t.Run(fault, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Faults: fault})
				got := octopatch(t.Context(), w.Environ(), "run")
				got.wants(t, code, "node OCTO-01", "not reached: ")
				lines := strings.Split(strings.TrimSpace(got.out), "\n")
				if last := lines[len(lines)-1]; !strings.HasPrefix(last, "Next: ") || !strings.HasSuffix(last, "octopatch run") {
					t.Errorf("the last line names no next command: %s", last)
				}
				if !drained(w, "OCTO-01") || drained(w, "OCTO-02") || wrote(w, "OCTO-02", "octopus drain") {
					t.Error("the held node is open, or the other one was begun")
				}
				if len(w.State().Hosts["OCTO-01"].Files) == 0 {
					t.Error("the journal is gone")
				}
			})
		})
	}
}

// TestDrainLimit: a task that does not end in time puts everything back, or is cancelled when that was asked for.
func TestDrainLimit(t *testing.T) {
	t.Parallel()
	for rule, code := range map[string]int{"OCTOPATCH_ON_DRAIN_TIMEOUT=abort": 5, "OCTOPATCH_ON_DRAIN_TIMEOUT=cancel": 0} {
		t.Run(rule, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Faults: "task-never-ends@OCTO-01"})
				before := w.State()
				octopatch(t.Context(), with(w.Environ(), rule, "OCTOPATCH_DRAIN_TIMEOUT=10m"), "run").wants(t, code, "Deploy Mainframe release 1.0.7")
				if code == 0 {
					allKept(t, w, before)
					return
				}
				putBack(t, w, before)
				if wrote(w, "OCTO-01", "host stop") || wrote(w, "OCTO-02", "octopus drain") {
					t.Error("the run went on after its rule had stopped it")
				}
			})
		})
	}
}

// putBack holds everything but the updates.
func putBack(t *attempt, w *rehearsal.World, before rehearsal.State) {
	t.Helper()
	for _, p := range rehearsal.Compare(before, w.State()) {
		if !p.Kept && !p.Asked && !excused(p) {
			t.Errorf("%s: broken: %s", p.Node, p.What)
		}
	}
}

// TestTasksThatWaitForAHuman: each rule ends as it says, and each names the task.
func TestTasksThatWaitForAHuman(t *testing.T) {
	t.Parallel()
	for rule, code := range map[string]int{"fail": 5, "wait": 5, "ignore": 0, "cancel": 0} {
		t.Run(rule, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Faults: "task-waits-for-user@OCTO-01"})
				before := w.State()
				octopatch(t.Context(), with(w.Environ(), "OCTOPATCH_INTERRUPTIONS="+rule, "OCTOPATCH_DRAIN_TIMEOUT=15m"), "run").wants(t, code, "Deploy Mainframe release 1.0.7")
				putBack(t, w, before)
			})
		})
	}
}

// TestOnlyOursIsUndone: what was so before the run stays so after it.
func TestOnlyOursIsUndone(t *testing.T) {
	t.Parallel()
	t.Run("Maintenance Mode", func(t *testing.T) {
		steadily(t, func(t *attempt) {
			w := newWorld(t, rehearsal.Options{Nodes: 1, Faults: "maintenance-before"})
			before := w.State()
			octopatch(t.Context(), w.Environ(), "run").wants(t, 0)
			allKept(t, w, before)
			if !w.State().Cluster.Maintenance {
				t.Error("somebody else's Maintenance Mode was ended")
			}
		})
	})
	t.Run("drain mode", func(t *testing.T) {
		steadily(t, func(t *attempt) {
			w := newWorld(t, rehearsal.Options{Nodes: 3, Faults: "drained-before@OCTO-03"})
			before := w.State()
			octopatch(t.Context(), w.Environ(), "run").wants(t, 0)
			allKept(t, w, before)
			if !drained(w, "OCTO-03") {
				t.Error("somebody else's drain mode was ended")
			}
		})
	})
}

// TestNoWorkIsKilled: when a service is stopped, no task that must be awaited runs on its node.
func TestNoWorkIsKilled(t *testing.T) {
	steadily(t, func(t *attempt) {
		for seed := range int64(3) {
			w := newWorld(t, rehearsal.Options{Nodes: 1, Seed: seed + 10})
			octopatch(t.Context(), w.Environ(), "run").wants(t, 0)
			for _, task := range w.State().Cluster.Killed {
				if !procedure.Ignorable(procedure.Task{Name: task.Name}, nil) {
					t.Errorf("seed %d: %+v was killed", seed+10, task)
				}
			}
		}
	})
}

// TestOrderOfWrites: what the world was asked for on a node, in the document's order.
func TestOrderOfWrites(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Nodes: 1})
		octopatch(t.Context(), w.Environ(), "run").wants(t, 0)
		var got []string
		for _, one := range w.Log.Writes() {
			got = append(got, one.What)
		}
		order := regexp.MustCompile(`^host lease (host work download )+host record octopus maintenance on (host record octopus drain )host stop ((host work install )+host reboot )*(host work install )host start host record octopus undrain host record octopus maintenance off host clear host release $`)
		if text := strings.Join(got, " ") + " "; !order.MatchString(text) {
			t.Errorf("the writes came in another order: %s", slices.Compact(got))
		}
	})
}
