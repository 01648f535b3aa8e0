package engine

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

var update = flag.Bool("update", false, "write the table of faults")

// faultTable is checked against what the test sees, and written with -update.
const faultTable = "../rehearsal/FAULTS.md"

const faultHead = `# Faults

Written by ` + "`go test ./internal/engine -run Fault -update`" + ` and checked by ` + "`go test ./... -run Fault`" + `. The procedure is run once for each topology in the engine's
simulated world, and every write is taken from the world's own log. Then it is run again for each write and each
fate: the runner is dead right before it or right after it, its reply is lost after it took effect, or it fails
without effect. Afterwards a fresh ` + "`octopatch run`" + ` of the same owner goes on once the leases are stale, in the second
column of each pair after the dead-man switch has been at work. A cell is the exit code of that last run; behind a +
stands how many writes the dead process still tried, all of them refused by the world.

After each cell every node serves, is not drained, has its start type and watchdog as before, no journal, no lease, no
switch, no snapshot; Maintenance Mode is as before; no update was installed twice and no host booted more often than its updates
ask for. After the dead-man switch alone the services of a node that it served run with their start types, and drain
and Maintenance Mode are as the dead runner left them. The test fails for a broken one, and for a write without a row.

The fakes of this world stand for scripts and servers; the same deaths, with real processes, HTTP and the scripts'
twins, are in ` + "`cmd/octopatch` (TestDeadman)" + `. An installation whose reply is lost or that fails to begin is followed or begun
again by the adapter (internal/winhost), so the engine never sees it.
`

var fates = []string{"dead before", "dead after", "lost", "unapplied"}

// TestFaultMatrix: for each write to the world × each fate × with and without the dead-man switch.
func TestFaultMatrix(t *testing.T) {
	var table bytes.Buffer
	table.WriteString(faultHead)
	cells := 0
	for _, names := range [][]string{{"A"}, {"A", "B"}} {
		var writes []string
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(names...)
			e := w.surviving(newProvider(w), 45*time.Minute)
			if r := e.RunAll(context.Background()); r.Exit != ExitDone {
				t.Fatalf("the plain run: exit %d, %v", r.Exit, r.Err)
			}
			writes = w.writes
			last := writes[len(writes)-len(names):]
			slices.Sort(last) // the leases are let go of at once
		})
		fmt.Fprintf(&table, "\n## %d node(s), %d writes\n\n| | write |", len(names), len(writes))
		for _, fate := range fates {
			fmt.Fprintf(&table, " %s: run | dead-man, run |", fate)
		}
		table.WriteString("\n|---|---|" + strings.Repeat("---|", 2*len(fates)) + "\n")
		for i, what := range writes {
			fmt.Fprintf(&table, "| %d | %s |", i+1, what)
			for _, fate := range fates {
				for _, deadman := range []time.Duration{0, 45 * time.Minute} {
					cells++
					t.Run(fmt.Sprintf("%d nodes/%02d %s/%s/deadman %s", len(names), i+1, what, fate, deadman), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { fmt.Fprintf(&table, " %s |", cell(t, names, i, what, fate, deadman)) })
					})
				}
			}
			table.WriteString("\n")
		}
	}
	fmt.Fprintf(&table, "\n%d cells.\n", cells)
	if *update && !t.Failed() {
		if err := os.WriteFile(faultTable, table.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(faultTable)
	if err != nil || cmp.Diff(string(want), table.String()) != "" {
		t.Errorf("FAULTS.md is not what this test sees (%v); go test ./internal/engine -run Fault -update writes it:\n%s", err, cmp.Diff(string(want), table.String()))
	}
}

// cell runs with one fate for one write, lets the dead-man switch act, and runs afresh.
func cell(t *testing.T, names []string, i int, what, fate string, deadman time.Duration) string {
	w := newWorld(names...)
	before := w.snapshot()
	w.inject = func(n int, got string) string {
		if n != i+1 {
			return ""
		}
		if release := "host release"; got != what && (!strings.HasPrefix(got, release) || !strings.HasPrefix(what, release)) { // they are let go of at once
			t.Errorf("write %d is %q, and was %q in the plain run", n, got, what)
		}
		return fate
	}
	snapshots := newProvider(w)
	e := w.surviving(snapshots, deadman)
	ctx, cancel := context.WithCancel(context.Background())
	w.dead = cancel
	e.RunAll(ctx)
	late := w.late
	if died := w.died; died != strings.HasPrefix(fate, "dead") {
		t.Fatalf("died: %t", died)
	}
	w.died, w.inject = false, nil
	time.Sleep(50 * time.Minute)
	if deadman > 0 {
		w.deadmen(t)
	}
	time.Sleep(41 * time.Minute)
	e = w.surviving(snapshots, deadman)
	events := &recorder{}
	e.Run, e.Sink = "run2", events
	r := e.RunAll(context.Background())
	if r.Exit != ExitDone {
		t.Errorf("the fresh run: exit %d, %v", r.Exit, r.Err)
	}
	onePhaseEndEach(t, events, names)
	if len(snapshots.points) > 0 {
		t.Errorf("left behind: %v", snapshots.points)
	}
	if got := w.snapshot(); got != before {
		t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
	}
	for _, n := range w.nodes {
		if n.boot != 3 || n.ubr != 102 {
			t.Errorf("%s booted %d times, UBR %d; want 2 and 102", n.state.Name, n.boot-1, n.ubr)
		}
		for kb, times := range n.installs {
			if times != 1 {
				t.Errorf("%s: KB%s was installed %d times", n.state.Name, kb, times)
			}
		}
	}
	if late > 0 {
		return fmt.Sprintf("%d +%d", r.Exit, late)
	}
	return fmt.Sprint(r.Exit)
}

// surviving is a process with a precaution and a dead-man switch; 0: without one.
func (w *world) surviving(snapshots *fakeProvider, deadman time.Duration) *Engine {
	e, _ := w.engine()
	w.named(e)
	e.Rules.Deadman = deadman
	e.Provider, e.Rules.Precaution, e.Rules.PrecautionTimeout = snapshots, "fake", 30*time.Minute
	return e
}

// deadmen is what the dead-man switch of each host does by now, and holds the world to what it may change.
func (w *world) deadmen(t *testing.T) {
	defer w.locked()()
	for _, n := range w.nodes {
		drained, maintenance := n.state.Drained, w.maintenance
		armed, stopped := n.deadman, n.journal != nil && n.journal.Host != nil && !n.journal.Host.Restored
		if stopped && armed == (procedure.Deadman{}) {
			t.Errorf("%s: its service is stopped, and its switch is not armed", n.state.Name)
		}
		if armed.After == 0 || n.lease != nil && time.Since(time.Unix(n.lease.Renewed, 0)) < armed.After || time.Since(n.started) < armed.After || !stopped {
			continue
		}
		j := *n.journal
		prior := *j.Host
		n.service, n.watchdog, prior.Restored = prior.Services[0], prior.Watchdogs[0].Enabled, true
		j.Host, j.Counter, j.Deadman = &prior, j.Counter+1, &procedure.Fired{At: time.Now().Unix(), Why: "nothing was heard of the run"}
		n.journal, n.deadman = &j, procedure.Deadman{}
		if n.lease != nil {
			n.lease.Nonce = "deadman"
		}
		if n.state.Drained != drained || w.maintenance != maintenance || n.service.State != "Running" || n.service.Start != "Auto" || !n.service.Delayed || !n.watchdog {
			t.Errorf("%s after its dead-man switch: drained %t, Maintenance Mode %t, watchdog %t, %+v", n.state.Name, n.state.Drained, w.maintenance, n.watchdog, n.service)
		}
	}
}
