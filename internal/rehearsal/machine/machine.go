// Package machine is a simulated Windows host: services, scheduled tasks, registry, Windows Update, reboots and
// files, on the simulated clock. It executes no PowerShell: for each script a Go twin stands in, for exactly the
// text for which PowerShell was seen to do the same.
package machine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/rehearsal/fault"
	"github.com/octopatch/octopatch/internal/rehearsal/record"
)

// Options describe a machine.
type Options struct {
	Clock  clock.Clock
	Seed   int64
	Name   string // computer name, and the Octopus node's name
	Dir    string // a directory of the machine's own; stands for its system drive
	Faults *fault.Set
	Log    *record.Log
	// Configuration is what Octopus.Server.exe show-configuration prints for an instance.
	Configuration func(instance string) string
	// Drain is what Octopus.Server.exe node --drain does, straight in the database.
	Drain func(instance string, drained bool)
	// OnService tells that the Octopus service of the node runs or has stopped; clean is false for a crash.
	OnService func(running, clean bool)
	Down      func()       // closes the WS-Management listener
	Up        func() error // opens it again
}

// Names of what is on every machine.
const (
	octopusService = "OctopusDeploy"
	octopusProgram = `C:\Program Files\Octopus Deploy\Octopus\Octopus.Server.exe`
	octopusVersion = "2026.3.4711.0"
	systemRoot     = `C:\Windows`
)

// Machine is one simulated Windows host. Its methods may be called from any goroutine.
type Machine struct {
	o       Options
	clock   clock.Clock
	mu      sync.Mutex
	random  *rand.Rand
	guid    string
	boot    time.Time
	boots   int
	build   string
	ubr     int
	free    int64
	up      bool
	logonUI bool // the logon screen has appeared since the boot
	service []*service
	tasks   []*task
	update  agent
	acl     map[string]string // SDDL by path
	shut    *shutdown         // a scheduled shutdown
	life    context.Context   // ends with the machine
	kill    context.CancelFunc
	session context.Context // ends with the boot
	reboot  context.CancelFunc
	inject  []*Injection
	calls   map[string]int // commands seen, by script
	busy    sync.WaitGroup
}

// New starts a machine that has been running for some days.
func New(o Options) (*Machine, error) {
	m := &Machine{
		o: o, clock: o.Clock, random: rand.New(rand.NewPCG(uint64(o.Seed), hash(o.Name))), up: true, logonUI: true,
		boot: o.Clock.Now().Add(-19 * 24 * time.Hour).Truncate(time.Second), build: "20348", ubr: 3932, boots: 1, free: 84 << 30,
		acl: map[string]string{}, calls: map[string]int{},
	}
	m.guid = fmt.Sprintf("%08x-1111-4222-8333-%012x", uint32(hash(o.Name)), hash(o.Name)&0xffffffffffff)
	m.life, m.kill = context.WithCancel(context.Background())
	m.session, m.reboot = context.WithCancel(m.life)
	m.service = m.standardServices()
	m.tasks = m.standardTasks()
	m.update = m.newAgent()
	if m.has("reboot-pending-before") {
		m.update.rebootRequired, m.update.servicing = true, 1
	}
	if err := os.MkdirAll(m.programData(), 0o755); err != nil {
		return nil, err
	}
	if m.has("foreign-folder") {
		path := filepath.Join(m.programData(), "octopatch")
		if err := os.Mkdir(path, 0o755); err != nil {
			return nil, err
		}
		m.acl[path] = "O:S-1-5-21-1004336348-1177238915-682003330-1001G:BAD:PAI(A;OICI;FA;;;WD)"
	}
	m.goFor(m.life, m.watchdogs)
	return m, nil
}

// Close ends the machine and everything that runs on it.
func (m *Machine) Close() error {
	m.kill()
	m.busy.Wait()
	return nil
}

// goFor runs f in the background; Close waits for it.
func (m *Machine) goFor(ctx context.Context, f func(context.Context)) {
	m.busy.Go(func() { f(ctx) })
}

func (m *Machine) programData() string { return filepath.Join(m.o.Dir, "ProgramData") }

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range []byte(s) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// between is a seeded duration; the lock is held.
func (m *Machine) between(low, high time.Duration) time.Duration {
	return low + time.Duration(m.random.Int64N(int64(high-low)+1))
}

func (m *Machine) has(name string) bool { return m.o.Faults.Has(name, m.o.Name) }

// fileTime is a moment as Windows counts it: 100 ns since 1601.
func fileTime(t time.Time) string {
	return fmt.Sprint(t.UnixNano()/100 + 116444736000000000)
}

// State is what must be as before when a run has ended, and what must not.
type State struct {
	Services  []ServiceState
	Watchdogs []TaskState
	Tasks     []string // registered tasks that are not Windows' own
	Files     []string // files below ProgramData
	UBR       int
	Boots     int
	Installed map[string]int // how often each KB was installed
}

// ServiceState is one service in a State.
type ServiceState struct {
	Name, State, Start string
	Delayed            bool
}

// TaskState is one watchdog in a State.
type TaskState struct {
	Name    string
	Enabled bool
}

// State is the state at this moment.
func (m *Machine) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := State{UBR: m.ubr, Boots: m.boots, Installed: map[string]int{}}
	for _, v := range m.service {
		s.Services = append(s.Services, ServiceState{v.Name, v.State, v.Start, v.Delayed})
	}
	for _, t := range m.tasks {
		if t.watchdog() {
			s.Watchdogs = append(s.Watchdogs, TaskState{t.path(), t.Enabled})
		} else {
			s.Tasks = append(s.Tasks, t.path())
		}
	}
	for _, u := range m.update.all {
		if u.installs > 0 {
			s.Installed[u.KB] = u.installs
		}
	}
	root := m.programData()
	_ = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err == nil && path != root {
			if name, err := filepath.Rel(root, path); err == nil {
				s.Files = append(s.Files, filepath.ToSlash(name))
			}
		}
		return nil
	})
	return s
}
