package windows

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// TestDeadmanRace: a run takes the lease while the switch is starting services, which takes a while. What the run writes
// into the journal stays, and so does the switch that it arms; the service may come up, and the run sees that it has.
func TestDeadmanRace(t *testing.T) {
	t.Parallel()
	t.Run("twin", func(t *testing.T) { t.Parallel(); deadmanRace(t, nil, 60) })
	t.Run("PowerShell", func(t *testing.T) {
		needPowerShell(t)
		t.Parallel()
		deadmanRace(t, startShell, 10)
	})
}

func deadmanRace(t *testing.T, run shell, speed float64) {
	m := newMachine(t, state{prepare: both(hold, withLease("dead", 9000, false), withSwitch(60, 0))}, speed, run)
	m.mu.Lock()
	for _, one := range m.services {
		one.starting = 2 * time.Minute // longer than a run needs to come in between
	}
	m.mu.Unlock()
	looked := make(chan said, 1)
	go func() { looked <- ask(t, m, scripts.Text("deadman"), nil, true) }()
	for m.state("OctopusDeploy") != stateStarting { // it has decided, and restores
		if m.clock.Sleep(t.Context(), time.Second) != nil {
			t.Fatal("the switch has started nothing")
		}
	}
	take := ask(t, m, scripts.Text("lease"), lease("take", "second", "deadman").request, false)
	if answer, _ := take.Answer.(object)["answer"].(object); !flagOf(answer, "held") {
		t.Fatalf("the lease of a switch that fires is not given: %+v", take)
	}
	note := with(leased(step{"record", changing(9, nil)}, "second"), "deadman", map[string]any{"script": scripts.Text("deadman"), "after": 2700, "until": 0})
	if got := ask(t, m, scripts.Text("record"), note.request, false); got.Exit != 0 {
		t.Fatalf("the run cannot write: %+v", got)
	}
	if len(looked) > 0 {
		t.Fatal("the switch was done before: this shows nothing")
	}
	<-looked
	journal, held, set := m.readFile(t, journalFile), m.readFile(t, leaseFile), m.readFile(t, deadmanFile)
	if numberOf(journal, "counter") != 9 || journal["deadman"] != nil || flagOf(objectOf(journal, "host"), "restored") {
		t.Errorf("the switch has written over the journal: %v", journal)
	}
	if textOf(held, "nonce") != "second" || numberOf(set, "after") != 2700 {
		t.Errorf("the lease is %v, the switch is set to %v", held, set)
	}
	m.mu.Lock()
	there := m.findTask(workerFolder, deadmanName) != nil
	m.mu.Unlock()
	if !there {
		t.Error("the switch that the run has armed is gone")
	}
	for m.state("OctopusDeploy") == stateStarting {
		if m.clock.Sleep(t.Context(), time.Second) != nil {
			t.Fatal("it never ran")
		}
	}
	sees := ask(t, m, scripts.Text("health"), leased(step{"health", healthOf("OctopusDeploy")}, "second").request, false)
	answer, _ := sees.Answer.(object)["answer"].(object)
	services, _ := answer["services"].([]any)
	if len(services) == 0 || textOf(services[0].(object), "state") != stateRunning {
		t.Errorf("the run does not see that the service runs: %+v", sees)
	}
}

// state is that of a service.
func (m *Machine) state(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, _ := m.find(name)
	return s.state
}

// readFile reads one of our files on the machine.
func (m *Machine) readFile(t *testing.T, name string) object {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.ours(), name))
	var file object
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}
