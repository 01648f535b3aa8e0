package winhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

const (
	shutdownDelay = 20 * time.Second  // shutdown.exe waits five seconds, and Windows takes more to go down: a command meanwhile is only cut off
	readyTime     = 10 * time.Minute  // one command waits on the host for that long
	firstSign     = 150 * time.Second // a PowerShell starts slowly just after boot
	nextSign      = 75 * time.Second  // the script speaks every 15 s
	readyPause    = 5 * time.Second
	deniedPause   = 2 * time.Minute // after a reboot the host may refuse a good login for a while
	deniedTries   = 3               // more could lock the account
)

// rebooted is the answer of reboot.
type rebooted struct {
	State string `json:"state"` // issued, restarting
}

func (r *rebooted) check() error {
	if r.State != "issued" && r.State != "restarting" {
		return fmt.Errorf("the reboot is %q", r.State)
	}
	return nil
}

// Reboot asks Windows to restart now, once.
func (h *Host) Reboot(ctx context.Context, c procedure.Change) error {
	request := struct {
		change
		Comment string `json:"comment"`
	}{change{c}, "octopatch " + c.Run + ": reboot after updates"}
	_, err := call[rebooted](ctx, h, "reboot", request, writeLimit, nil)
	return err
}

// readied is the answer of ready.
type readied struct {
	Ready   bool          `json:"ready"`
	Waiting string        `json:"waiting"`
	Windows *windowsFacts `json:"windows"`
}

func (r *readied) check() error {
	if !r.Ready {
		return nil
	}
	if r.Windows == nil {
		return errors.New("ready, and nothing about Windows in it")
	}
	return r.Windows.check()
}

var errSilent = errors.New("no sign of life")

// Ready returns once the host runs since another boot and has been quiet. While it is down every attempt
// fails, which is what is awaited; each is given up as soon as the host goes silent.
func (h *Host) Ready(ctx context.Context, want procedure.Readiness, waiting func(string)) (procedure.Windows, error) {
	defer h.held.busy()()
	began, denied := h.clock.Now(), 0
	awaited := "the host to answer"
	if want.BootBefore != "" {
		awaited = "the host to restart"
		if err := h.clock.Sleep(ctx, min(shutdownDelay, want.Limit)); err != nil {
			return procedure.Windows{}, err
		}
	}
	for {
		left := want.Limit - h.clock.Since(began)
		if left <= 0 {
			return procedure.Windows{}, &procedure.Fault{Kind: procedure.ErrTimeout, Subject: h.name, Problem: fmt.Sprintf("waited %s for %s", procedure.Span(want.Limit.Seconds()), awaited), Remedy: "look at the host's console; raise OCTOPATCH_REBOOT_TIMEOUT if it is merely slow"}
		}
		r, err := h.readyOnce(ctx, want, left, func(what string) { awaited = what; waiting(what) })
		pause := readyPause
		switch {
		case ctx.Err() != nil:
			return procedure.Windows{}, context.Cause(ctx)
		case err == nil && r.Ready:
			return r.Windows.windows(), nil
		case err == nil:
			awaited = r.Waiting
			continue
		case errors.Is(err, procedure.ErrDenied) && want.BootBefore != "":
			if denied++; denied >= deniedTries {
				h.refused.Store(&err) // nobody tries this login any more, whatever is left to be done
				return procedure.Windows{}, err
			}
			awaited, pause = "the host to accept the login again", deniedPause
		case !procedure.Transient(err):
			return procedure.Windows{}, err
		default:
			awaited = "the host to answer"
		}
		waiting(awaited)
		if err := h.clock.Sleep(ctx, min(pause, max(left, 0))); err != nil {
			return procedure.Windows{}, err
		}
	}
}

// readyOnce is one command: it waits on the host, and is given up when the host goes silent.
func (h *Host) readyOnce(ctx context.Context, want procedure.Readiness, left time.Duration, waiting func(string)) (readied, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := h.clock.AfterFunc(firstSign, func() { cancel(errSilent) })
	defer timer.Stop()
	limit := min(left, readyTime+want.Quiet)
	request := struct {
		BootBefore string `json:"bootBefore"`
		Quiet      int64  `json:"quiet"`
		Limit      int64  `json:"limit"`
	}{want.BootBefore, seconds(want.Quiet), seconds(limit)}
	r, err := call[readied](ctx, h, "ready", request, limit+readLimit, func(raw json.RawMessage) {
		timer.Reset(h.clock.Wall(nextSign))
		if s, ok := sign[readied](raw); ok && s.Waiting != "" {
			waiting(s.Waiting)
		}
	})
	if errors.Is(err, errSilent) {
		err = &procedure.Fault{Kind: procedure.ErrNoReply, Subject: h.name, Problem: "the host went silent", Cause: errSilent, Remedy: "wait for it to come back"}
	}
	return r, err
}
