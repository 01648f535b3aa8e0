package windows

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	workerFolder = `\octopatch`
	workerName   = "worker"
)

func (t *twin) worker() *task { return t.task(workerName) }

// task is a copy of our scheduled task of that name, nil when it is absent.
func (t *twin) task(name string) *task {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	found := t.m.findTask(workerFolder, name)
	if found == nil {
		return nil
	}
	c := *found
	return &c
}

// runs: a task that has been started is not started again beside itself.
func (t *task) runs() bool { return t != nil && (t.state == taskQueued || t.state == taskRunning) }

func (t *twin) workerRuns() bool {
	w := t.worker()
	return w.runs()
}

// workMode is what the worker was told to do; what cannot be read might be an installation.
func (t *twin) workMode() string {
	if mode := textOf(t.readWork("work.json"), "mode"); mode != "" {
		return mode
	}
	return "install"
}

// stopWorker ends a worker that only searches or downloads. An installation is never cut short.
func (t *twin) stopWorker() error {
	deadline := t.m.clock.Now().Add(time.Minute)
	for t.workerRuns() {
		if t.workMode() == "install" {
			job := textOf(t.readWork("work.json"), "job")
			if job == "" {
				job = "?"
			}
			return &stop{"busy", fmt.Sprintf("the worker of job %s is still installing", job), ""}
		}
		if !t.m.clock.Now().Before(deadline) {
			return &stop{"busy", "the worker does not end", ""}
		}
		if err := t.m.stopTask(workerFolder, workerName); err != nil {
			return err
		}
		if err := t.sleep(time.Second); err != nil {
			return err
		}
	}
	return nil
}

func (t *twin) removeTasks() error {
	if err := t.removeTask(deadmanName); err != nil {
		return err
	}
	if err := t.removeTask(workerName); err != nil {
		return err
	}
	return t.removeTask(imageName)
}

// removeTask removes one task, and the scheduler's folder when nothing else is in it.
func (t *twin) removeTask(name string) error {
	if !t.m.isFolder(workerFolder) {
		return nil
	}
	if t.task(name) != nil {
		if err := t.m.deleteTask(workerFolder, name); err != nil {
			return err
		}
	}
	err := t.m.deleteFolder(workerFolder)
	var windows *Error
	if errors.As(err, &windows) && windows.Code == 0x80070091 { // somebody else's task is in it
		return nil
	}
	return err
}

const taskSecurity = "D:P(A;;FA;;;SY)(A;;FA;;;BA)"

// registerTask replaces a task.
func (t *twin) registerTask(name, triggers string) error {
	if err := t.removeTask(name); err != nil {
		return err
	}
	if !t.m.isFolder(workerFolder) {
		if err := t.m.createFolder(workerFolder, taskSecurity); err != nil {
			return err
		}
	}
	return t.m.registerTask(workerFolder, name, t.taskText(name, triggers))
}

// taskText is as much of the task as this machine reads.
func (t *twin) taskText(name, triggers string) string {
	return strings.NewReplacer("NAME", name, "TRIGGERS", triggers, "PROGRAM", t.m.systemRoot()+`\System32\WindowsPowerShell\v1.0\powershell.exe`).Replace(`<?xml version="1.0"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <Triggers>TRIGGERS</Triggers>
  <Principals><Principal id="Author"><UserId>S-1-5-18</UserId></Principal></Principals>
  <Actions Context="Author"><Exec>
    <Command>PROGRAM</Command>
    <Arguments>-NoProfile -NonInteractive -Command "&amp; ([ScriptBlock]::Create([IO.File]::ReadAllText([IO.Path]::Combine($env:ProgramData, 'octopatch', 'NAME.ps1'))))"</Arguments>
  </Exec></Actions>
</Task>`)
}

// waitStarted waits until the task has begun.
func (t *twin) waitStarted(limit time.Duration) error {
	deadline := t.m.clock.Now().Add(limit)
	for {
		w := t.worker()
		switch {
		case w == nil:
			return &stop{"task", "the scheduled task is gone before it began", ""}
		case w.state == taskRunning, w.result != taskNeverRan && w.result != taskIsQueued && w.result != taskStillRuns:
			return nil
		case !t.m.clock.Now().Before(deadline):
			return &stop{"task", fmt.Sprintf("the scheduled task has not begun after %d s", int(limit.Seconds())), hresult(w.result)}
		}
		if err := t.sleep(time.Second); err != nil {
			return err
		}
	}
}
