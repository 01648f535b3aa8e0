package machine

import (
	"context"
	"fmt"
	"time"
)

// service is one Windows service.
type service struct {
	Name      string
	State     string // as Win32_Service tells it
	Start     string // Auto, Manual, Disabled
	Delayed   bool
	PathName  string
	DependsOn []string
	stopping  time.Duration
	starting  time.Duration
}

// winError is an error with its HRESULT.
type winError struct {
	Code    uint32
	Message string
}

func (e *winError) Error() string { return fmt.Sprintf("%s (0x%08X)", e.Message, e.Code) }

func (m *Machine) standardServices() []*service {
	plain := func(name, state, start, path string, depends ...string) *service {
		return &service{Name: name, State: state, Start: start, PathName: path, DependsOn: depends, stopping: 2 * time.Second, starting: 3 * time.Second}
	}
	const host = `C:\Windows\system32\svchost.exe -k netsvcs -p`
	octopus := plain(octopusService, "Running", "Auto", `"`+octopusProgram+`" run --instance=OctopusServer`)
	octopus.Delayed, octopus.starting, octopus.stopping = true, m.between(20*time.Second, 40*time.Second), m.between(25*time.Second, 40*time.Second)
	remote := plain("WinRM", "Running", "Auto", host)
	remote.Delayed = true
	list := []*service{
		plain("EventLog", "Running", "Auto", host),
		plain("MSSQL$LOGS", "Stopped", "Disabled", `"C:\Program Files\Microsoft SQL Server\MSSQL16.LOGS\MSSQL\Binn\sqlservr.exe" -sLOGS`),
		octopus,
		plain("Octopus Log Shipper", "Running", "Auto", `"C:\Program Files\Log Shipper\shipper.exe" --watch octopus`, octopusService),
		plain("Schedule", "Running", "Auto", host),
		plain("TrustedInstaller", "Stopped", "Manual", `C:\Windows\servicing\TrustedInstaller.exe`),
		plain("W32Time", "Running", "Manual", host), remote, plain("wuauserv", "Running", "Manual", host),
	}
	if m.has("second-instance") {
		second := *octopus
		second.Name, second.PathName, second.Delayed = octopusService+": Staging", `"`+octopusProgram+`" run --instance=Staging`, false
		list = append(list, &second)
	}
	return list
}

// find is the service of that name; the lock is held.
func (m *Machine) find(name string) *service {
	for _, s := range m.service {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// dependents lists the services that name it among what they need; the lock is held.
func (m *Machine) dependents(name string) []*service {
	var list []*service
	for _, s := range m.service {
		for _, d := range s.DependsOn {
			if d == name {
				list = append(list, s)
			}
		}
	}
	return list
}

// StopService begins to stop a service.
func (m *Machine) StopService(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.find(name)
	switch {
	case s == nil:
		return &winError{0x80070424, "The specified service does not exist as an installed service."}
	case s.State != "Running":
		return &winError{0x80070426, "The service has not been started."}
	}
	for _, d := range m.dependents(name) {
		if d.State != "Stopped" {
			return &winError{0x8007041B, "A stop control has been sent to a service that other running services are dependent on."}
		}
	}
	s.State = "Stop Pending"
	if name == octopusService && m.has("service-stuck-stopping") {
		return nil
	}
	m.later(s.stopping, func() {
		if s.State == "Stop Pending" {
			m.stopped(s, true)
		}
	})
	return nil
}

// later runs f after d, unless the machine reboots before. f runs with the lock held.
func (m *Machine) later(d time.Duration, f func()) {
	session := m.session
	m.goFor(session, func(ctx context.Context) {
		if m.clock.Sleep(ctx, d) != nil {
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if session.Err() == nil {
			f()
		}
	})
}

// stopped: the service is down; the lock is held.
func (m *Machine) stopped(s *service, clean bool) {
	s.State = "Stopped"
	if s.Name == octopusService && m.o.OnService != nil {
		m.o.OnService(false, clean)
	}
}

// StartService begins to start a service, and those that it needs.
func (m *Machine) StartService(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.begin(name)
}

func (m *Machine) begin(name string) error {
	s := m.find(name)
	switch {
	case s == nil:
		return &winError{0x80070424, "The specified service does not exist as an installed service."}
	case s.Start == "Disabled":
		return &winError{0x80070422, "The service cannot be started, either because it is disabled or because it has no enabled devices associated with it."}
	case s.State == "Running" || s.State == "Start Pending":
		return &winError{0x80070420, "An instance of the service is already running."}
	case s.State != "Stopped":
		return &winError{0x80070425, "The service cannot accept control messages at this time."}
	}
	for _, d := range s.DependsOn {
		if other := m.find(d); other != nil && other.State == "Stopped" {
			if err := m.begin(d); err != nil {
				return err
			}
		}
	}
	s.State = "Start Pending"
	m.later(s.starting, func() {
		if s.State != "Start Pending" {
			return
		}
		if s.Name == octopusService && m.has("service-wont-start") && m.boots > 1 {
			s.State = "Stopped"
			return
		}
		s.State = "Running"
		if s.Name == octopusService && m.o.OnService != nil {
			m.o.OnService(true, true)
		}
	})
	return nil
}

// SetStartType changes what Windows does with the service at boot; like Windows, a plain change forgets the
// delayed start.
func (m *Machine) SetStartType(name, start string, delayed bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.find(name)
	if s == nil {
		return &winError{0x80070424, "The specified service does not exist as an installed service."}
	}
	s.Start, s.Delayed = start, delayed
	return nil
}
