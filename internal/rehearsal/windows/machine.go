// Package windows is the simulated Windows machine of a rehearsal: services, scheduled tasks, registry, files,
// Windows Update and reboots, behind a command prompt that WS-Management can start commands in.
package windows

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/rehearsal/fault"
	"github.com/octopatch/octopatch/internal/rehearsal/record"
)

// Options describe one machine and the world around it.
type Options struct {
	Clock      clock.Clock
	Seed       int64
	Name       string // Octopus node name; the computer is called so as well
	Dir        string // stands for the system drive; the caller removes it
	Faults     *fault.Set
	Log        *record.Log // nil: no log
	PowerShell bool        // real PowerShell executes the scripts; otherwise their twins do
	Still      bool        // no trigger starts a registered task by itself
	Guests     []Guest     // makes it a Hyper-V host, which has no Octopus Server

	Instance string // Octopus instance of the node; empty: OctopusServer, the default one
	Version  string // file version of Octopus.Server.exe; empty: some
	// Configuration is what Octopus.Server.exe show-configuration prints for an instance.
	Configuration func(instance string) string
	// Drain is what Octopus.Server.exe node --drain does, straight in the database.
	Drain func(instance string, drained bool)
	// SaveDatabase keeps what of Octopus' database lies on this machine's disks; nil: none of it does.
	SaveDatabase func() (restore func())
	// OnService tells that the node's Octopus service runs or has stopped, in order; clean is false for a crash.
	OnService func(running, clean bool)
	// Down takes the machine off the network and Up brings it back.
	Down func()
	Up   func() error
}

// Machine is one simulated Windows machine. Its methods may be called from any goroutine.
type Machine struct {
	o         Options
	clock     clock.Clock
	computer  string
	guid      string
	folder    string // ProgramData
	program   string // full path of Octopus.Server.exe
	draw      durations
	shell     shell
	listener  net.Listener // of the bridge
	deadEnd   net.Listener // a listen prefix that never answers
	life      context.Context
	end       context.CancelFunc
	gate      sync.Mutex // guards closed against spawn
	closed    bool
	running   sync.WaitGroup
	events    chan func()
	eventsEnd chan struct{}

	leases sync.Mutex // between processes of this machine, as the lock file is

	mu         sync.Mutex
	session    context.Context // from boot to shutdown
	shutdown   context.CancelFunc
	up         bool
	boots      int
	bootTime   time.Time
	services   []*service
	tasks      []*task
	folders    map[string]string // task folders and their access lists
	registry   map[string]*key
	security   map[string]guarded // access lists of directories, by path
	updates    []*update
	agent      agent
	pending    context.CancelFunc // takes back a shutdown that is scheduled
	leaving    bool               // the shutdown is in progress
	processes  map[string]process // PowerShell that may talk to the machine, by its token
	started    map[string]int     // scripts that were started, by name
	injected   []injection
	commands   int
	shutdownAt time.Time // when the last shutdown was asked for
	points     []*point  // snapshots, oldest first
	vms        []*vm     // virtual machines of a Hyper-V host
	power      int       // how often the power was cut
	restore    systemRestore
	backup     backup
}

// durations are drawn once, so that a seed gives the same machine whatever happens when.
type durations struct {
	start, stop time.Duration
	reboots     [16]time.Duration
	search      time.Duration
	uptime      time.Duration
}

// New starts a machine that has been running for some days.
func New(o Options) (*Machine, error) {
	if o.Instance == "" {
		o.Instance = defaultInstance
	}
	if o.Version == "" {
		o.Version = "2026.3.4711.0"
	}
	sum := fnv.New64a()
	sum.Write([]byte(o.Name)) //nolint:errcheck // a hash never fails
	rng := rand.New(rand.NewPCG(uint64(o.Seed), sum.Sum64()))
	m := &Machine{
		o: o, clock: o.Clock, shell: startShell, computer: strings.ToUpper(o.Name),
		folder:    filepath.Join(o.Dir, "ProgramData"),
		program:   filepath.Join(o.Dir, "Program Files", "Octopus Deploy", "Octopus", "Octopus.Server.exe"),
		events:    make(chan func(), 1024),
		eventsEnd: make(chan struct{}),
		folders:   map[string]string{},
		security:  map[string]guarded{}, processes: map[string]process{}, started: map[string]int{},
		guid: fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", rng.Uint32(), rng.Uint32()&0xffff, rng.Uint32()&0xffff, rng.Uint32()&0xffff, rng.Uint64()&0xffffffffffff),
	}
	if o.Faults.Has("runner-is-host", o.Name) {
		if name, err := os.Hostname(); err == nil {
			m.computer, _, _ = strings.Cut(strings.ToUpper(name), ".")
		}
	}
	if len(m.computer) > 15 { // NetBIOS
		m.computer = m.computer[:15]
	}
	if o.Faults.Has("wrong-machine", o.Name) {
		m.computer = "SOMEBODY-ELSE"
	}
	m.catalogue(rng)
	m.drawDurations(rng)
	m.bootTime = m.clock.Now().Add(-m.draw.uptime).Truncate(time.Microsecond)
	m.up, m.boots = true, 1
	m.life, m.end = context.WithCancel(context.Background())
	m.session, m.shutdown = context.WithCancel(m.life)
	if err := m.makeFiles(); err != nil {
		return nil, err
	}
	if err := m.openListeners(); err != nil {
		return nil, err
	}
	m.makeServices()
	m.makeRegistry()
	m.makeTasks()
	m.makeVirtualMachines()
	m.applyFaults()
	go m.tell()
	m.watch()
	return m, nil
}

// between draws a duration of whole seconds.
func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return (low + time.Duration(rng.Int64N(int64(high-low)+1))).Truncate(time.Second)
}

func (m *Machine) drawDurations(rng *rand.Rand) {
	m.draw.start = between(rng, 20*time.Second, 40*time.Second)
	m.draw.stop = between(rng, 6*time.Second, 15*time.Second)
	m.draw.search = between(rng, 25*time.Second, 60*time.Second)
	m.draw.uptime = between(rng, 20*24*time.Hour, 40*24*time.Hour)
	for i := range m.draw.reboots {
		m.draw.reboots[i] = between(rng, 2*time.Minute, 4*time.Minute)
	}
}

// tell delivers events to the world one after the other and without any lock.
func (m *Machine) tell() {
	defer close(m.eventsEnd)
	for f := range m.events {
		f()
	}
}

// openListeners opens what PowerShell talks to, and the prefix that never answers.
func (m *Machine) openListeners() error {
	var err error
	if m.o.PowerShell {
		if m.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil { //nolint:noctx // it does not wait
			return err
		}
		if _, err := FindPowerShell(); err != nil {
			return err
		}
		if err := m.writeShim(); err != nil {
			return err
		}
		m.spawn(m.serve)
	}
	if m.has("ping-dead") {
		if m.deadEnd, err = net.Listen("tcp", "127.0.0.1:0"); err != nil { //nolint:noctx // it does not wait
			return err
		}
		m.spawn(m.hangUp)
	}
	return nil
}

// hangUp closes every connection at once: nobody waits for an answer that never comes.
func (m *Machine) hangUp() {
	for {
		conn, err := m.deadEnd.Accept()
		if err != nil {
			return
		}
		_ = conn.Close()
	}
}

func (m *Machine) has(name string) bool { return m.o.Faults.Has(name, m.o.Name) }

func (m *Machine) take(name string, times int) bool { return m.o.Faults.Take(name, m.o.Name, times) }

// Close ends everything that runs on the machine and waits for it.
func (m *Machine) Close() error {
	m.gate.Lock()
	m.closed = true
	m.gate.Unlock()
	m.end()
	for _, l := range []net.Listener{m.listener, m.deadEnd} {
		if l != nil {
			_ = l.Close()
		}
	}
	m.running.Wait()
	close(m.events)
	<-m.eventsEnd
	return nil
}

// spawn runs f until the machine is closed.
func (m *Machine) spawn(f func()) {
	m.gate.Lock()
	defer m.gate.Unlock()
	if !m.closed {
		m.running.Go(f)
	}
}

// event queues f for the world. The caller holds the lock.
func (m *Machine) event(f func()) {
	if m.life.Err() == nil {
		m.events <- f
	}
}

// log adds a change that was asked of this machine.
func (m *Machine) log(what, detail, fate string) {
	if m.o.Log == nil {
		return
	}
	m.o.Log.Add(record.Write{Time: m.clock.Now(), Node: m.o.Name, What: what, Detail: detail, Fate: fate})
}

// took notes what the machine has spent its time on since then.
func (m *Machine) took(what string, since time.Time) {
	if m.o.Log != nil {
		m.o.Log.Took(record.Span{Node: m.o.Name, What: what, From: since, To: m.clock.Now()})
	}
}

// makeFiles creates the directories that Windows has.
func (m *Machine) makeFiles() error {
	for _, dir := range []string{m.folder, filepath.Dir(m.cbsLog()), m.downloads(), filepath.Dir(m.program)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(m.cbsLog(), []byte("CBS    Starting TrustedInstaller initialization.\r\n"), 0o600); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(m.program, nil, 0o700), m.makeBackup())
}

func (m *Machine) systemRoot() string { return filepath.Join(m.o.Dir, "Windows") }

func (m *Machine) downloads() string {
	return filepath.Join(m.systemRoot(), "SoftwareDistribution", "Download")
}

func (m *Machine) cbsLog() string { return filepath.Join(m.systemRoot(), "Logs", "CBS", "CBS.log") }
