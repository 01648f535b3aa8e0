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

var fates = []string{"dead before", "dead after", "lost", "unapplied"}

// TestFaultMatrix: for each run × each write of it to the world × each fate × with and without the dead-man switch.
func TestFaultMatrix(t *testing.T) {
	var table bytes.Buffer
	table.WriteString(faultHead)
	cells := 0
	for _, f := range faultRuns() {
		for _, names := range [][]string{{"A"}, {"A", "B"}} {
			if f.nodes != 0 && f.nodes != len(names) {
				continue
			}
			writes, exit := f.plainly(t, names)
			fmt.Fprintf(&table, "\n## %s: %d node(s), %d writes\n\n%s.\n\n| | write |", f.name, len(names), len(writes), strings.ToUpper(f.says[:1])+f.says[1:])
			for _, fate := range fates {
				fmt.Fprintf(&table, " %s | dead-man |", fate)
			}
			table.WriteString("\n|---|---|" + strings.Repeat("---|", 2*len(fates)) + "\n")
			for i, what := range writes {
				fmt.Fprintf(&table, "| %d | %s |", i+1, what)
				for _, fate := range fates {
					for _, deadman := range []time.Duration{0, 45 * time.Minute} {
						cells++
						t.Run(fmt.Sprintf("%s/%d nodes/%02d %s/%s/deadman %s", f.name, len(names), i+1, what, fate, deadman), func(t *testing.T) {
							synctest.Test(t, func(t *testing.T) {
								fmt.Fprintf(&table, " %s |", f.cell(t, names, i, what, fate, deadman, exit))
							})
						})
					}
				}
				table.WriteString("\n")
			}
		}
	}
	fmt.Fprintf(&table, "\n%d cells.\n", cells)
	if *update && !t.Failed() {
		if err := os.WriteFile(faultTable, table.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(faultTable)
	if err != nil || string(want) != table.String() {
		t.Errorf("FAULTS.md is not what this test sees (%v); go test ./internal/engine -run Fault -update writes it:\n%s", err, cmp.Diff(string(want), table.String()))
	}
}

// open is the world before a run of the matrix.
func (f faultRun) open(t *testing.T, names []string, deadman time.Duration) *stage {
	w := newWorld(names...)
	s := &stage{world: w, snapshots: newProvider(w), kept: keeper{}, deadman: deadman}
	if f.before != nil {
		f.before(t, s)
	}
	if deadman > 0 {
		w.switches(t)
	}
	t.Cleanup(func() { defer w.locked()(); w.over = true })
	return s
}

// plainly is the run without a fault; what it writes are the rows.
func (f faultRun) plainly(t *testing.T, names []string) (writes []string, exit int) {
	synctest.Test(t, func(t *testing.T) {
		s := f.open(t, names, 45*time.Minute)
		began := len(s.writes)
		s.works()
		if exit = f.play(context.Background(), s); exit != f.plain && (exit != ExitSomeFailed && exit != ExitStopped || len(names) == 1) {
			t.Fatalf("%s, %d nodes: the plain run ends in %d", f.name, len(names), exit)
		}
		writes = s.writes[began:]
	})
	for range writes {
		for i := 1; i < len(writes); i++ {
			if a, b := writes[i-1], writes[i]; together(a, b) && b < a {
				writes[i-1], writes[i] = b, a
			}
		}
	}
	return writes, exit
}

// together: the same is done to all hosts at once, in no order.
func together(a, b string) bool {
	of := func(what string) string { return what[:strings.LastIndex(what, " ")+1] }
	return of(a) == of(b) && (of(a) == "host download " || of(a) == "host release ")
}

// cell runs with one fate for one write, lets the dead-man switch act, and goes on afresh. A process that lives ends as it
// does without the fate.
func (f faultRun) cell(t *testing.T, names []string, i int, what, fate string, deadman time.Duration, plain int) string {
	w := newWorld(names...)
	before, content := w.snapshot(), w.db.content()
	s := f.open(t, names, deadman)
	w = s.world
	database, began := w.db.copy(), len(w.writes)
	w.inject = func(n int, got string) string {
		if n != began+i+1 {
			return ""
		}
		if got != what && !together(got, what) {
			t.Errorf("write %d is %q, and was %q in the plain run", n-began, got, what)
		}
		return fate
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.dead = cancel
	w.works()
	if exit := f.play(ctx, s); exit != plain && !strings.HasPrefix(fate, "dead") {
		t.Errorf("it ends in %d, and in %d without the fate", exit, plain)
	}
	s.died(t, strings.HasPrefix(fate, "dead"))
	wait := max(91*time.Minute, f.wait)
	time.Sleep(wait + 7*time.Second) // never at the moment of a look of the switch, which would race with what mends
	if deadman > 0 {
		w.outOfService(t)
	}
	s.unlost(t, database)
	if f.mend != nil {
		f.mend(s)
		time.Sleep(7 * time.Minute) // longer than from one look of the switch to the next
	}
	ended := s.goOn(t, f)
	s.asPromised(t, f, ended, before, content, database)
	// Hosts are let go of all at once: which of them a dead process still tries is not the same each time.
	late := slices.DeleteFunc(slices.Clone(w.late), func(what string) bool { return strings.HasPrefix(what, "host release") })
	if n := len(late); n > 0 {
		ended += fmt.Sprintf(" +%d", n)
	}
	return ended
}

// goOn is what is done afterwards; its exit codes.
func (s *stage) goOn(t *testing.T, f faultRun) string {
	e, events := s.process()
	e.Run = "run2"
	s.works()
	r := f.afterwards(e)
	if f.finish == nil {
		onePhaseEndEach(t, events, s.names())
	}
	switch {
	case r.Exit == ExitDone:
		return "0"
	case !slices.Contains(f.ends, r.Exit):
		t.Errorf("afterwards: exit %d, %v", r.Exit, r.Err)
	}
	e, _ = s.process()
	e.Run = "run3"
	command := "run"
	if f.finish != nil && s.isOpen() { // recover says that the node is healthy, and to open it
		command, e.Node = procedure.Exit, s.nodes[0].state.Name
	}
	if r := do(e, command); r.Exit != ExitDone {
		t.Errorf("%s after that: exit %d, %v", command, r.Exit, r.Err)
	}
	return fmt.Sprintf("%d, %s 0", r.Exit, command)
}

// do runs a command.
func do(e *Engine, command string) Result {
	switch command {
	case "run":
		return e.RunAll(context.Background())
	case procedure.Recover:
		return e.Recover(context.Background())
	}
	p, _ := procedure.Find(command)
	return e.Alone(context.Background(), p)
}

func (w *world) names() (names []string) {
	for _, n := range w.nodes {
		names = append(names, n.state.Name)
	}
	return names
}

// died says what became of the process that was played, and buries it.
func (s *stage) died(t *testing.T, wanted bool) {
	defer s.locked()()
	if s.world.died != wanted {
		t.Fatalf("died: %t", s.world.died)
	}
	for _, what := range s.harmful {
		t.Errorf("the dead process still tried what would have mattered: %s", what)
	}
	s.world.died, s.inject, s.lives = false, nil, false
}

// works: from now on there is a process whose leases keep the switches quiet.
func (w *world) works() {
	defer w.locked()()
	w.lives = true
}

// isOpen: a run is open on node A.
func (w *world) isOpen() bool {
	defer w.locked()()
	return w.nodes[0].journal != nil
}

// unlost holds the database against what it was.
func (w *world) unlost(t *testing.T, before database) {
	defer w.locked()()
	if lost := w.db.lost(before); lost != "" {
		t.Errorf("Octopus' database: %s", lost)
	}
}

// asPromised holds the world afterwards against what it was.
func (s *stage) asPromised(t *testing.T, f faultRun, ended, before, content string, database database) {
	if got := s.snapshot(); got != before {
		t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
	}
	defer s.locked()()
	if len(s.snapshots.points) > 0 {
		t.Errorf("left behind: %v", s.snapshots.points)
	}
	if lost := s.db.lost(database); lost != "" || s.db.content() != content {
		t.Errorf("Octopus' database: %s (+got, -want):\n%s", lost, cmp.Diff(content, s.db.content()))
	}
	for _, n := range s.nodes {
		want := 102
		if f.finish != nil && !strings.HasSuffix(ended, "run 0") {
			want = 100 // recovered, and nobody has patched it since
		}
		if n.ubr != want || n.blind > 0 {
			t.Errorf("%s: UBR %d, want %d; %d reboots for nothing", n.state.Name, n.ubr, want, n.blind)
		}
		for kb, times := range n.installs {
			if times > 1+n.reverts {
				t.Errorf("%s: KB%s was installed %d times, with %d reverts", n.state.Name, kb, times, n.reverts)
			}
		}
	}
}
