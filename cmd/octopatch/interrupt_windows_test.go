package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// interrupts are the ways in which a run is told to end: what its console tells everybody on it.
var interrupts = map[string]func(*started) error{
	"Ctrl-C":     func(s *started) error { return tell(s.process.Process, windows.CTRL_C_EVENT) },
	"Ctrl-Break": func(s *started) error { return tell(s.process.Process, windows.CTRL_BREAK_EVENT) },
}

// ownConsole gives the process a console that nobody else is on.
func ownConsole(p *exec.Cmd) {
	p.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_CONSOLE, HideWindow: true}
}

var (
	kernel32      = windows.NewLazySystemDLL("kernel32.dll")
	attachConsole = kernel32.NewProc("AttachConsole")
	freeConsole   = kernel32.NewProc("FreeConsole")
	ctrlRoutine   = windows.NewLazySystemDLL("kernelbase.dll").NewProc("CtrlRoutine")
	remoteThread  = kernel32.NewProc("CreateRemoteThread")
	console       sync.Mutex // a process is on one console at a time
)

// tell does what the runner of GitHub Actions does: it goes to the console of the process and has the event sent.
func tell(p *os.Process, event uint32) error {
	console.Lock()
	defer console.Unlock()
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // the event reaches us as well
	_, _, _ = freeConsole.Call()                         // there may be none
	if ok, _, err := attachConsole.Call(uintptr(p.Pid)); ok == 0 {
		return err
	}
	defer freeConsole.Call()
	err := windows.GenerateConsoleCtrlEvent(event, 0)
	if errors.Is(err, windows.ERROR_INVALID_HANDLE) && event == windows.CTRL_BREAK_EVENT {
		return routine(p, event)
	}
	return err
}

// routine starts in the process what an event of its console starts there. Wine sends no Ctrl-Break by itself.
func routine(p *os.Process, event uint32) error {
	h, err := windows.OpenProcess(windows.PROCESS_CREATE_THREAD|windows.PROCESS_QUERY_INFORMATION|windows.PROCESS_VM_OPERATION|windows.PROCESS_VM_READ|windows.PROCESS_VM_WRITE, false, uint32(p.Pid))
	if err != nil {
		return err
	}
	defer windows.CloseHandle(h)
	if ok, _, err := remoteThread.Call(uintptr(h), 0, 0, ctrlRoutine.Addr(), uintptr(event), 0, 0); ok == 0 {
		return err
	}
	return nil
}

// excused: the simulated hosts keep their files on the disk of the test, and wine 8 knows nothing of the call by
// which Go removes a folder there.
func excused(p rehearsal.Promise) bool {
	return strings.HasPrefix(p.What, "no file") && windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil
}
