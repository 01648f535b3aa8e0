package windows

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// state is one row of the matrix: what a host can be like when it is asked.
type state struct {
	name    string
	faults  string
	prepare func(t testing.TB, m *Machine)
}

// locked changes the machine's insides.
func locked(f func(m *Machine)) func(testing.TB, *Machine) {
	return func(_ testing.TB, m *Machine) {
		m.mu.Lock()
		defer m.mu.Unlock()
		f(m)
	}
}

// service changes the Octopus service.
func withService(f func(s *service)) func(testing.TB, *Machine) {
	return locked(func(m *Machine) {
		s, _ := m.find("OctopusDeploy")
		f(s)
	})
}

// withFolder gives the run's folder an access list.
func withFolder(sddl string) func(testing.TB, *Machine) {
	return func(t testing.TB, m *Machine) {
		if err := m.makeDirectory(m.ours(), sddl); err != nil {
			t.Fatal(err)
		}
	}
}

// withFiles puts files into a folder that is ours.
func withFiles(files map[string]any) func(testing.TB, *Machine) {
	return func(t testing.TB, m *Machine) {
		withFolder(folderSecurity)(t, m)
		for name, content := range files {
			text, ok := content.(string)
			if !ok {
				b, err := json.Marshal(content)
				if err != nil {
					t.Fatal(err)
				}
				text = string(b)
			}
			if err := os.WriteFile(filepath.Join(m.ours(), name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func withRegistry(path, name string, value any) func(testing.TB, *Machine) {
	return locked(func(m *Machine) { m.setValue(path, name, value) })
}

// withTask is the worker's task in a state, with the files that it works with.
func withTask(number int, result uint32, files map[string]any) func(testing.TB, *Machine) {
	return func(t testing.TB, m *Machine) {
		withFiles(files)(t, m)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.folders[workerFolder] = ""
		one := &task{folder: workerFolder, name: workerName, enabled: true, state: number, result: result}
		if number == taskRunning {
			_, cancel := context.WithCancel(m.session)
			one.stop = func() { cancel(); go m.ended(one) }
		}
		m.tasks = append(m.tasks, one)
	}
}

// ended is what the scheduler notes of a process that was stopped.
func (m *Machine) ended(t *task) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.result, t.stop = taskTerminated, nil
	t.settle()
}

// only keeps the updates that are asked for, and changes them.
func only(kb string, f func(u *update)) func(testing.TB, *Machine) {
	return locked(func(m *Machine) {
		for _, u := range m.updates {
			if u.kb != kb {
				u.installed = true
			} else if f != nil {
				f(u)
			}
		}
	})
}

func first(f func(u *update)) func(testing.TB, *Machine) {
	return locked(func(m *Machine) { f(m.updates[0]) })
}

// heldJournal is what stop has left when the services were stopped and held by run r1.
func heldJournal() map[string]any {
	j := journal("r1", 3)
	j["host"] = map[string]any{"boot": "1", "build": build, "ubr": firstUBR, "restored": false,
		"services":  []any{map[string]any{"name": "OctopusDeploy", "state": "Running", "start": "Auto", "delayed": true, "dependents": []string{"Octopus Log Shipper"}}, map[string]any{"name": "Octopus Log Shipper", "state": "Running", "start": "Auto", "delayed": false, "dependents": []string{}}},
		"watchdogs": []any{map[string]any{"name": "Octopus Watchdog OctopusServer", "enabled": true}}}
	return j
}

func journal(run string, counter int) map[string]any {
	return map[string]any{"format": 1, "run": run, "counter": counter, "node": "OCTO-01", "owner": "ann", "topology": "ha", "updated": 1, "future": []any{1}}
}

func hold(t testing.TB, m *Machine) {
	withFiles(map[string]any{journalFile: heldJournal()})(t, m)
	locked(func(m *Machine) {
		for _, s := range m.services {
			if s.name == "OctopusDeploy" || s.name == "Octopus Log Shipper" {
				s.state, s.start, s.delayed = stateStopped, startManual, false
			}
		}
		m.findTask(`\`, "Octopus Watchdog OctopusServer").enabled = false
		m.findTask(`\`, "Octopus Watchdog OctopusServer").settle()
	})(t, m)
}

func both(list ...func(testing.TB, *Machine)) func(testing.TB, *Machine) {
	return func(t testing.TB, m *Machine) {
		for _, f := range list {
			f(t, m)
		}
	}
}

func stopAll(m *Machine) {
	for _, s := range m.services {
		if s.name == "OctopusDeploy" || s.name == "Octopus Log Shipper" {
			s.state = stateStopped
		}
	}
}

func installingWork() map[string]any {
	return map[string]any{"work.json": map[string]any{"job": "job-x", "mode": "install"}, "progress.jsonl": "{\"stage\":\"search\"}\n{\"stage\":\"install\",\"percent\":10}\n{\"cut"}
}

func searchingWork() map[string]any {
	return map[string]any{"work.json": map[string]any{"job": "job-x", "mode": "scan"}}
}

func doneWork() map[string]any {
	w := installingWork()
	w["result.json"] = map[string]any{"job": "job-x", "updates": []any{}, "outcomes": []any{}, "reboot": true}
	return w
}

// states are the rows.
func states() []state {
	return []state{
		{"healthy", "", nil},
		{"service stopped", "", locked(stopAll)},
		{"service disabled", "", both(locked(stopAll), withService(func(s *service) { s.start, s.delayed = startDisabled, false }))},
		{"service not delayed", "", withService(func(s *service) { s.delayed = false })},
		{"service starting", "", withService(func(s *service) { s.state = stateStarting })},
		{"service stuck stopping", "service-stuck-stopping", withService(func(s *service) { s.state = stateStopping })},
		{"service missing", "", locked(func(m *Machine) { m.services = append(m.services[:2], m.services[4:]...) })},
		{"held by this run", "", hold},
		{"restored by this run", "", withFiles(map[string]any{journalFile: func() map[string]any {
			j := heldJournal()
			j["host"].(map[string]any)["restored"] = true
			return j
		}()})},
		{"watchdog disabled", "", locked(func(m *Machine) { m.tasks[0].enabled = false; m.tasks[0].settle() })},
		{"watchdog gone", "", both(hold, locked(func(m *Machine) { m.tasks = m.tasks[1:] }))},
		{"second instance", "second-instance", nil},
		{"another machine", "wrong-machine", nil},
		{"constrained language", "constrained-language", nil},
		{"foreign folder", "foreign-folder", nil},
		{"wider access list", "", withFolder("O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;BU)")},
		{"inherited access list", "", withFolder("O:BAG:BAD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)")},
		{"no access list", "", withFolder("O:BAG:BAD:NO_ACCESS_CONTROL")},
		{"reparse point", "", func(t testing.TB, m *Machine) {
			if err := os.Symlink(t.TempDir(), m.ours()); err != nil {
				t.Skip("this account may not make links: ", err)
			}
		}},
		{"file instead of folder", "", func(t testing.TB, m *Machine) {
			if err := os.WriteFile(m.ours(), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"journal unreadable", "", withFiles(map[string]any{journalFile: `{"format":1,"run":"r1"`})},
		{"journal empty", "", withFiles(map[string]any{journalFile: ``})},
		{"journal newer", "", withFiles(map[string]any{journalFile: map[string]any{"format": 2, "run": "r1"}})},
		{"journal of nobody", "", withFiles(map[string]any{journalFile: map[string]any{"format": 1}})},
		{"journal of another run", "", withFiles(map[string]any{journalFile: journal("r2", 1)})},
		{"journal further on", "", withFiles(map[string]any{journalFile: journal("r1", 6)})},
		{"journal of this run", "", withFiles(map[string]any{journalFile: journal("r1", 4)})},
		{"reboot pending", "reboot-pending-before", nil},
		{"reboot pending softly", "", both(withRegistry(keySession, "PendingFileRenameOperations", []string{`\??\C:\a`, ""}), withRegistry(keyName+`\ComputerName`, "ComputerName", "NEW"), withRegistry(keyNetlogon, "JoinDomain", "x"))},
		{"servicing at work", "", withRegistry(keyCBS+`\Interface`, "ServicingInProgress", 2)},
		{"Windows Installer at work", "", locked(func(m *Machine) { m.makeKey(keyInstaller, true) })},
		{"logon screen not there", "", locked(func(m *Machine) { delete(m.registry, lower(keyLogon)) })},
		{"shutdown in progress", "", locked(func(m *Machine) { m.leaving = true })},
		{"shutdown scheduled", "shutdown-scheduled", nil},
		{"after a reboot", "", locked(func(m *Machine) { m.boots++; m.bootTime = m.clock.Now().Add(-10 * time.Minute) })},
		{"service does not start", "service-wont-start", locked(func(m *Machine) { m.boots++; stopAll(m) })},
		{"worker installing", "", withTask(taskRunning, taskStillRuns, installingWork())},
		{"worker searching", "", withTask(taskRunning, taskStillRuns, searchingWork())},
		{"worker done", "", withTask(taskReady, 0, doneWork())},
		{"worker died", "", withTask(taskReady, taskKilled, installingWork())},
		{"worker's task gone", "", withFiles(installingWork())},
		{"installer busy", "installer-busy", nil},
		{"no updates", "no-updates", nil},
		{"definition only", "", only("2267602", nil)},
		{"licence accepted", "", first(func(u *update) { u.eula = true })},
		{"downloaded before", "", first(func(u *update) { u.downloaded, u.eula = true, true })},
		{"user input", "", first(func(u *update) { u.userInput = true })},
		{"exclusive update", "", locked(func(m *Machine) { m.updates[1].exclusive = true })},
		{"exclusive with reboot", "", first(func(u *update) { u.exclusive = true })},
		{"hidden update", "", first(func(u *update) { u.hidden = true })},
		{"no classification", "", first(func(u *update) { u.class = "" })},
		{"feature upgrade", "", first(func(u *update) { u.class = featureUpgrade })},
		{"update without number", "", first(func(u *update) { u.kb = "" })},
		{"update fails", "update-fails", nil},
		{"update loops", "update-loops", nil},
		{"search fails", "search-fails", nil},
		{"disk full", "disk-full", nil},
	}
}
