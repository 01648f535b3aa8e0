package winrm

import (
	"context"
	"errors"
	"fmt"

	"github.com/octopatch/octopatch/internal/procedure"
)

// describe tells the operator what happened, and the engine whether anything may have been run.
func (c *call) describe(limited context.Context, err error) error {
	f := &procedure.Fault{Kind: procedure.ErrUnreachable, Subject: c.o.address(), Problem: "WinRM cannot be reached", Cause: err,
		Remedy: "check the host's WinRM listener, the firewall and OCTOPATCH_NODES"}
	var soap *Fault
	if errors.As(err, &soap) {
		f.Problem, f.Remedy = "WinRM answered with a fault", soap.Remedy()
		if soap.Denied() {
			f.Kind = procedure.ErrDenied
		}
	}
	unsure := c.unsure(err, soap)
	var known *procedure.Fault
	switch {
	case unsure:
		f.Kind, f.Problem = procedure.ErrNoReply, "the connection ended before the command's answer"
		if soap != nil {
			f.Problem = "WinRM answered with a fault before the command's answer"
		} else {
			f.Remedy = "whether the command was carried out is asked for next; if that fails too, check that the host is up"
		}
	case errors.As(err, &known):
		return known
	case errors.Is(err, errSealed):
		f.Kind, f.Problem = procedure.ErrRefused, "the host does not speak sealed as it must, or somebody changes what it says"
		f.Remedy = "nothing was sent in clear, and nothing is; check what stands between this machine and the host, or use OCTOPATCH_WINRM_TLS=true"
	case errors.Is(err, errAnswer):
		f.Problem, f.Remedy = "something else than WinRM answers", "check the port in OCTOPATCH_NODES or OCTOPATCH_WINRM_PORT, and for a proxy in between"
	}
	switch {
	case c.outer.Err() != nil:
		f.Problem, f.Cause = "interrupted before the command's answer", context.Cause(c.outer)
	case c.closing.Err() != nil:
		f.Problem, f.Cause = "the connection was given up", nil
	case limited.Err() != nil && unsure:
		f.Problem = fmt.Sprintf("no end of the command within %s", procedure.Span(c.cmd.Limit.Seconds()))
	case errors.Is(err, context.DeadlineExceeded) && limited.Err() == nil && unsure:
		f.Problem = "the host fell silent before the command's answer"
	case errors.Is(err, context.DeadlineExceeded) && limited.Err() == nil:
		f.Problem = "the host does not answer"
	case limited.Err() != nil:
		f.Problem = fmt.Sprintf("WinRM could not start the command within %s", procedure.Span(c.cmd.Limit.Seconds()))
	}
	return f
}

// unsure: the command may have been carried out, or may have begun to be.
func (c *call) unsure(err error, soap *Fault) bool {
	switch c.reached {
	case before:
		return false
	case running:
		return true
	}
	// The Command message was on its way. It certainly had no effect without a connection or a login, and
	// when the host turned it away, unless the host gave up in the middle of it.
	turnedAway := soap != nil && !soap.TimedOut() && !soap.Aborted()
	return !turnedAway && !errors.Is(err, errDial) && !errors.Is(err, procedure.ErrDenied)
}
