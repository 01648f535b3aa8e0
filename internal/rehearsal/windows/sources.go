package windows

import "strings"

// The services that the Windows Update Agent may know, by their ids.
const (
	windowsUpdate   = "9482f4b4-e343-43b6-b170-9a65bc822c77"
	microsoftUpdate = "7971f918-a847-4430-9279-4a52d1efe18d"
	updateServer    = "3da21691-e39d-4da6-8a4b-b43877bcb1b7" // the WSUS that a policy names
)

// ServerSelection of the Windows Update Agent.
const (
	selectManaged = 1 // a WSUS; below it: one where there is one
	selectOthers  = 3 // the service whose id is said
)

// serviceView is an update service as IUpdateServiceManager shows it.
type serviceView struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Managed bool   `json:"managed"`
}

// updateServices are the services that this machine's agent knows.
func (m *Machine) updateServices() []serviceView {
	list := []serviceView{{windowsUpdate, "Windows Update", false}}
	if m.policyNumber(keyPolicy+`\AU`, "UseWUServer") == 1 {
		list = append(list, serviceView{updateServer, "Windows Server Update Service", true})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.agent.microsoft {
		list = append(list, serviceView{microsoftUpdate, "Microsoft Update", false})
	}
	return list
}

func (m *Machine) registered(service string) bool {
	for _, s := range m.updateServices() {
		if strings.EqualFold(s.ID, service) {
			return true
		}
	}
	return false
}

// knows says whether a search has somebody to ask.
func (m *Machine) knows(selection int, service string) bool {
	switch selection {
	case selectManaged: // what Windows says without a WSUS was not seen yet; nobody asks it so, since preflight refuses
		return m.registered(updateServer)
	case selectOthers:
		return m.registered(service)
	}
	return true
}
