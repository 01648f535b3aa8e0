package winhost

import (
	"context"
	"time"

	"github.com/octopatch/octopatch/internal/winrm"
)

// Runner runs one command line on a host. Errors are Faults: ErrUnreachable and ErrDenied mean that nothing
// was run, ErrNoReply that it is not known what was.
type Runner interface {
	Run(ctx context.Context, line string, stdin []byte, limit time.Duration, stdout func(string)) (exit int, stderr string, err error)
}

// OverWinRM runs commands through a WinRM client.
func OverWinRM(c *winrm.Client) Runner { return overWinRM{c} }

type overWinRM struct{ client *winrm.Client }

func (r overWinRM) Run(ctx context.Context, line string, stdin []byte, limit time.Duration, stdout func(string)) (int, string, error) {
	exit, err := r.client.Run(ctx, winrm.Command{Line: line, Stdin: stdin, Stdout: stdout, Limit: limit})
	return exit.Code, exit.Stderr, err
}
