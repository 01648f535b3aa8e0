package windows

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// deadmanTable is what the switch does in every state that it looks at. The engine's tests hold their own switch
// against it.
const deadmanTable = "../DEADMAN.md"

const deadmanHead = `# The dead-man switch

Written by ` + "`go test ./internal/rehearsal/windows -run DeadmanTable -update`" + ` from what the script's twin does, and checked by that test.
TestPowerShellConformance holds PowerShell to the same where it fires and beside that, and the engine's fault matrix holds
its own switch to all of them. Leases are renewed every five minutes and stale after fifteen. "fires" means that it puts
services, start types and watchdogs back.

`

// choice is one of the things that the switch looks at: what it can be, and how a host gets so.
type choice struct {
	name    string
	prepare func(testing.TB, *Machine)
}

func nothing(testing.TB, *Machine) {}

// leaseOf is a lease that is renewed every five minutes, and was so many minutes ago.
func leaseOf(minutes int64, released bool) func(testing.TB, *Machine) {
	return func(t testing.TB, m *Machine) {
		at := m.clock.Now().Unix() - 60*minutes
		withFiles(map[string]any{leaseFile: map[string]any{"format": 1, "run": "r1", "owner": "ann", "attempt": "1", "nonce": "mine", "every": 300, "taken": at, "renewed": at, "released": released}})(t, m)
	}
}

var (
	deadmanArmed = []choice{{"after 45 min", withSwitch(2700, 0)}, {"at an hour that has come", withSwitch(0, 1)}, {"at an hour to come", func(t testing.TB, m *Machine) {
		withSwitch(0, int(m.clock.Now().Add(time.Hour).Unix()))(t, m)
	}}, {"not armed", nothing}}
	deadmanLease = []choice{{"none", nothing}, {"1 min old", leaseOf(1, false)}, {"20 min old", leaseOf(20, false)}, {"50 min old", leaseOf(50, false)}, {"1 min old, released", leaseOf(1, true)}, {"50 min old, released", leaseOf(50, true)}}
	deadmanBoot  = []choice{{"days ago", nothing}, {"10 min ago", locked(func(m *Machine) { m.boots++; m.bootTime = m.clock.Now().Add(-10 * time.Minute) })}}
	deadmanBusy  = []choice{{"nobody installs", nothing}, {"the worker installs", withTask(taskRunning, taskStillRuns, installingWork())}, {"Windows installs", withRegistry(keyCBS+`\Interface`, "ServicingInProgress", 2)}}
	deadmanHost  = []choice{{"held", hold}, {"restored", withFiles(map[string]any{journalFile: func() map[string]any {
		j := heldJournal()
		j["host"].(map[string]any)["restored"] = true
		return j
	}()})}, {"nothing of it was changed", withFiles(map[string]any{journalFile: journal("r1", 3)})}}
)

// deadmanStates are all states of hosts like that, row by row: a state for each way in which the switch is armed.
func deadmanStates(hosts []choice) (names []string, rows [][]state) {
	for _, host := range hosts {
		for _, busy := range deadmanBusy {
			for _, boot := range deadmanBoot {
				for _, lease := range deadmanLease {
					name := strings.Join([]string{host.name, busy.name, boot.name, lease.name}, " | ")
					var row []state
					for _, armed := range deadmanArmed {
						row = append(row, state{name: name + ", " + armed.name, prepare: both(host.prepare, lease.prepare, armed.prepare, busy.prepare, boot.prepare)})
					}
					names, rows = append(names, name), append(rows, row)
				}
			}
		}
	}
	return names, rows
}

// heldHosts are the states of a held host, for PowerShell: all of them where nobody installs, and else those in which it
// would fire otherwise.
func heldHosts() []state {
	names, rows := deadmanStates(deadmanHost[:1])
	var all []state
	for i, row := range rows {
		if strings.Contains(names[i], deadmanBusy[0].name) || strings.Contains(names[i], "days ago | 50 min old") {
			all = append(all, row...)
		}
	}
	return all
}

func deadmanCells(state) []cell { return []cell{{"deadman", step{"deadman", nil}}} }

// TestDeadmanTable asks the twin in every state.
func TestDeadmanTable(t *testing.T) {
	t.Parallel()
	names, rows := deadmanStates(deadmanHost)
	verdicts := make([][]string, len(rows))
	var all sync.WaitGroup
	for i, row := range rows {
		verdicts[i] = make([]string, len(row))
		all.Go(func() {
			for k, s := range row {
				m := newMachine(t, s, 400, nil)
				ask(t, m, scripts.Text("deadman"), nil, true)
				if verdicts[i][k] = "-"; m.fired() != "" {
					verdicts[i][k] = "fires"
				}
			}
		})
	}
	all.Wait()
	text := deadmanHead + "| host | | booted | lease |"
	for _, armed := range deadmanArmed {
		text += " " + armed.name + " |"
	}
	text += "\n|---|---|---|---|" + strings.Repeat("---|", len(deadmanArmed)) + "\n"
	fires := 0
	for i, name := range names {
		text += fmt.Sprintf("| %s | %s |\n", name, strings.Join(verdicts[i], " | "))
		fires += strings.Count(strings.Join(verdicts[i], ""), "fires")
	}
	text += fmt.Sprintf("\n%d states; it fires in %d.\n", len(names)*len(deadmanArmed), fires)
	if *renew {
		if err := os.WriteFile(deadmanTable, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(deadmanTable)
	if diff := cmp.Diff(string(want), text); err != nil || diff != "" {
		t.Errorf("DEADMAN.md is not what the twin does (%v); -update writes it:\n%s", err, diff)
	}
}
