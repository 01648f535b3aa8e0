package winrm

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
	"github.com/octopatch/octopatch/internal/secret"
)

// TestFaults: each fault has one outcome, and its kind says whether anything may have been run.
func TestFaults(t *testing.T) {
	t.Parallel()
	const html = "<html><body>Welcome</body></html>"
	run := func(err error) runner { return func(context.Context, wsman.Command) (int, error) { return 0, err } }
	forever := func(ctx context.Context, _ wsman.Command) (int, error) { <-ctx.Done(); return 0, nil }
	for _, c := range []struct {
		name   string
		run    runner
		faults wsman.Faults
		option func(*Options)
		kind   error // nil: it works all the same
		says   string
		begun  bool // the process began
	}{
		// Before the command.
		{name: "wrong_password", option: func(o *Options) { o.Password = secret.New("wrong") }, kind: procedure.ErrDenied, says: "refuses the login"},
		{name: "wrong_password_basic", option: func(o *Options) { o.Auth, o.Password = "basic", secret.New("wrong") }, kind: procedure.ErrDenied, says: "refuses the login"},
		{name: "unauthorized", faults: wsman.Faults{Unauthorized: true}, kind: procedure.ErrDenied, says: "Negotiate disabled"},
		{name: "untrusted_certificate", option: func(o *Options) { o.Fingerprint = "" }, kind: procedure.ErrRefused, says: "OCTOPATCH_WINRM_CA_FILE"},
		{name: "another_fingerprint", option: func(o *Options) { o.Fingerprint = strings.Repeat("00", 32) }, kind: procedure.ErrRefused, says: "expects 0000"},
		{name: "access_denied", faults: wsman.Faults{SOAP: "denied"}, kind: procedure.ErrDenied, says: "JEA"},
		{name: "quota", faults: wsman.Faults{SOAP: "quota"}, kind: procedure.ErrUnreachable, says: "too many shells"},
		{name: "unknown_fault", faults: wsman.Faults{SOAP: "unknown"}, kind: procedure.ErrUnreachable, says: "InternalError"},
		{name: "create_timed_out", faults: wsman.Faults{SOAP: "timed-out"}, kind: procedure.ErrUnreachable, says: "TimedOut"},
		{name: "service_unavailable", faults: wsman.Faults{Status: 503}, kind: procedure.ErrUnreachable, says: "HTTP 503"},
		{name: "html", faults: wsman.Faults{On: "Create", Status: 200, Text: html}, kind: procedure.ErrUnreachable, says: "something else than WinRM"},
		{name: "reset_at_login", faults: wsman.Faults{Resets: 1}, kind: procedure.ErrUnreachable, says: "cannot be reached"},
		{name: "reset_at_create", faults: wsman.Faults{On: "Create", Resets: 1}, kind: procedure.ErrUnreachable, says: "cannot be reached"},
		{name: "black_hole", faults: wsman.Faults{BlackHole: true}, kind: procedure.ErrUnreachable, says: "does not answer"},
		{name: "port_closed", option: func(o *Options) { o.Port = 1 }, kind: procedure.ErrUnreachable, says: "no connection"},
		// At the command: a fault turns it away, silence does not.
		{name: "command_denied", faults: wsman.Faults{On: "Command", SOAP: "denied"}, kind: procedure.ErrDenied, says: "JEA"},
		{name: "command_operations", faults: wsman.Faults{On: "Command", SOAP: "operations"}, kind: procedure.ErrUnreachable, says: "QuotaLimit"},
		{name: "command_profile", faults: wsman.Faults{On: "Command", SOAP: "profile"}, kind: procedure.ErrUnreachable, says: "profile"},
		{name: "command_no_shell", faults: wsman.Faults{On: "Command", SOAP: "no-shell"}, kind: procedure.ErrUnreachable, says: "restarted"},
		{name: "command_aborted", faults: wsman.Faults{On: "Command", SOAP: "aborted"}, kind: procedure.ErrNoReply, says: "995"},
		{name: "command_timed_out", faults: wsman.Faults{On: "Command", SOAP: "timed-out"}, kind: procedure.ErrNoReply, says: "TimedOut"},
		{name: "command_reset", faults: wsman.Faults{On: "Command", Resets: 1}, kind: procedure.ErrNoReply, says: "before the command's answer"},
		{name: "command_html", faults: wsman.Faults{On: "Command", Status: 200, Text: html}, kind: procedure.ErrNoReply, says: "not the one"},
		{name: "command_black_hole", faults: wsman.Faults{On: "Command", BlackHole: true}, kind: procedure.ErrNoReply, says: "fell silent"},
		// After it began.
		{name: "receive_no_shell", run: forever, faults: wsman.Faults{On: "Receive", SOAP: "no-shell"}, kind: procedure.ErrNoReply, says: "restarted", begun: true},
		{name: "receive_unknown", run: forever, faults: wsman.Faults{On: "Receive", SOAP: "unknown"}, kind: procedure.ErrNoReply, says: "InternalError", begun: true},
		{name: "receive_aborted", run: forever, faults: wsman.Faults{On: "Receive", SOAP: "aborted"}, kind: procedure.ErrNoReply, says: "995", begun: true},
		{name: "receive_html", run: forever, faults: wsman.Faults{On: "Receive", Status: 200, Text: html}, kind: procedure.ErrNoReply, says: "not the one", begun: true},
		{name: "receive_500", run: forever, faults: wsman.Faults{On: "Receive", Status: 500}, kind: procedure.ErrNoReply, says: "HTTP 500", begun: true},
		{name: "receive_reset", run: forever, faults: wsman.Faults{On: "Receive", Resets: 1}, kind: procedure.ErrNoReply, says: "before the command's answer", begun: true},
		{name: "receive_timed_out_at_once", run: forever, faults: wsman.Faults{On: "Receive", SOAP: "timed-out"}, kind: procedure.ErrNoReply, says: "no end of the command", begun: true},
		{name: "receive_drips", run: forever, faults: wsman.Faults{On: "Receive", SOAP: "unknown", Drip: time.Hour}, kind: procedure.ErrNoReply, says: "fell silent", begun: true},
		{name: "reply_lost", run: run(wsman.ErrLost), kind: procedure.ErrNoReply, says: "before the command's answer", begun: true},
		{name: "never_ends", run: forever, kind: procedure.ErrNoReply, says: "no end of the command", begun: true},
		{name: "send_refused_and_waiting", run: func(ctx context.Context, c wsman.Command) (int, error) {
			go func() { <-ctx.Done() }()
			_, err := io.Copy(io.Discard, c.Stdin)
			return 0, err
		}, faults: wsman.Faults{On: "Send", SOAP: "unknown"}, kind: procedure.ErrNoReply, says: "InternalError", begun: true},
		// What does no harm.
		{name: "send_busy_twice", faults: wsman.Faults{On: "Send", SOAP: "busy", Times: 2}, begun: true},
		{name: "send_refused_and_done", faults: wsman.Faults{On: "Send", SOAP: "unknown"}, begun: true},
		{name: "signal_refused", faults: wsman.Faults{On: "Signal", SOAP: "unknown"}, begun: true},
		{name: "delete_reset", faults: wsman.Faults{On: "Delete", Resets: 9}, begun: true},
		{name: "slow", faults: wsman.Faults{Drip: time.Second}, begun: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			begun := make(chan struct{}, 1)
			if c.run == nil {
				c.run = run(nil)
			}
			change := c.option
			if change == nil {
				change = func(*Options) {}
			}
			s, client := host(t, func(ctx context.Context, cmd wsman.Command) (int, error) {
				begun <- struct{}{}
				return c.run(ctx, cmd)
			}, change)
			s.SetFaults(c.faults)
			start := time.Now()
			_, err := client.Run(context.Background(), Command{Line: "x", Stdin: []byte("hello"), Limit: 130 * time.Second})
			if !errors.Is(err, c.kind) || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") || strings.Count(err.Error(), "no connection") > 1) {
				t.Errorf("got %v, want %v and %q", err, c.kind, c.says)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %s, and the limit was 1.3 s of wall time", took)
			}
			if got := soon(begun, c.begun); got != c.begun {
				t.Errorf("the process began: %t, want %t", got, c.begun)
			}
			if errors.Is(c.kind, procedure.ErrDenied) && s.Refused() > 1 {
				t.Errorf("the login was tried %d times", s.Refused())
			}
			if n := client.Requests()["Receive"]; n > 400 {
				t.Errorf("%d Receives: it spins", n)
			}
		})
	}
}

// soon says whether the process began. The host answers Command before it has, so one that is to begin gets a moment.
func soon(begun <-chan struct{}, wanted bool) bool {
	if !wanted {
		return len(begun) == 1
	}
	select {
	case <-begun:
		return true
	case <-time.After(time.Second):
		return false
	}
}

// TestFaultIsReachable: who asks with errors.As gets the host's own fault.
func TestFaultIsReachable(t *testing.T) {
	t.Parallel()
	s, c := host(t, echo)
	s.SetFaults(wsman.Faults{On: "Receive", SOAP: "no-shell"})
	_, err := c.Run(context.Background(), Command{Line: "x", Limit: time.Minute})
	var f *Fault
	if !errors.As(err, &f) || !f.ShellNotFound() {
		t.Errorf("got %v", err)
	}
}

// TestBlackHoleInTheMiddle: a host that falls silent is given up after one request's time, not after the
// command's.
func TestBlackHoleInTheMiddle(t *testing.T) {
	t.Parallel()
	s, c := host(t, func(ctx context.Context, _ wsman.Command) (int, error) { <-ctx.Done(); return 0, nil })
	s.SetFaults(wsman.Faults{On: "Receive", BlackHole: true})
	start := time.Now()
	_, err := c.Run(context.Background(), Command{Line: "x", Limit: 15 * time.Minute})
	if took := time.Since(start); !errors.Is(err, procedure.ErrNoReply) || took > 5*time.Second {
		t.Errorf("%v after %s", err, took)
	}
}

func TestShellsRunOut(t *testing.T) {
	t.Parallel()
	s, c := host(t, echo)
	s.SetFaults(wsman.Faults{On: "Delete", Resets: 99}) // shells are left over
	for range 30 {
		if _, err := c.Run(context.Background(), Command{Line: "x", Stdin: []byte("y"), Limit: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	var f *Fault
	if _, err := c.Run(context.Background(), Command{Line: "x", Limit: time.Hour}); !errors.As(err, &f) || !f.Quota() || !errors.Is(err, procedure.ErrUnreachable) {
		t.Errorf("the 31st shell: %v", err)
	}
}
