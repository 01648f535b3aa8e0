package machine

import (
	"context"
	"strings"
	"time"
)

// task is a scheduled task.
type task struct {
	Folder  string // "\" or "\name"
	Name    string
	Enabled bool
	Command string // program
	Args    string
	Result  uint32 // LastTaskResult
	running bool
	stop    context.CancelFunc
}

// Results of the task scheduler.
const (
	taskReady   = 0x00041303 // has not run yet
	taskRuns    = 0x00041301
	taskStopped = 0x00041306
)

func (t *task) path() string { return strings.TrimLeft(t.Folder+`\`+t.Name, `\`) }

func (t *task) watchdog() bool { return t.Command == octopusProgram }

// State is as Get-ScheduledTask prints it.
func (t *task) State() string {
	switch {
	case !t.Enabled:
		return "Disabled"
	case t.running:
		return "Running"
	}
	return "Ready"
}

func (m *Machine) standardTasks() []*task {
	list := []*task{{Folder: `\`, Name: "Octopus Watchdog OctopusServer", Enabled: true, Command: octopusProgram, Args: "checkservices --instances *"}}
	if m.has("watchdog-bites") {
		list = append(list, &task{Folder: `\`, Name: "Keep the deployment server up", Enabled: true, Command: octopusProgram, Args: "checkservices --instances *"})
	}
	return list
}

// watchdogs runs the watchdog tasks every five minutes, for as long as the machine exists.
func (m *Machine) watchdogs(ctx context.Context) {
	every := 5 * time.Minute
	if m.has("watchdog-bites") {
		every = time.Minute
	}
	for m.clock.Sleep(ctx, every) == nil {
		m.mu.Lock()
		if m.up {
			for _, t := range m.tasks {
				if t.watchdog() && t.Enabled {
					m.bite()
				}
			}
		}
		m.mu.Unlock()
	}
}

// bite starts every Octopus Server service that does not run; a disabled one refuses. The lock is held.
func (m *Machine) bite() {
	for _, s := range m.service {
		if strings.Contains(s.PathName, octopusProgram) && s.State == "Stopped" {
			_ = m.begin(s.Name) // a service that will not start is tried again next time
		}
	}
}

func (m *Machine) findTask(folder, name string) *task {
	for _, t := range m.tasks {
		if strings.EqualFold(t.Folder, folder) && strings.EqualFold(t.Name, name) {
			return t
		}
	}
	return nil
}

// EnableTask enables or disables a task.
func (m *Machine) EnableTask(folder, name string, on bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.findTask(folder, name)
	if t == nil {
		return errNoTask()
	}
	t.Enabled = on
	return nil
}

func errNoTask() error {
	return &winError{0x80070002, "The system cannot find the file specified."}
}

// RegisterTask creates or replaces a task that runs as SYSTEM.
func (m *Machine) RegisterTask(folder, name, command, args string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.findTask(folder, name); t != nil {
		t.Command, t.Args, t.Result = command, args, taskReady
		return
	}
	m.tasks = append(m.tasks, &task{Folder: folder, Name: name, Enabled: true, Command: command, Args: args, Result: taskReady})
}

// RunTask starts a task on demand; it lives until its process ends, it is stopped, or the machine reboots.
func (m *Machine) RunTask(folder, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.findTask(folder, name)
	if t == nil {
		return errNoTask()
	}
	if t.running {
		return nil
	}
	ctx, cancel := context.WithCancel(m.session)
	t.running, t.Result, t.stop = true, taskRuns, cancel
	m.goFor(ctx, func(ctx context.Context) {
		exit := m.runTaskAction(ctx, t.Command)
		cut := ctx.Err() != nil
		m.mu.Lock()
		defer m.mu.Unlock()
		cancel()
		t.running, t.Result = false, uint32(exit)
		if cut {
			t.Result = taskStopped
		}
	})
	return nil
}

// StopTask ends a task's process.
func (m *Machine) StopTask(folder, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.findTask(folder, name); t != nil && t.stop != nil {
		t.stop()
	}
}

// DeleteTask removes a task; a running process goes on, as it does in Windows.
func (m *Machine) DeleteTask(folder, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, t := range m.tasks {
		if strings.EqualFold(t.Folder, folder) && strings.EqualFold(t.Name, name) {
			m.tasks = append(m.tasks[:i], m.tasks[i+1:]...)
			return nil
		}
	}
	return errNoTask()
}
