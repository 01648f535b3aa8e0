//go:build !windows

package operator

import (
	"os/exec"
	"syscall"
)

// shell runs the line as any operator's script would.
func shell(line string) *exec.Cmd {
	process := exec.Command("/bin/sh", "-c", line) //nolint:noctx // its end is the group's, not the shell's alone
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return process
}

// group is the process group of a command; whoever leaves it by setsid has left us on purpose.
type group struct{ id int }

func start(process *exec.Cmd) (group, error) {
	if err := process.Start(); err != nil {
		return group{}, err
	}
	return group{process.Process.Pid}, nil
}

// end kills what is left of the group; nobody being left is no error.
func (g group) end() { _ = syscall.Kill(-g.id, syscall.SIGKILL) }
