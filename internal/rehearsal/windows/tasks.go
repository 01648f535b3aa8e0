package windows

import (
	"context"
	"encoding/xml"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The states of a scheduled task, as numbers of the Task Scheduler.
const (
	taskDisabled = 1
	taskQueued   = 2
	taskReady    = 3
	taskRunning  = 4
)

// Results of a scheduled task that has not ended by itself.
const (
	taskNeverRan   = 0x41303
	taskStillRuns  = 0x41301
	taskIsQueued   = 0x41325
	taskTerminated = 0x41306
	taskKilled     = 0x40010004 // DBG_TERMINATE_PROCESS: the machine went down
)

type task struct {
	folder, name string
	xml          string
	enabled      bool
	state        int
	result       uint32
	stop         context.CancelFunc
	builtIn      bool          // was there before any client
	every        time.Duration // for a task that runs by itself
	repeat       time.Duration // of a registered task's time trigger; 0: it has none
	repeating    bool
	action       func(context.Context) // what such a task does
}

func (t *task) path() string { return strings.TrimRight(t.folder, `\`) + `\` + t.name }

var builtInFolders = []string{`\`, `\Contoso`, `\Microsoft`, `\Microsoft\Windows`, `\Microsoft\Windows\UpdateOrchestrator`}

func (m *Machine) makeTasks() {
	m.tasks = []*task{
		{folder: `\Microsoft\Windows\UpdateOrchestrator`, name: "Schedule Scan", enabled: true, builtIn: true, state: taskReady},
	}
	if !m.isHypervisor() {
		m.tasks = append([]*task{{folder: `\`, name: "Octopus Watchdog " + m.o.Instance, enabled: true, builtIn: true, state: taskReady, every: 5 * time.Minute, action: m.checkServices}}, m.tasks...)
	}
	for _, folder := range builtInFolders {
		m.folders[folder] = ""
	}
	if m.has("watchdog-bites") {
		m.tasks = append(m.tasks, &task{folder: `\Contoso`, name: "Keep Octopus alive", enabled: true, builtIn: true, state: taskReady, every: time.Minute, action: m.biteOnce()})
	}
}

// watch runs the tasks that run by themselves, from boot to shutdown.
func (m *Machine) watch() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tasks {
		if t.every == 0 {
			continue
		}
		session, every := m.session, t.every // a revert writes the whole task
		m.spawn(func() {
			for m.clock.Sleep(session, every) == nil {
				m.runByItself(session, t)
			}
		})
	}
}

func (m *Machine) runByItself(session context.Context, t *task) {
	m.mu.Lock()
	enabled, action := t.enabled, t.action
	if enabled {
		t.state, t.result = taskRunning, taskStillRuns
	}
	m.mu.Unlock()
	if !enabled {
		return
	}
	action(session)
	_ = m.clock.Sleep(session, 3*time.Second)
	m.mu.Lock()
	defer m.mu.Unlock()
	t.result = 0
	t.settle()
}

// settle gives a task that has ended its state. The caller holds the lock.
func (t *task) settle() {
	t.state = taskReady
	if !t.enabled {
		t.state = taskDisabled
	}
}

// checkServices is what the watchdog's `Octopus.Server.exe checkservices` does: it starts every instance that
// is not running, and fails only for one that is disabled.
func (m *Machine) checkServices(context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.services {
		if m.isServer(s) && s.state == stateStopped {
			_ = m.startLocked(s.name) // a refusal goes to the watchdog's own log
		}
	}
}

// biteOnce starts the instance once, when it has been stopped for longer than a minute.
func (m *Machine) biteOnce() func(context.Context) {
	stopped, bitten := false, false
	return func(ctx context.Context) {
		m.mu.Lock()
		now := slices.ContainsFunc(m.services, func(s *service) bool { return s.octopus && s.state == stateStopped })
		m.mu.Unlock()
		if now && stopped && !bitten {
			bitten = true
			m.checkServices(ctx)
		}
		stopped = now
	}
}

// findTask is the task in that folder, or nil. The caller holds the lock.
func (m *Machine) findTask(folder, name string) *task {
	for _, t := range m.tasks {
		if strings.EqualFold(t.folder, folder) && strings.EqualFold(t.name, name) {
			return t
		}
	}
	return nil
}

// hasFolder says whether the scheduler has such a folder. The caller holds the lock.
func (m *Machine) hasFolder(path string) bool {
	for f := range m.folders {
		if strings.EqualFold(f, path) {
			return true
		}
	}
	return false
}

func (m *Machine) createFolder(path, sddl string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hasFolder(path) {
		return com(0x800700B7)
	}
	m.folders[path] = sddl
	return nil
}

func (m *Machine) deleteFolder(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.hasFolder(path) {
		return com(0x80070002)
	}
	if slices.ContainsFunc(m.tasks, func(t *task) bool { return strings.EqualFold(t.folder, path) }) {
		return com(0x80070091)
	}
	delete(m.folders, path)
	return nil
}

func (m *Machine) registerTask(folder, name, text string) error {
	d, err := parseTask(text)
	if err != nil {
		return com(0x8004131A) // SCHED_E_MALFORMEDXML
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.hasFolder(folder) {
		return com(0x80070003)
	}
	t := m.findTask(folder, name)
	if t == nil {
		t = &task{folder: folder, name: name}
		m.tasks = append(m.tasks, t)
	}
	t.xml, t.enabled, t.state, t.result = text, true, taskReady, taskNeverRan
	t.repeat = d.every()
	if t.repeat > 0 && !t.repeating && !m.o.Still {
		t.repeating = true
		m.spawn(func() { m.repeat(t) })
	}
	return nil
}

// repeat runs a task at each point of its trigger's grid while the machine is up, until it is deleted.
func (m *Machine) repeat(t *task) {
	for {
		m.mu.Lock()
		every, there := t.repeat, slices.Contains(m.tasks, t)
		m.mu.Unlock()
		now := m.clock.Now()
		if !there || every == 0 || m.clock.Sleep(m.life, now.Truncate(every).Add(every).Sub(now)) != nil {
			return
		}
		m.mu.Lock()
		due := m.up && !m.leaving && t.enabled && slices.Contains(m.tasks, t)
		m.mu.Unlock()
		if due {
			_ = m.runTask(t.folder, t.name) // what it is about shows in its result
		}
	}
}

// deleteTask removes a task; what it runs goes on running, as on Windows.
func (m *Machine) deleteTask(folder, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.findTask(folder, name)
	if t == nil {
		return com(0x80070002)
	}
	m.tasks = slices.DeleteFunc(m.tasks, func(other *task) bool { return other == t })
	return nil
}

func (m *Machine) stopTask(folder, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.findTask(folder, name)
	if t == nil {
		return com(0x80070002)
	}
	if t.stop != nil {
		t.stop()
	}
	return nil
}

func (m *Machine) enableTask(folder, name string, enabled bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.findTask(`\`+strings.Trim(folder, `\`), name)
	if t == nil {
		return com(0x80070002)
	}
	t.enabled = enabled
	if t.state != taskRunning && t.state != taskQueued {
		t.settle()
	}
	return nil
}

// runTask starts what the task was registered to run, as the account it was registered for.
func (m *Machine) runTask(folder, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.findTask(folder, name)
	if t == nil {
		return com(0x80070002)
	}
	if !t.enabled {
		return com(0x80041326) // SCHED_E_TASK_DISABLED
	}
	if t.state == taskRunning || t.state == taskQueued {
		return nil // MultipleInstancesPolicy IgnoreNew
	}
	definition, err := parseTask(t.xml)
	if err != nil {
		return com(0x8004131A)
	}
	session := m.session
	ctx, cancel := context.WithCancel(session)
	t.state, t.result, t.stop = taskQueued, taskIsQueued, cancel
	m.spawn(func() {
		defer cancel()
		result := uint32(taskTerminated)
		if m.clock.Sleep(ctx, time.Second) == nil {
			m.mu.Lock()
			t.state, t.result = taskRunning, taskStillRuns
			m.mu.Unlock()
			if exit, err := m.watched(ctx, definition, name); err == nil {
				result = uint32(exit)
			}
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if session.Err() != nil {
			result = taskKilled
		}
		t.result, t.stop = result, nil
		t.settle()
	})
	return nil
}

// definition is what the machine needs of a task's XML.
type definition struct {
	User      string `xml:"Principals>Principal>UserId"`
	Command   string `xml:"Actions>Exec>Command"`
	Arguments string `xml:"Actions>Exec>Arguments"`
	Interval  string `xml:"Triggers>TimeTrigger>Repetition>Interval"`
}

// every is how often the task's time trigger repeats, which is all that this machine knows of triggers.
func (d definition) every() time.Duration {
	minutes, ok := strings.CutSuffix(strings.TrimPrefix(d.Interval, "PT"), "M")
	n, err := strconv.Atoi(minutes)
	if !ok || err != nil {
		return 0
	}
	return time.Duration(n) * time.Minute
}

func parseTask(text string) (definition, error) {
	var d definition
	err := xml.Unmarshal([]byte(text), &d)
	return d, err
}
