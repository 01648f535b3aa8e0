package windows

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// shutdownCommand is shutdown.exe.
func (m *Machine) shutdownCommand(args []string) (output string, exit int) {
	restart, abort, after := false, false, 30*time.Second
	for i := 0; i < len(args); i++ {
		switch strings.ToLower(args[i]) {
		case "/r", "-r":
			restart = true
		case "/a", "-a":
			abort = true
		case "/t", "-t":
			i++
			seconds, err := strconv.Atoi(argument(args, i))
			if err != nil {
				return "The parameter is incorrect.(87)", 87
			}
			after = time.Duration(seconds) * time.Second
		case "/d", "-d", "/c", "-c":
			i++
		case "/f", "-f":
		default:
			return "The parameter is incorrect.(87)", 87
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.leaving:
		return "A system shutdown is in progress.(1115)", 1115
	case abort && m.pending == nil:
		return "Unable to abort the system shutdown because no shutdown was in progress.(1116)", 1116
	case abort:
		m.pending()
		m.pending = nil
		return "", 0
	case !restart:
		return "", 1 // this machine is only ever restarted
	case m.pending != nil:
		return "A system shutdown has already been scheduled.(1190)", 1190
	case m.has("reboot-denied"):
		return "Access is denied.(5)", 5
	case m.take("shutdown-in-progress", 1):
		m.schedule(20 * time.Second)
		return "A system shutdown is in progress.(1115)", 1115
	case m.take("shutdown-service-gone", 1):
		m.schedule(20 * time.Second)
		return "The interface is unknown.(1717)", 1717
	}
	m.schedule(after)
	return "", 0
}

func argument(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

// schedule restarts the machine after a while. The caller holds the lock.
func (m *Machine) schedule(after time.Duration) {
	ctx, cancel := context.WithCancel(m.life)
	m.pending, m.shutdownAt = cancel, m.clock.Now()
	m.spawn(func() {
		defer cancel()
		if m.clock.Sleep(ctx, after) != nil {
			return
		}
		m.mu.Lock()
		if ctx.Err() != nil || m.leaving { // aborted at the last moment
			m.mu.Unlock()
			return
		}
		m.pending, m.leaving = nil, true
		m.mu.Unlock()
		m.restart()
	})
}

// restart takes the machine down and brings it back. Windows stops the services while the network still answers.
func (m *Machine) restart() {
	m.mu.Lock()
	power := m.power
	for _, s := range m.services {
		if s.state != stateStopped {
			m.set(s, stateStopped)
		}
	}
	m.mu.Unlock()
	if m.clock.Sleep(m.life, closing) != nil {
		return
	}
	m.mu.Lock()
	if m.power != power {
		m.mu.Unlock()
		return
	}
	m.up = false
	m.shutdown() // ends every process
	m.mu.Unlock()
	if m.o.Down != nil {
		m.o.Down()
	}
	m.mu.Lock()
	m.dropVolatile()
	took := m.draw.reboots[m.boots%len(m.draw.reboots)]
	m.mu.Unlock()
	switch {
	case m.has("reboot-hangs"):
		return
	case m.has("reboot-slow"):
		took = 25 * time.Minute
	}
	if m.clock.Sleep(m.life, took-networkDelay-closing) != nil {
		return
	}
	m.mu.Lock()
	cut := m.power != power
	m.mu.Unlock()
	if !cut {
		m.boot()
	}
}

// What goes before the machine is down and what follows the kernel's start: the network answers before
// Windows is done.
const (
	closing      = 12 * time.Second
	networkDelay = 15 * time.Second
	logonDelay   = 35 * time.Second
	commitDelay  = 70 * time.Second
	delayedStart = 2 * time.Minute
)

func (m *Machine) boot() {
	m.mu.Lock()
	m.boots++
	m.bootTime = m.clock.Now().Truncate(time.Microsecond)
	m.up, m.leaving = true, false
	m.agent.blocked, m.agent.installing, m.agent.processor = false, false, 0
	m.goBack()
	m.session, m.shutdown = context.WithCancel(m.life)
	session := m.session
	servicing := 0
	if m.commit() || m.has("servicing-hangs") {
		servicing = 2
	}
	m.setValue(keyCBS+`\Interface`, "ServicingInProgress", servicing)
	m.startAutomatic(false)
	m.mu.Unlock()
	m.watch()

	m.after(session, logonDelay, func() { m.makeKey(keyLogon, true) })
	m.after(session, commitDelay, func() {
		m.took("reboot", m.shutdownAt)
		if !m.agent.installing && !m.has("servicing-hangs") {
			m.setValue(keyCBS+`\Interface`, "ServicingInProgress", 0)
		}
	})
	m.after(session, delayedStart, func() { m.startAutomatic(true) })
	if m.clock.Sleep(session, networkDelay) != nil {
		return
	}
	if m.o.Up != nil {
		_ = m.o.Up() // a machine that does not come back is what the client will see
	}
	if m.take("second-reboot", 1) {
		m.after(session, time.Minute, func() {
			if m.pending == nil && !m.leaving {
				m.schedule(0)
			}
		})
	}
}

// after does something later in this session, with the lock held.
func (m *Machine) after(session context.Context, d time.Duration, f func()) {
	m.spawn(func() {
		if m.clock.Sleep(session, d) != nil {
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if session.Err() == nil {
			f()
		}
	})
}

// startAutomatic starts what starts by itself at boot. The caller holds the lock.
func (m *Machine) startAutomatic(delayed bool) {
	for _, s := range m.services {
		if s.start == startAuto && s.delayed == delayed && s.state == stateStopped {
			_ = m.startLocked(s.name) // a service that does not start is in the event log, and Windows goes on
		}
	}
}
