package windows

import (
	"context"
	"errors"
	"io"
)

// errNoPowerShell: this machine executes real PowerShell only; the twins of the scripts have a machine of their own.
var errNoPowerShell = errors.New("this machine runs real PowerShell only")

func (m *Machine) twin(context.Context, call, string, io.Writer, io.Writer, bool) (int, error) {
	return 1, errNoPowerShell
}

func (m *Machine) taskTwin(context.Context, string, bool) (int, error) { return 1, errNoPowerShell }
