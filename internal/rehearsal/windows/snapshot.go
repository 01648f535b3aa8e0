package windows

import (
	"slices"
	"strings"
)

// State is what must be as before when a run is over, and what must not.
type State struct {
	Services  []ServiceState
	Watchdogs []TaskState
	Tasks     []string // scheduled tasks and folders for them that came after the machine's beginning
	Files     []string // below ProgramData
	UBR       int
	Boots     int
	Installed map[string]int // KB → how often it was installed
	Pending   bool           // a reboot is wanted
}

// ServiceState is a service as an administrator sees it.
type ServiceState struct {
	Name, State, Start string
	Delayed            bool
}

// TaskState is a scheduled task as an administrator sees it.
type TaskState struct {
	Name    string // with its folder
	Enabled bool
}

// Snapshot is the state at this moment.
func (m *Machine) Snapshot() State {
	files := m.allFiles()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := State{Files: files, Boots: m.boots, Installed: map[string]int{}}
	for _, one := range m.services {
		s.Services = append(s.Services, ServiceState{one.name, one.state, one.start, one.delayed})
	}
	for _, t := range m.tasks {
		switch {
		case isWatchdog(t):
			s.Watchdogs = append(s.Watchdogs, TaskState{t.path(), t.enabled})
		case !t.builtIn:
			s.Tasks = append(s.Tasks, t.path())
		}
	}
	for folder := range m.folders {
		if !slices.Contains(builtInFolders, folder) {
			s.Tasks = append(s.Tasks, folder+`\`)
		}
	}
	slices.Sort(s.Tasks)
	s.UBR, _ = m.registry[lower(keyVersion)].values["UBR"].(int)
	for _, u := range m.updates {
		if u.installs > 0 {
			s.Installed[u.kb] = u.installs
		}
	}
	_, s.Pending = m.registry[lower(keyCBS+`\RebootPending`)]
	return s
}

// Up reports whether the machine runs: neither going down nor on its way back.
func (m *Machine) Up() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.up && !m.leaving
}

func lower(path string) string { return strings.ToLower(path) }
