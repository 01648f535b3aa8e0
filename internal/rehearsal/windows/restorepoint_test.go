package windows

import (
	"testing"
	"time"
)

// restore is what a run asks of System Restore.
func restore(action string) step {
	return step{"restore", map[string]any{"action": action, "name": "octopatch-r1-OCTO-01", "comment": "back"}}
}

// restoreCells ask for each action.
func restoreCells(s state) []cell {
	var list []cell
	for _, action := range []string{"check", "take", "find", "revert", "restored"} {
		one := restore(action)
		if s.lease != "" {
			one = leased(one, s.lease)
		}
		list = append(list, cell{"restore " + action, one})
	}
	return list
}

// withPoint is a restore point that was made so long ago.
func withPoint(name string, age time.Duration) func(testing.TB, *Machine) {
	return locked(func(m *Machine) {
		m.restore.sequence += 3
		m.restore.points = append(m.restore.points, &restorePoint{m.restore.sequence, name, m.clock.Now().Add(-age), m.capture()})
	})
}

// restoreStates are what a host can be like that is asked for a restore point.
func restoreStates() []state {
	const client, ours = "client-edition", "octopatch-r1-OCTO-01"
	return []state{
		{name: "Windows Server"},
		{name: "client", faults: client},
		{name: "policy off", faults: client, prepare: withRegistry(keyRestorePolicy, "DisableSR", 1)},
		{name: "policy on", faults: client, prepare: withRegistry(keyRestorePolicy, "DisableSR", 0)},
		{name: "protection off", faults: client, prepare: withRegistry(keyRestore, "RPSessionInterval", 0)},
		{name: "another one is too young", faults: client, prepare: withPoint("Windows Update", time.Hour)},
		{name: "frequency of one minute", faults: client, prepare: both(withRegistry(keyRestore, "SystemRestorePointCreationFrequency", 1), withPoint("Windows Update", time.Hour))},
		{name: "no frequency", faults: client, prepare: both(withRegistry(keyRestore, "SystemRestorePointCreationFrequency", 0), withPoint("Windows Update", 0))},
		{name: "another one is old", faults: client, prepare: withPoint("Windows Update", 30*time.Hour)},
		{name: "taken", faults: client, prepare: withPoint(ours, time.Hour)},
		{name: "taken twice", faults: client, prepare: both(withPoint(ours, 40*time.Hour), withPoint(ours, 30*time.Hour), withPoint("Windows Update", time.Hour))},
		{name: "name in other letters", faults: client, prepare: withPoint("OCTOPATCH-r1-OCTO-01", 30*time.Hour)},
		{name: "restored", faults: client, prepare: locked(func(m *Machine) { m.restore.status = restoreSucceeded })},
		{name: "restore interrupted", faults: client, prepare: locked(func(m *Machine) { m.restore.status = 2 })},
		{name: "restart refused", faults: client + ",reboot-denied", prepare: withPoint(ours, time.Hour)},
		{name: "restart scheduled", faults: client + ",shutdown-scheduled", prepare: withPoint(ours, time.Hour)},
		{name: "another's host", faults: client, prepare: both(withPoint(ours, time.Hour), withLease("other", 0, false))},
		{name: "our own host", faults: client, prepare: both(withPoint(ours, time.Hour), withLease("mine", 0, false)), lease: "mine"},
		{name: "host taken over", faults: client, prepare: both(withPoint(ours, time.Hour), withLease("other", 0, false)), lease: "mine"},
	}
}
