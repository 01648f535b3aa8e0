package windows

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// suite is a part of the matrix: states of a host, and what is asked of it in each of them.
type suite struct {
	states []state
	cells  func(state) []cell
}

func suites() []suite {
	return []suite{{states(), cells}, {restoreStates(), restoreCells}, {virtualStates(), virtualCells}, {imageStates(), imageCells}, {heldHosts(), deadmanCells}}
}

// table is what a suite shows under go test -v.
type table struct {
	suite
	mu    sync.Mutex
	marks map[string]string
}

func (t *table) set(row, column, mark string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.marks == nil {
		t.marks = map[string]string{}
	}
	if had := t.marks[row+"|"+column]; had != "" && had != "ok" {
		return // what was worse stays
	}
	t.marks[row+"|"+column] = mark
}

func (t *table) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "\nPowerShell and twin: the same answer and the same host afterwards\n| %-26s |", "state")
	columns := t.cells(t.states[0])
	for _, c := range columns {
		fmt.Fprintf(&b, " %-7s |", c.name)
	}
	for _, s := range t.states {
		if _, asked := t.marks[s.name+"|"+columns[0].name]; !asked {
			continue // with -run
		}
		fmt.Fprintf(&b, "\n| %-26s |", s.name)
		for _, c := range columns {
			fmt.Fprintf(&b, " %-*s |", max(7, len(c.name)), t.marks[s.name+"|"+c.name])
		}
	}
	return b.String()
}

// updateSources are the values of OCTOPATCH_UPDATE_SOURCE.
var updateSources = []string{"default", "wsus", "windows-update", "microsoft-update"}

func (t *table) bySource() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nsearches, by what the host is set up for\n| %-26s | %s |", "host", strings.Join(updateSources, " | "))
	for _, s := range sources() {
		fmt.Fprintf(&b, "\n| %-26s |", s.name)
		for _, source := range updateSources {
			fmt.Fprintf(&b, " %-*s |", len(source), t.marks[s.name+"|"+source])
		}
	}
	return b.String()
}

// TestPowerShellConformance holds PowerShell and the twins to the same answers, and to the same host afterwards:
// every script, in every state of a host. It is what renews the twins' record.
func TestPowerShellConformance(t *testing.T) {
	needPowerShell(t)
	if *renew {
		proved := map[string]string{}
		for _, name := range scripts.Names() {
			proved[name] = scripts.SHA256(name)
		}
		Trust(proved)
	}
	seen := map[string]bool{}
	var tables []*table
	var searched table
	t.Run("all", func(t *testing.T) {
		for _, part := range suites() {
			shown := &table{suite: part}
			tables = append(tables, shown)
			for _, s := range part.states {
				for _, c := range part.cells(s) {
					first, _, _ := strings.Cut(c.name, " ") // a script that a task runs has columns and no call
					seen[first], seen[c.script] = true, true
					t.Run(s.name+"/"+c.name, func(t *testing.T) {
						t.Parallel()
						conform(t, shown, s, c)
					})
				}
			}
		}
		for name, steps := range stories() {
			t.Run("story/"+name, func(t *testing.T) {
				t.Parallel()
				tell(t, steps, warmShell)
			})
		}
		for _, s := range sources() {
			for _, source := range updateSources {
				t.Run("source/"+s.name+"/"+source, func(t *testing.T) {
					t.Parallel()
					conform(t, &searched, s, cell{source, from(source)})
				})
			}
		}
	})
	for _, shown := range tables {
		if len(shown.marks) > 0 { // with -run, not all of them
			t.Log(shown.String())
		}
	}
	t.Log(searched.bySource())
	for _, name := range scripts.Names() {
		if !seen[name] {
			t.Errorf("%s.ps1 is in no column", name)
		}
	}
	if *renew && !t.Failed() {
		text, err := json.MarshalIndent(Recorded(), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("twins.json", append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func needPowerShell(t *testing.T) {
	t.Helper()
	if _, err := FindPowerShell(); err != nil {
		t.Skip("no PowerShell on PATH: ", err)
	}
	if testing.Short() {
		t.Skip("takes minutes with PowerShell")
	}
}

func conform(t *testing.T, shown *table, s state, c cell) {
	mark := "skipped"
	defer func() { shown.set(s.name, c.name, mark) }()
	judged(t, func(slower float64) string { return compare(t, s, c, scripts.Text(c.script), warmShell, slower) })
	mark = "ok"
	if t.Failed() {
		mark = "DIFFERS"
	}
}

// TestPowerShellTransport: what the network does to a command happens to both alike, once each.
func TestPowerShellTransport(t *testing.T) {
	needPowerShell(t)
	requests := map[string]step{}
	for _, c := range cells(state{}) {
		requests[c.name] = c.step
	}
	requests["work"] = step{"work", work("scan", true)}
	faults := map[string]string{"connection-reset": "probe"}
	for _, script := range writes {
		faults["lost-"+script], faults["unapplied-"+script] = script, script
	}
	for _, write := range checkpointWrites {
		for _, fault := range []string{"lost-" + write, "unapplied-" + write} {
			t.Run(fault, func(t *testing.T) {
				t.Parallel()
				s := state{faults: fault, virtual: has(pointName)}
				columns := virtualCells(s)
				c := columns[slices.IndexFunc(columns, func(c cell) bool { return strings.HasSuffix(write, strings.TrimPrefix(c.name, "hyperv ")) })]
				judged(t, func(slower float64) string { return compare(t, s, c, scripts.Text("hyperv"), startShell, slower) })
			})
		}
	}
	for fault, script := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			judged(t, func(slower float64) string {
				return compare(t, state{faults: fault}, cell{script, requests[script]}, scripts.Text(script), startShell, slower)
			})
		})
	}
}
