package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

// task is a running deployment on a node that ends by itself after a while.
func (w *world) task(id, name, node string, lasts time.Duration) {
	w.tasks = append(w.tasks, procedure.Task{ID: id, Name: name, State: "Executing", Node: "OctopusServerNodes-" + node, StartTime: time.Now()})
	w.db.set("task "+id, "Executing")
	if lasts > 0 {
		time.AfterFunc(lasts, func() {
			defer w.locked()()
			w.endTask(id, "Success")
		})
	}
}

func TestRunPatchesEachNodeAndLeavesTheWorldAsItWas(t *testing.T) {
	for _, names := range [][]string{{"OCTO1"}, {"OCTO1", "OCTO2", "OCTO3"}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(names...)
			w.task("ServerTasks-1", "Deploy", "OCTO1", 10*time.Minute)
			w.task("ServerTasks-2", "Health", "OCTO1", 0)
			before := w.snapshot()
			e, events := w.engine()
			r := e.RunAll(context.Background())
			if r.Exit != ExitDone || r.Err != nil {
				t.Fatalf("%d nodes: exit %d, %v", len(names), r.Exit, r.Err)
			}
			if got := w.snapshot(); got != before {
				t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
			}
			for _, n := range w.nodes {
				if n.ubr != 102 || n.boot != 3 {
					t.Errorf("%s: UBR %d, boot %d; want 102 and 3", n.state.Name, n.ubr, n.boot)
				}
			}
			if single := len(names) == 1; single != (r.Downtime.Seconds > 0) {
				t.Errorf("%d nodes: downtime %v", len(names), r.Downtime)
			}
			onePhaseEndEach(t, events, names)
		})
	}
}

// onePhaseEndEach: exactly one phase_ended per node and phase, whatever happens.
func onePhaseEndEach(t *testing.T, r *recorder, names []string) {
	t.Helper()
	got := map[string]int{}
	for _, e := range r.events {
		if e.Type == procedure.PhaseEnded {
			got[e.Node+"/"+e.Phase]++
		}
	}
	want := map[string]int{"/preflight": 1, "/schedule": 1}
	for _, n := range names {
		want[n+"/stage"] = 1
		for _, p := range nodePhases() {
			want[n+"/"+p.Name] = 1
		}
	}
	if !cmp.Equal(got, want) {
		t.Errorf("phase_ended events differ (+got, -want):\n%s", cmp.Diff(want, got))
	}
}

// TestEveryWriteThreeWays runs the procedure once, takes every write to the world from the world's own log, and
// runs again for each with the write failing unapplied and failing applied: both must end as if it had worked.
func TestEveryWriteThreeWays(t *testing.T) {
	for _, names := range [][]string{{"OCTO1"}, {"OCTO1", "OCTO2"}} {
		var writes []string
		var before, after string
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(names...)
			before = w.snapshot()
			e, _ := w.engine()
			e.RunAll(context.Background())
			writes, after = w.writes, w.snapshot()
		})
		if before != after || len(writes) < 8*len(names) {
			t.Fatalf("the plain run made only the writes %q", writes)
		}
		for i, what := range writes {
			if strings.HasPrefix(what, "host install") {
				continue // the adapter follows the worker again, so a lost reply never reaches the engine
			}
			for _, mode := range []string{"unapplied", "lost"} {
				t.Run(fmt.Sprintf("%d nodes/%02d %s/%s", len(names), i+1, what, mode), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(names...)
						w.inject = func(n int, _ string) string {
							if n == i+1 {
								return mode
							}
							return ""
						}
						e, events := w.engine()
						r := e.RunAll(context.Background())
						if r.Exit != ExitDone {
							t.Errorf("exit %d, %v", r.Exit, r.Err)
						}
						if got := w.snapshot(); got != before {
							t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
						}
						for _, n := range w.nodes {
							if n.boot != 3 {
								t.Errorf("%s booted %d times", n.state.Name, n.boot-1)
							}
						}
						onePhaseEndEach(t, events, names)
					})
				})
			}
		}
	}
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name   string
		names  string
		world  func(*world)
		rules  func(*Engine)
		exit   int
		says   string // part of the error
		world2 string // part of the snapshot afterwards
	}{
		{name: "nothing_to_install", names: "A B", world: func(w *world) { w.nodes[0].queue, w.nodes[1].queue = nil, nil }, exit: 0, world2: "A drained false"},
		{name: "update_fails", names: "A B", world: func(w *world) { w.nodes[0].fails = "5000001" }, exit: 5, says: "KB5000001", world2: "A drained false cap 5 service Running"},
		{name: "update_fails_within_budget", names: "A B", world: func(w *world) { w.nodes[0].fails = "5000001" }, rules: func(e *Engine) { e.Rules.MaxFailedNodes = 1 }, exit: 3, says: "KB5000001"},
		{name: "update_fails_single", names: "A", world: func(w *world) { w.nodes[0].fails = "5000001" }, exit: 1, says: "KB5000001", world2: "service Running Auto"},
		{name: "update_loops", names: "A", world: func(w *world) { w.nodes[0].loops = "5000001" }, exit: 1, says: "update loop", world2: "service Running Auto"},
		{name: "reboot_never_returns", names: "A B", world: func(w *world) { w.nodes[0].neverBack = true }, exit: 6, says: "not proved that the host is back", world2: "B drained false"},
		{name: "reboot_ignored_once", names: "A B", world: func(w *world) {
			w.nodes[0].rebootIgnored = 1
			w.inject = func(_ int, what string) string {
				if what == "host reboot A" && w.nodes[0].rebootIgnored == 1 {
					return "lost"
				}
				return ""
			}
		}, exit: 0},
		{name: "slow_reboot_with_lost_reply", names: "A B", world: func(w *world) {
			w.nodes[0].away = 40 * time.Minute
			w.inject = func(_ int, what string) string {
				if what == "host reboot A" {
					return "lost"
				}
				return ""
			}
		}, exit: 0},
		{name: "falls_ill_in_the_soak", names: "A B", world: func(w *world) {
			w.inject = func(_ int, what string) string {
				if what == "octopus drain false A" {
					w.nodes[0].service.State = "Stopped"
				}
				return ""
			}
		}, exit: 1, says: "Running", world2: "A drained true"},
		{name: "falls_ill_in_the_soak_single", names: "A", world: func(w *world) {
			w.inject = func(_ int, what string) string {
				if what == "octopus maintenance false" {
					w.nodes[0].version = "2027.1"
				}
				return ""
			}
		}, exit: 1, says: "2027.1", world2: "maintenance true"},
		{name: "dies_when_opened_single", names: "A", world: func(w *world) {
			w.inject = func(_ int, what string) string {
				if what == "octopus maintenance false" {
					w.nodes[0].service.State = "Stopped"
				}
				return ""
			}
		}, exit: 6, says: "exit Maintenance Mode", world2: "journal true"},
		{name: "pending_before_and_drain_timeout", names: "A B", world: func(w *world) {
			w.nodes[0].pending = []string{"CBS"}
			w.task("ServerTasks-9", "Deploy", "A", 0)
		}, exit: 5, says: "ServerTasks-9", world2: "A drained false cap 5 service Running Auto delayed true watchdog true journal false"},
		{name: "single_behind_a_balancer", names: "A", world: func(w *world) { w.balanced = true }, exit: 0, world2: "A drained false"},
		{name: "single_behind_a_balancer_without_node_url", names: "A", world: func(w *world) { w.balanced = true }, rules: func(e *Engine) { e.Near = func(string) procedure.Cluster { return nil } },
			exit: 5, says: "OCTOPATCH_NODE_URLS: OCTOPUS_URL does not answer", world2: "maintenance false\nA drained false cap 5 service Running Auto delayed true watchdog true journal false"},
		{name: "reboot_still_pending_once", names: "A", world: func(w *world) {
			w.nodes[0].queue, w.nodes[0].pending, w.nodes[0].pendingSticks = nil, []string{"CBS"}, 2
		}, exit: 0, world2: "service Running Auto"},
		{name: "reboot_pending_for_ever", names: "A B", world: func(w *world) { w.nodes[0].pending, w.nodes[0].pendingSticks = []string{"CBS"}, 99 }, exit: 1, says: "a reboot is still pending", world2: "A drained true"},
		{name: "reboot_pending_for_ever_and_update_fails", names: "A B", world: func(w *world) {
			w.nodes[0].pending, w.nodes[0].pendingSticks, w.nodes[0].fails = []string{"CBS"}, 99, "5000001"
		}, exit: 1, says: "KB5000001", world2: "A drained true"},
		{name: "login_lost_while_a_node_is_out", names: "A B", world: func(w *world) {
			w.nodes[1].queue = nil
			w.inject = func(_ int, what string) string { w.denied = w.denied || what == "host stop A"; return "" }
		}, exit: 0, world2: "A drained false cap 5 service Running Auto delayed true watchdog true journal false"},
		{name: "copy_of_the_journal_not_kept", names: "A", rules: func(e *Engine) {
			e.Keep = func(procedure.Journal) error { return errors.New("no space left on device") }
		}, exit: 0, world2: "service Running Auto"},
		{name: "service_never_runs", names: "A B", world: func(w *world) { w.nodes[0].neverRuns = true }, exit: 1, says: "does not reach Running", world2: "A drained true"},
		{name: "drain_timeout", names: "A B", world: func(w *world) { w.task("ServerTasks-9", "Deploy", "A", 0) }, exit: 5, says: "ServerTasks-9", world2: "A drained false cap 5 service Running Auto"},
		{name: "drain_timeout_cancel", names: "A B", world: func(w *world) { w.task("ServerTasks-9", "Deploy", "A", 0) }, rules: func(e *Engine) { e.Rules.OnDrainTimeout = "cancel" }, exit: 0},
		{name: "drain_timeout_single", names: "A", world: func(w *world) { w.task("ServerTasks-9", "Deploy", "A", 0) }, exit: 5, world2: "maintenance false"},
		{name: "human_fail", names: "A B", world: func(w *world) { w.task("ServerTasks-9", "Deploy", "A", 0); w.tasks[0].WaitsForUser = true }, exit: 5, says: "OCTOPATCH_INTERRUPTIONS"},
		{name: "human_ignore", names: "A B", world: func(w *world) { w.task("ServerTasks-9", "Deploy", "A", 0); w.tasks[0].WaitsForUser = true }, rules: func(e *Engine) { e.Rules.Interruptions = "ignore" }, exit: 0},
		{name: "human_cancel", names: "A B", world: func(w *world) { w.task("ServerTasks-9", "Deploy", "A", 0); w.tasks[0].WaitsForUser = true }, rules: func(e *Engine) { e.Rules.Interruptions = "cancel" }, exit: 0},
		{name: "already_drained", names: "A B C", world: func(w *world) { w.nodes[0].state.Drained = true }, exit: 0, world2: "A drained true"},
		{name: "already_in_maintenance", names: "A", world: func(w *world) { w.maintenance = true }, exit: 0, world2: "maintenance true"},
		{name: "reboot_never", names: "A", rules: func(e *Engine) { e.Rules.Reboot = "never" }, exit: 0, world2: "service Running Auto"},
		{name: "reboot_always", names: "A", world: func(w *world) { w.nodes[0].queue = nil }, rules: func(e *Engine) { e.Rules.Reboot = "always" }, exit: 0},
		{name: "not_admin", names: "A", world: func(w *world) { w.admin = false }, exit: 4, says: "AdministerSystem"},
		{name: "unknown_node", names: "A", rules: func(e *Engine) { e.All, e.Nodes = false, []Listed{{Name: "B"}} }, exit: 4, says: `"B" is not a node`},
		{name: "all_drained", names: "A B", world: func(w *world) { w.nodes[0].state.Drained, w.nodes[1].state.Drained = true, true }, exit: 4, says: "every node is drained"},
		{name: "nobody_else", names: "A B", world: func(w *world) { w.nodes[1].state.TaskCap = 0 }, exit: 4, says: "nobody would carry"},
		{name: "listed_node_offline", names: "A B C", world: func(w *world) { w.nodes[1].state.Offline = true }, exit: 4, says: "offline"},
		{name: "html_before", names: "A", world: func(w *world) { w.html = true }, exit: 4, says: "HTML"},
		{name: "html_after_the_first_change", names: "A B", world: func(w *world) {
			w.inject = func(_ int, what string) string {
				w.html = w.html || strings.HasPrefix(what, "octopus drain true")
				return ""
			}
		}, exit: 6, says: "HTML"},
		{name: "version_changed", names: "A B", world: func(w *world) {
			w.inject = func(_ int, what string) string {
				if what == "host start A" {
					w.nodes[0].version = "2027.1"
				}
				return ""
			}
		}, exit: 1, says: "2027.1", world2: "A drained true"},
		{name: "version_changed_by_patching", names: "A B", world: func(w *world) {
			w.inject = func(_ int, what string) string {
				if what == "host install A" {
					w.nodes[0].version = "2027.1"
				}
				return ""
			}
		}, exit: 1, says: "starting this one would upgrade its database", world2: "service Stopped"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(strings.Fields(c.names)...)
				if c.world != nil {
					c.world(w)
				}
				e, _ := w.engine()
				if c.rules != nil {
					c.rules(e)
				}
				r := e.RunAll(context.Background())
				if r.Exit != c.exit {
					t.Errorf("exit %d, want %d: %v", r.Exit, c.exit, r.Err)
				}
				if c.says != "" && (r.Err == nil || !strings.Contains(r.Err.Error(), c.says)) {
					t.Errorf("got error %v, want one that says %q", r.Err, c.says)
				}
				if got := w.snapshot(); !strings.Contains(got, c.world2) {
					t.Errorf("got the world\n%s, want %q", got, c.world2)
				}
				if r.Exit == 4 && len(w.writes) > 0 {
					t.Errorf("refused, and yet wrote %q", w.writes)
				}
			})
		})
	}
}
