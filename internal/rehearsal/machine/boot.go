package machine

import (
	"context"
	"time"
)

// shutdown is a restart that is scheduled or under way.
type shutdown struct {
	cancel context.CancelFunc
	going  bool
}

// Shutdown is shutdown.exe: the exit code of /r or /a.
func (m *Machine) Shutdown(restart bool, in time.Duration) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !restart && m.shut == nil:
		return 1116 // no shutdown was in progress
	case !restart && m.shut.going:
		return 1115
	case !restart:
		m.shut.cancel()
		m.shut = nil
		return 0
	case m.shut != nil && m.shut.going:
		return 1115 // a shutdown is in progress
	case m.shut != nil:
		return 1190 // a shutdown has already been scheduled
	case m.o.Faults.Take("shutdown-scheduled", m.o.Name, 1):
		ctx, cancel := context.WithCancel(m.session)
		m.shut = &shutdown{cancel: cancel}
		m.goFor(ctx, func(ctx context.Context) {
			if m.clock.Sleep(ctx, 10*time.Hour) == nil {
				m.restart()
			}
		})
		return 1190
	}
	ctx, cancel := context.WithCancel(m.session)
	m.shut = &shutdown{cancel: cancel}
	m.goFor(m.life, func(context.Context) {
		if m.clock.Sleep(ctx, in) == nil {
			m.restart()
		}
	})
	return 0
}

// restart takes the machine down and brings it back.
func (m *Machine) restart() {
	m.mu.Lock()
	if m.shut == nil {
		m.shut = &shutdown{}
	}
	m.shut.going = true
	closing := m.between(20*time.Second, 40*time.Second)
	for _, s := range m.service { // Windows stops the services while the listener still answers
		if s.State != "Stopped" {
			m.stopped(s, true)
		}
	}
	m.mu.Unlock()
	if m.clock.Sleep(m.life, closing) != nil {
		return
	}
	m.mu.Lock()
	m.up = false
	m.reboot() // every process ends
	away := m.between(2*time.Minute, 4*time.Minute)
	switch {
	case m.has("reboot-slow"):
		away = 25 * time.Minute
	case m.o.Faults.Has("reboot-hangs", m.o.Name):
		away = 1 << 62
	}
	m.mu.Unlock()
	m.o.Down()
	if m.clock.Sleep(m.life, away) != nil {
		return
	}
	m.come()
}

// come is the boot.
func (m *Machine) come() {
	m.mu.Lock()
	m.session, m.reboot = context.WithCancel(m.life)
	m.boot, m.boots, m.shut, m.logonUI, m.up = m.clock.Now().Truncate(time.Millisecond), m.boots+1, nil, false, true
	m.commit()
	m.update.servicing = 2 // "Getting Windows ready"
	m.later(m.between(20*time.Second, 50*time.Second), func() { m.update.servicing = 0 })
	m.later(m.between(10*time.Second, 30*time.Second), func() { m.logonUI = true })
	for _, s := range m.service {
		s.State = "Stopped"
		if s.Start != "Auto" {
			continue
		}
		wait := 5 * time.Second
		if s.Delayed && s.Name != "WinRM" {
			wait = 2 * time.Minute
		}
		m.later(wait, func() {
			if s.State == "Stopped" {
				_ = m.begin(s.Name) // a service that will not start stays stopped, as in Windows
			}
		})
	}
	again := m.o.Faults.Take("second-reboot", m.o.Name, 1)
	if again {
		m.later(time.Minute, func() { m.goFor(m.life, func(context.Context) { m.restart() }) })
	}
	m.mu.Unlock()
	_ = m.o.Up() // the port is ours; should it fail, the host stays unreachable, which is what the client then sees
}
