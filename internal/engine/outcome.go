package engine

import (
	"context"
	"errors"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Exit codes, as the README lists them.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitSomeFailed  = 3
	ExitRefused     = 4
	ExitStopped     = 5
	ExitUnknown     = 6
	ExitInterrupted = 130
)

func unix(seconds int64) time.Time { return time.Unix(seconds, 0) }

// exit weighs what became of the nodes: an unknown state outweighs a held node, that outweighs a rule that
// ended the run, and that a node whose updates failed.
func exit(ctx context.Context, targets []*target, stoppedByRule bool) int {
	var done, failed, held, unknown int
	for _, t := range targets {
		switch {
		case t.report.Result == procedure.Unknown:
			unknown++
		case t.held:
			held++
		case t.report.Result == procedure.Failed && !t.stopped:
			failed++
		case t.report.Result == procedure.Done || t.current:
			done++
		}
	}
	switch {
	case ctx.Err() != nil:
		return ExitInterrupted
	case unknown > 0:
		return ExitUnknown
	case held > 0:
		return failure(done)
	case stoppedByRule:
		return ExitStopped
	case failed > 0:
		return failure(done)
	}
	return ExitDone
}

func failure(done int) int {
	if done > 0 {
		return ExitSomeFailed
	}
	return ExitFailed
}

// refused is the result of a command that changed nothing.
func (e *Engine) refused(err error) Result {
	if e.interrupted(err) {
		return Result{Exit: ExitInterrupted, Run: e.Run, Err: err}
	}
	return Result{Exit: ExitRefused, Run: e.Run, Err: err}
}

// unproved is the result of a command that could not learn or set right what it has to go on from.
func (e *Engine) unproved(err error) Result {
	r := e.refused(err)
	if r.Exit == ExitRefused {
		r.Exit, r.Next = ExitUnknown, procedure.GoOn
	}
	return r
}

func (e *Engine) interrupted(err error) bool { return errors.Is(err, context.Canceled) }
