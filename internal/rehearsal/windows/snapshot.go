package windows

import (
	"slices"
	"strings"
)

// Snapshot is the state of a machine that must be right when a run is over.
type Snapshot struct {
	Services  []ServiceState
	Watchdogs []TaskState
	Tasks     []TaskState // those that are neither watchdogs nor Windows' own
	Files     []string    // in the client's own folder, with the folder itself
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

// Snapshot reads the state of the machine.
func (m *Machine) Snapshot() Snapshot {
	files := m.leftovers()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Snapshot{Files: files, Boots: m.boots, Installed: map[string]int{}}
	for _, one := range m.services {
		s.Services = append(s.Services, ServiceState{one.name, one.state, one.start, one.delayed})
	}
	for _, t := range m.tasks {
		state := TaskState{t.path(), t.enabled}
		switch {
		case strings.HasPrefix(t.name, "Octopus Watchdog "):
			s.Watchdogs = append(s.Watchdogs, state)
		case !strings.HasPrefix(t.folder, `\Microsoft`):
			s.Tasks = append(s.Tasks, state)
		}
	}
	for folder := range m.folders {
		if folder != `\` && !strings.HasPrefix(folder, `\Microsoft`) {
			s.Tasks = append(s.Tasks, TaskState{folder + `\`, true})
		}
	}
	slices.SortFunc(s.Tasks, func(a, b TaskState) int { return strings.Compare(a.Name, b.Name) })
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
