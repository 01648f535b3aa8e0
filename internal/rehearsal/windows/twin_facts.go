package windows

import (
	"fmt"
	"slices"
	"strings"
)

func (m *Machine) windowsFacts() object {
	ubr, _ := m.readValue(keyVersion, "UBR").(int)
	m.mu.Lock()
	defer m.mu.Unlock()
	return object{"boot": m.fileTime(), "bootTime": m.bootTime.Unix(), "caption": m.caption(), "build": build, "ubr": ubr}
}

func (s *service) facts(dependents []string) object {
	if dependents == nil {
		dependents = []string{}
	}
	return object{"name": s.name, "state": s.state, "start": s.start, "delayed": s.delayed, "dependents": dependents}
}

// look is a copy of a service.
func (m *Machine) look(name string) (service, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(name)
	if err != nil {
		return service{}, &stop{"service", "there is no service " + name, ""}
	}
	return *s, nil
}

// status is the state of a service as ServiceController names it, empty when there is no such service.
func (m *Machine) status(name string) string {
	s, err := m.look(name)
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(s.state, " ", "")
}

// runningDependents lists what depends on the service and runs, those first that must stop first.
func (m *Machine) runningDependents(name string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := []string{}
	for _, d := range m.dependents(name) {
		if d.state != stateStopped && !slices.Contains(names, d.name) {
			names = append(names, d.name)
		}
	}
	return names
}

func (m *Machine) servicing() int {
	state, _ := m.readValue(keyCBS+`\Interface`, "ServicingInProgress").(int)
	return state
}

func (m *Machine) hasKey(path string) bool {
	_, ok := m.readKey(path)
	return ok
}

func (m *Machine) hardPending() []string {
	list := []string{}
	if m.hasKey(keyUpdate + `\RebootRequired`) {
		list = append(list, "Windows Update: RebootRequired")
	}
	if m.hasKey(keyCBS + `\RebootPending`) {
		list = append(list, "component servicing: RebootPending")
	}
	if state := m.servicing(); state != 0 {
		list = append(list, fmt.Sprintf("component servicing: ServicingInProgress %d", state))
	}
	return list
}

func (m *Machine) softPending() []string {
	list := []string{}
	for _, name := range []string{"PendingFileRenameOperations", "PendingFileRenameOperations2"} {
		if slices.ContainsFunc(texts(m.readValue(keySession, name)), func(s string) bool { return s != "" }) {
			list = append(list, "Session Manager: "+name)
		}
	}
	if m.readValue(keyName+`\ActiveComputerName`, "ComputerName") != m.readValue(keyName+`\ComputerName`, "ComputerName") {
		list = append(list, "computer rename")
	}
	for _, name := range []string{"JoinDomain", "AvoidSpnSet"} {
		if m.readValue(keyNetlogon, name) != nil {
			list = append(list, "Netlogon: "+name)
		}
	}
	if len(m.subkeys(keyCBS+`\PackagesPending`)) > 0 {
		list = append(list, "component servicing: PackagesPending")
	}
	return list
}

func (m *Machine) installing() string {
	switch {
	case m.servicing() == 2:
		return "component servicing (TiWorker)"
	case m.hasKey(keyCBS + `\RebootInProgress`):
		return "component servicing (RebootInProgress)"
	case m.hasKey(keyInstaller) && m.runs("msiexec"):
		return "Windows Installer"
	}
	return ""
}

// runs says whether a process of that name runs.
func (m *Machine) runs(name string) bool {
	return slices.ContainsFunc(m.installers(), func(p processView) bool { return p.Name == name })
}

// watchdogs are the tasks that `Octopus.Server.exe watchdog` creates.
func (m *Machine) watchdogs() []object {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []object{}
	for _, t := range m.tasks {
		if isWatchdog(t) {
			list = append(list, object{"name": strings.TrimLeft(t.path(), `\`), "enabled": t.state != taskDisabled})
		}
	}
	return list
}

func isWatchdog(t *task) bool {
	return strings.HasPrefix(strings.ToLower(t.name), "octopus watchdog ")
}
