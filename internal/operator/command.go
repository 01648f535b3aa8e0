// Package operator runs the operator's own commands on the runner: hooks, a precaution of his own, and what he
// uses instead of Windows Update. What it may import: procedure.
package operator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Runner starts commands, each in the system's shell: /bin/sh -c, or cmd.exe /d /s /c on Windows.
type Runner struct {
	Environ []string            // what commands inherit; Inherit says what that should be
	Mask    func(string) string // takes secrets out of what a command says
}

// Command is one line of the operator's.
type Command struct {
	Setting string            // the variable that holds the line, for messages
	Line    string            // for the shell
	Facts   map[string]string // added to the environment
	Limit   time.Duration     // on the wall clock, because the command runs on it
	Say     func(string)      // gets each line of its output, masked; may be nil
}

// ExitError says that the command ended, and not well.
type ExitError struct {
	Code int
	Last string // the last line that it wrote, masked
}

func (e *ExitError) Error() string {
	if e.Last == "" {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return fmt.Sprintf("exit code %d, and it said %q", e.Code, e.Last)
}

// graceful is how long the output may stay open once the command's processes were ended: somebody who left the
// group may hold it for ever.
const graceful = 5 * time.Second

// Run runs the command to its end. A nil error means exit code 0. An *ExitError in the chain means that it
// ended with another one; a Fault of kind ErrTimeout that it was ended at its limit, and the context's cause
// that it was ended because the run was. Afterwards none of its processes is left.
func (r Runner) Run(ctx context.Context, c Command) error {
	limited, cancel := context.WithTimeout(ctx, c.Limit)
	defer cancel()
	last, err := r.run(limited, c)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case limited.Err() != nil:
		return &procedure.Fault{Kind: procedure.ErrTimeout, Subject: c.Setting, Problem: fmt.Sprintf("the command took longer than %s and was ended", c.Limit), Remedy: "look at what it waits for, or allow it more time"}
	case errors.As(err, &exit):
		return &procedure.Fault{Subject: c.Setting, Problem: "the command failed", Cause: &ExitError{exit.ExitCode(), last}, Remedy: "its output stands in the log"}
	}
	return &procedure.Fault{Subject: c.Setting, Problem: "the command could not be run", Cause: err, Remedy: "correct it"}
}

// run starts the command in a group of its own, and sees to it that the whole group is gone at the end.
func (r Runner) run(ctx context.Context, c Command) (last string, err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer read.Close()
	process := shell(c.Line)
	process.Env = append(append([]string{}, r.Environ...), environ(c.Facts)...)
	process.Stdout, process.Stderr = write, write // files, so that the end is the command's and not the output's
	group, err := start(process)
	write.Close()
	if err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, group.end)
	defer stop()
	said := make(chan string, 1)
	go func() { said <- r.listen(read, c.Say) }()
	err = process.Wait()
	group.end()
	late := time.AfterFunc(graceful, func() { read.Close() })
	defer late.Stop()
	return <-said, err
}

// listen hands on each line as it comes and returns the last one that says something.
func (r Runner) listen(from io.Reader, say func(string)) (last string) {
	const longest = 300
	lines := bufio.NewReaderSize(from, 64<<10)
	for {
		text, err := lines.ReadString('\n')
		text = strings.TrimSpace(r.Mask(strings.ToValidUTF8(text, "?")))
		if text != "" {
			last = text[:min(len(text), longest)]
			if say != nil {
				say(last)
			}
		}
		if err != nil {
			return last
		}
	}
}

func environ(facts map[string]string) []string {
	var list []string
	for name, value := range facts {
		list = append(list, name+"="+value)
	}
	return list
}
