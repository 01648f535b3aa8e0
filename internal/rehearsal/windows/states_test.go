package windows

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// state is one row of the matrix: what a host can be like when it is asked.
type state struct {
	name    string
	faults  string
	prepare func(t testing.TB, m *Machine)

	instance string // of Octopus Server; empty: the default one
	narrow   bool   // asked less, for the rest of it is elsewhere
	lease    string // nonce of the lease that the process which asks believes it holds; empty: none

	virtual func(h *Machine, v *vm) // makes it a Hyper-V host, of this virtual machine
	ask     map[string]any          // what hyperv.ps1 is asked besides
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
		if one.runs() {
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

// copyOf is the journal of another node, as it is kept while that one's machine is reverted.
func copyOf(node string) map[string]any {
	j := journal("r1", 7)
	j["node"] = node
	return j
}

// restored is a host of an earlier build whose services run r1 has stopped and started again.
func restored(t testing.TB, m *Machine) {
	j := heldJournal()
	host := j["host"].(map[string]any)
	host["restored"], host["ubr"] = true, earlierUBR
	withFiles(map[string]any{journalFile: j})(t, m)
}

const earlierUBR = 7

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

// withoutShipper removes the service that depends on Octopus Server, as an update of its product may.
func withoutShipper(t testing.TB, m *Machine) {
	locked(func(m *Machine) {
		m.services = slices.DeleteFunc(m.services, func(s *service) bool { return s.name == "Octopus Log Shipper" })
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

// withLease is a lease, renewed so many seconds ago.
func withLease(nonce string, age int64, released bool) func(testing.TB, *Machine) {
	return func(t testing.TB, m *Machine) {
		at := m.clock.Now().Unix() - age
		withFiles(map[string]any{leaseFile: map[string]any{"format": 1, "run": "r1", "owner": "ann", "attempt": "1", "nonce": nonce, "every": 1800, "taken": at, "renewed": at, "released": released}})(t, m)
	}
}

// withSwitch is an armed dead-man switch.
func withSwitch(after, until int) func(testing.TB, *Machine) {
	return both(withTask(taskReady, taskNeverRan, map[string]any{deadmanFile: map[string]any{"after": after, "until": until, "armed": 1}, "deadman.ps1": "exit"}), locked(func(m *Machine) {
		m.findTask(workerFolder, workerName).name = deadmanName
	}))
}

// noticed: the switch has seen a minute and more ago that the lease is of another clock.
func noticed(t testing.TB, m *Machine) {
	text, err := os.ReadFile(filepath.Join(m.ours(), leaseFile))
	var lease object
	if err == nil {
		err = json.Unmarshal(text, &lease)
	}
	if err != nil {
		t.Fatal(err)
	}
	withFiles(map[string]any{deadmanFile: map[string]any{"after": 60, "until": 0, "armed": 1, "ahead": lease["renewed"], "since": m.clock.Now().Unix() - 100}})(t, m)
}

// states are the rows.
func states() []state {
	return []state{
		{name: "healthy"},
		{name: "service stopped", prepare: locked(stopAll)},
		{name: "service disabled", prepare: both(locked(stopAll), withService(func(s *service) { s.start, s.delayed = startDisabled, false }))},
		{name: "service not delayed", prepare: withService(func(s *service) { s.delayed = false })},
		{name: "service starting", prepare: withService(func(s *service) { s.state = stateStarting })},
		{name: "service stuck stopping", faults: "service-stuck-stopping", prepare: withService(func(s *service) { s.state = stateStopping })},
		{name: "service missing", prepare: locked(func(m *Machine) { m.services = append(m.services[:2], m.services[4:]...) })},
		{name: "held by this run", prepare: hold},
		{name: "restored by this run", prepare: restored},
		{name: "fallen over since it was restored", prepare: both(restored, locked(stopAll))},
		{name: "fallen over since, dependent gone", prepare: both(restored, locked(stopAll), withoutShipper)},
		{name: "watchdog disabled", prepare: locked(func(m *Machine) { m.tasks[0].enabled = false; m.tasks[0].settle() })},
		{name: "watchdog gone", prepare: both(hold, locked(func(m *Machine) { m.tasks = m.tasks[1:] }))},
		{name: "second instance", faults: "second-instance"},
		{name: "another machine", faults: "wrong-machine"},
		{name: "constrained language", faults: "constrained-language"},
		{name: "foreign folder", faults: "foreign-folder"},
		{name: "wider access list", prepare: withFolder("O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;BU)")},
		{name: "inherited access list", prepare: withFolder("O:BAG:BAD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)")},
		{name: "no access list", prepare: withFolder("O:BAG:BAD:NO_ACCESS_CONTROL")},
		{name: "reparse point", prepare: func(t testing.TB, m *Machine) {
			if err := os.Symlink(t.TempDir(), m.ours()); err != nil {
				t.Skip("this account may not make links: ", err)
			}
		}},
		{name: "file instead of folder", prepare: func(t testing.TB, m *Machine) {
			if err := os.WriteFile(m.ours(), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "journal unreadable", prepare: withFiles(map[string]any{journalFile: `{"format":1,"run":"r1"`})},
		{name: "journal empty", prepare: withFiles(map[string]any{journalFile: ``})},
		{name: "journal newer", prepare: withFiles(map[string]any{journalFile: map[string]any{"format": 2, "run": "r1"}})},
		{name: "journal of nobody", prepare: withFiles(map[string]any{journalFile: map[string]any{"format": 1}})},
		{name: "journal of another run", prepare: withFiles(map[string]any{journalFile: journal("r2", 1)})},
		{name: "journal further on", prepare: withFiles(map[string]any{journalFile: journal("r1", 6)})},
		{name: "journal of this run", prepare: withFiles(map[string]any{journalFile: journal("r1", 4)})},
		{name: "reboot pending", faults: "reboot-pending-before"},
		{name: "reboot pending softly", prepare: both(withRegistry(keySession, "PendingFileRenameOperations", []string{`\??\C:\a`, ""}), withRegistry(keyName+`\ComputerName`, "ComputerName", "NEW"), withRegistry(keyNetlogon, "JoinDomain", "x"))},
		{name: "servicing at work", prepare: withRegistry(keyCBS+`\Interface`, "ServicingInProgress", 2)},
		{name: "Windows Installer at work", prepare: locked(func(m *Machine) { m.makeKey(keyInstaller, true); m.agent.msi = true })},
		{name: "Windows Installer was cut off", prepare: locked(func(m *Machine) { m.makeKey(keyInstaller, false) })},
		{name: "dependent gone", prepare: both(hold, withoutShipper)},
		{name: "logon screen not there", prepare: locked(func(m *Machine) { delete(m.registry, lower(keyLogon)) })},
		{name: "shutdown in progress", prepare: locked(func(m *Machine) { m.leaving = true })},
		{name: "shutdown scheduled", faults: "shutdown-scheduled"},
		{name: "after a reboot", prepare: locked(func(m *Machine) { m.boots++; m.bootTime = m.clock.Now().Add(-10 * time.Minute) })},
		{name: "service does not start", faults: "service-wont-start", prepare: locked(func(m *Machine) { m.boots++; stopAll(m) })},
		{name: "worker installing", prepare: withTask(taskRunning, taskStillRuns, installingWork())},
		{name: "worker queued", prepare: withTask(taskQueued, taskIsQueued, installingWork())},
		{name: "worker searching", prepare: withTask(taskRunning, taskStillRuns, searchingWork())},
		{name: "worker done", prepare: withTask(taskReady, 0, doneWork())},
		{name: "worker died", prepare: withTask(taskReady, taskKilled, installingWork())},
		{name: "worker's task gone", prepare: withFiles(installingWork())},
		{name: "installer busy", faults: "installer-busy"},
		{name: "update agent broken", prepare: locked(func(m *Machine) { m.agent.broken = true })},
		{name: "no updates", faults: "no-updates"},
		{name: "definition only", prepare: only("2267602", nil)},
		{name: "licence accepted", prepare: first(func(u *update) { u.eula = true })},
		{name: "downloaded before", prepare: first(func(u *update) { u.downloaded, u.eula = true, true })},
		{name: "user input", prepare: first(func(u *update) { u.userInput = true })},
		{name: "no InstallationBehavior", prepare: locked(func(m *Machine) {
			for _, u := range m.updates {
				u.plain = true
			}
		})},
		{name: "exclusive update", prepare: locked(func(m *Machine) { m.updates[1].exclusive = true })},
		{name: "exclusive with reboot", prepare: first(func(u *update) { u.exclusive = true })},
		{name: "hidden update", prepare: first(func(u *update) { u.hidden = true })},
		{name: "no classification", prepare: first(func(u *update) { u.class = "" })},
		{name: "feature upgrade", prepare: first(func(u *update) { u.class = featureUpgrade })},
		{name: "update without number", prepare: first(func(u *update) { u.kb = "" })},
		{name: "update fails", faults: "update-fails"},
		{name: "update loops", faults: "update-loops"},
		{name: "download slow", faults: "download-slow"},
		{name: "installation stuck", faults: "install-stuck"},
		{name: "search fails", faults: "search-fails"},
		{name: "disk full", faults: "disk-full"},
		{name: "disk fills", faults: "disk-fills"},
		{name: "disk low", faults: "low-disk"},
		{name: "policy that reboots", faults: "auto-reboot-policy"},
		{name: "rival agent", faults: "rival-agent"},
		{name: "clock ahead", faults: "clock-skew"},
		{name: "WSUS down", faults: "wsus-down"},
		{name: "WSUS busy", faults: "wsus-busy"},
		{name: "search warns", faults: "search-warns"},
		{name: "broken COM objects", faults: "com-broken"},
		{name: "odd updates", faults: "odd-updates"},
		{name: "installation wants a reboot", faults: "install-wants-reboot"},
		{name: "shutdown refused: in progress", faults: "shutdown-in-progress"},
		{name: "shutdown refused: no interface", faults: "shutdown-service-gone"},
		{name: "shutdown refused: access", faults: "reboot-denied"},
		{name: "lease of another", prepare: withLease("other", 0, false)},
		{name: "lease of this process", prepare: withLease("mine", 0, false), lease: "mine"},
		{name: "lease taken over", prepare: withLease("other", 0, false), lease: "mine"},
		{name: "lease gone", lease: "mine"},
		{name: "lease stale", prepare: withLease("other", 9000, false)},
		{name: "lease released", prepare: withLease("other", 0, true)},
		{name: "lease of another clock", prepare: withLease("other", -9000, false)},
		{name: "copy of another node", prepare: withFiles(map[string]any{copyFile: copyOf("OCTO-03")})},
		{name: "copy of that node", prepare: both(hold, withFiles(map[string]any{copyFile: copyOf("OCTO-02")}))},
		{name: "copy unreadable", prepare: withFiles(map[string]any{copyFile: "{"})},
		{name: "copy newer", prepare: withFiles(map[string]any{copyFile: map[string]any{"format": 2, "run": "r1"}})},
		{name: "lease unreadable", prepare: withFiles(map[string]any{leaseFile: "{"})},
		{name: "lease newer", prepare: withFiles(map[string]any{leaseFile: map[string]any{"format": 2}})},
		{name: "switch armed", prepare: both(hold, withLease("mine", 0, false), withSwitch(2700, 0)), lease: "mine"},
		{name: "switch overdue", prepare: both(hold, withLease("other", 9000, false), withSwitch(60, 0))},
		{name: "switch overdue, dependent gone", prepare: both(hold, withoutShipper, withLease("other", 9000, false), withSwitch(60, 0))},
		{name: "switch overdue, Windows Installer was cut off", prepare: both(hold, locked(func(m *Machine) { m.makeKey(keyInstaller, false) }), withLease("other", 9000, false), withSwitch(60, 0))},
		{name: "switch of another clock", prepare: both(hold, withLease("other", -9000, false), withSwitch(60, 0))},
		{name: "switch of another clock, noticed", prepare: both(hold, withLease("other", -9000, false), withSwitch(60, 0), noticed)},
		{name: "switch set for an hour", prepare: both(hold, withSwitch(0, 1))},
		{name: "odd names", instance: "O'Neil $x [1]: \u00c4\u00df \u65e5\u672c"},
	}
}
