package windows

import (
	"slices"
	"strings"
	"time"
)

// The states of a service, in the words of Win32_Service.
const (
	stateRunning  = "Running"
	stateStopped  = "Stopped"
	stateStarting = "Start Pending"
	stateStopping = "Stop Pending"
)

// The start types of a service, in the words of Win32_Service.
const (
	startAuto     = "Auto"
	startManual   = "Manual"
	startDisabled = "Disabled"
)

type service struct {
	name    string
	state   string
	start   string
	delayed bool
	path    string
	needs   []string // services that it depends on

	starting, stopping time.Duration
	octopus            bool // the node's own instance: the world is told
	change             int  // counts changes, so that a late timer knows that it is late
	crashing           bool // it ends by itself, before it runs
}

func (m *Machine) makeServices() {
	if m.isHypervisor() {
		m.services = []*service{
			{name: "Schedule", state: stateRunning, start: startAuto, path: `C:\Windows\system32\svchost.exe -k netsvcs -p`},
			{name: "vmms", state: stateRunning, start: startAuto, path: `C:\Windows\system32\vmms.exe`},
			{name: "WinRM", state: stateRunning, start: startAuto, delayed: true, path: `C:\Windows\System32\svchost.exe -k NetworkService -p`},
		}
		return
	}
	name := "OctopusDeploy"
	if m.o.Instance != defaultInstance {
		name += ": " + m.o.Instance
	}
	m.services = []*service{
		{name: "EventLog", state: stateRunning, start: startAuto, path: `C:\Windows\System32\svchost.exe -k LocalServiceNetworkRestricted -p`},
		{name: "MSSQL$LOGS", state: stateStopped, start: startDisabled, path: `"C:\Program Files\Microsoft SQL Server\MSSQL16.LOGS\MSSQL\Binn\sqlservr.exe" -sLOGS`},
		{name: name, state: stateRunning, start: startAuto, delayed: true, path: `"` + m.program + `" run --instance=` + quoteInstance(m.o.Instance), starting: m.draw.start, stopping: m.draw.stop, octopus: true},
		{name: "Octopus Log Shipper", state: stateRunning, start: startAuto, path: `"C:\Program Files\Log Shipper\shipper.exe" --watch octopus`, needs: []string{name}, starting: 3 * time.Second, stopping: 2 * time.Second},
		{name: "Schedule", state: stateRunning, start: startAuto, path: `C:\Windows\system32\svchost.exe -k netsvcs -p`},
		{name: "TrustedInstaller", state: stateStopped, start: startManual, path: `C:\Windows\servicing\TrustedInstaller.exe`},
		{name: "W32Time", state: stateRunning, start: startManual, path: `C:\Windows\system32\svchost.exe -k LocalService`},
		{name: "WinRM", state: stateRunning, start: startAuto, delayed: true, path: `C:\Windows\System32\svchost.exe -k NetworkService -p`},
		{name: "wuauserv", state: stateRunning, start: startManual, path: `C:\Windows\system32\svchost.exe -k netsvcs -p`},
	}
	if m.has("rival-agent") {
		m.services = append(m.services, &service{name: "CcmExec", state: stateRunning, start: startAuto, delayed: true, path: `C:\Windows\CCM\CcmExec.exe`})
	}
	if m.has("second-instance") {
		m.services = append(m.services, &service{
			name: "OctopusDeploy: Staging", state: stateRunning, start: startAuto, path: `"` + m.program + `" run --instance=Staging`,
			starting: m.draw.start, stopping: m.draw.stop,
		})
	}
}

func quoteInstance(name string) string {
	if strings.ContainsAny(name, ` "`) {
		return `"` + name + `"`
	}
	return name
}

// find is the service of that name, as Windows compares names. The caller holds the lock.
func (m *Machine) find(name string) (*service, error) {
	for _, s := range m.services {
		if strings.EqualFold(s.name, name) {
			return s, nil
		}
	}
	return nil, win32(1060)
}

// dependents are the services that depend on this one, directly or not; those first that must stop first.
func (m *Machine) dependents(name string) []*service {
	var all []*service
	for _, s := range m.services {
		if !slices.ContainsFunc(s.needs, func(n string) bool { return strings.EqualFold(n, name) }) {
			continue
		}
		for _, d := range append(m.dependents(s.name), s) {
			if !slices.Contains(all, d) {
				all = append(all, d)
			}
		}
	}
	return all
}

// set changes a state and tells the world. The caller holds the lock.
func (m *Machine) set(s *service, state string) {
	s.state = state
	s.change++
	if s.octopus && m.o.OnService != nil && (state == stateRunning || state == stateStopped) {
		clean := !s.crashing
		m.event(func() { m.o.OnService(state == stateRunning, clean) })
	}
}

// later changes the state after a while, unless something else changed it before. The caller holds the lock.
func (m *Machine) later(s *service, after time.Duration, state string) {
	mark, session, began := s.change, m.session, m.clock.Now()
	m.spawn(func() {
		if m.clock.Sleep(session, after) != nil {
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if s.change == mark && session.Err() == nil {
			m.took(s.name+" to "+state, began)
			m.set(s, state)
		}
	})
}

// startService starts a service and what it depends on, as the service manager does.
func (m *Machine) startService(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.startLocked(name)
}

func (m *Machine) startLocked(name string) error {
	s, err := m.find(name)
	switch {
	case err != nil:
		return err
	case s.state == stateRunning || s.state == stateStarting:
		return win32(1056)
	case s.state == stateStopping:
		return win32(1061)
	case s.start == startDisabled:
		return win32(1058)
	}
	for _, need := range s.needs {
		if other, err := m.find(need); err == nil && other.state == stateStopped {
			if err := m.startLocked(need); err != nil {
				return err
			}
		}
	}
	m.set(s, stateStarting)
	if s.crashing = s.octopus && m.boots > 1 && m.power == 0 && m.restore.status == 0 && m.has("service-wont-start"); s.crashing {
		// As when its database is not there.
		m.later(s, 8*time.Second, stateStopped)
		return nil
	}
	m.later(s, s.starting, stateRunning)
	return nil
}

// stopService stops a service and, as ServiceController.Stop does, first what depends on it.
func (m *Machine) stopService(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(name)
	switch {
	case err != nil:
		return err
	case s.state == stateStopped:
		return win32(1062)
	case s.state != stateRunning:
		return win32(1061)
	}
	for _, d := range append(m.dependents(name), s) {
		if d.state != stateRunning {
			continue
		}
		m.set(d, stateStopping)
		if !d.octopus || !m.has("service-stuck-stopping") {
			m.later(d, d.stopping, stateStopped)
		}
	}
	return nil
}

// configure sets the start type. A change of type forgets the delay, as 5.1's Set-Service does.
func (m *Machine) configure(name, start string, delayed bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(name)
	if err != nil {
		return err
	}
	s.start, s.delayed = start, delayed && start == startAuto
	return nil
}

// isServer says whether a service is an Octopus Server.
func (m *Machine) isServer(s *service) bool { return strings.HasPrefix(s.path, `"`+m.program+`"`) }
