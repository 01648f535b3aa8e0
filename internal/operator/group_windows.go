package operator

import (
	"os/exec"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// shell hands the line to cmd.exe as it is: Go's own quoting is not cmd.exe's. /s makes it drop the outer
// quotes and nothing else, /d keeps AutoRun out.
func shell(line string) *exec.Cmd {
	process := exec.Command("cmd.exe") //nolint:noctx // its end is the group's, not the shell's alone
	process.SysProcAttr = &syscall.SysProcAttr{CmdLine: `cmd.exe /d /s /c "` + line + `"`, CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
	return process
}

// group is the job of a command: what a process starts belongs to the job of its parent, and ends with it.
type group struct{ end func() }

func start(process *exec.Cmd) (group, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return group{}, err
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{}
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		return group{}, firstOf(err, windows.CloseHandle(job))
	}
	// cmd.exe needs longer to start anything than this takes.
	handle, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(process.Process.Pid))
	if err == nil {
		err = firstOf(windows.AssignProcessToJobObject(job, handle), windows.CloseHandle(handle))
	}
	g := group{sync.OnceFunc(func() { _ = windows.CloseHandle(job) })}
	if err != nil { // it must not run where it could not be ended
		_ = process.Process.Kill()
		_ = process.Wait()
		g.end()
	}
	return g, err
}

func firstOf(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
