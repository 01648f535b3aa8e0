package winhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

const (
	followTime   = 15 * time.Minute // one command streams progress for that long
	launchTime   = 6 * time.Minute  // until the task has begun
	reconnect    = 10 * time.Second // pause before the next attempt after a fault
	lookTime     = 10 * time.Second // long enough to see that a task no longer runs
	launches     = 3                // how often a worker that is not there is started
	defaultStall = 30 * time.Minute
)

// followRequest goes on with a job from the line that was seen last.
type followRequest struct {
	Job    string `json:"job"`
	Line   int    `json:"line"`
	Follow int64  `json:"follow"`
	Keep   bool   `json:"keep"`
}

// workRequest starts a job, unless it runs already, and follows it.
type workRequest struct {
	followRequest
	Change *procedure.Change `json:"change"` // null when no run is open
	Mode   string            `json:"mode"`
	Filter filterRequest     `json:"filter"`
	Worker string            `json:"worker"` // the worker's text
}

type filterRequest struct {
	Classifications []string `json:"classifications"`
	Include         []string `json:"include"`
	Exclude         []string `json:"exclude"`
	Source          string   `json:"source"`
}

// followed is the answer of work and follow.
type followed struct {
	State  string                `json:"state"` // done, running, died, gone
	Line   int                   `json:"line"`
	Code   string                `json:"code"`
	Result *procedure.WorkResult `json:"result"`
}

func (f *followed) check() error {
	switch f.State {
	case "done":
		if f.Result == nil {
			return errors.New("done, and no result in it")
		}
		return nil
	case "running", "died", "gone":
		return nil
	}
	return fmt.Errorf("the worker's state is %q", f.State)
}

// workSign is a progress line: what the worker says, or that Windows' own installer is at work.
type workSign struct {
	Line  int                     `json:"line"`
	Work  *procedure.WorkProgress `json:"work"`
	Alive string                  `json:"alive"`
}

// errStuck ends a command during which nothing has moved for too long.
var errStuck = errors.New("no sign of progress")

// follower is one job that is followed through as many commands as it takes.
type follower struct {
	*Host
	order    procedure.WorkOrder
	change   *procedure.Change
	progress func(procedure.WorkProgress)
	line     int
	moved    time.Time // when it last showed progress
}

// Work has the worker do the order. The worker lives on the host: when the connection breaks it is followed
// again from the line that was seen last. When nothing moves for the stall limit, that is ErrTimeout if the
// host answered and ErrNoReply if it did not.
func (h *Host) Work(ctx context.Context, c procedure.Change, order procedure.WorkOrder, progress func(procedure.WorkProgress)) (procedure.WorkResult, error) {
	f := &follower{Host: h, order: order, progress: progress, moved: h.clock.Now()}
	if f.order.Stall <= 0 {
		f.order.Stall = defaultStall
	}
	if c.Run != "" {
		f.change = &c
	}
	launched := 1
	answer, err := f.launch(ctx)
	for {
		switch {
		case err == nil && answer.State == "done":
			return f.result(*answer.Result)
		case err == nil && answer.State == "died":
			return f.died(answer.Code), nil
		case err == nil && answer.State == "gone":
			// The request never came through, or its answer got lost and its traces are cleared already.
			if launched == launches {
				return procedure.WorkResult{}, &procedure.Fault{Kind: procedure.ErrNoReply, Subject: h.name, Problem: fmt.Sprintf("the worker was started %d times and left no trace", launched), Remedy: "look whether something on the host removes the task or the folder of octopatch"}
			}
			launched++
			answer, err = f.launch(ctx)
			continue
		case err != nil && (!procedure.Transient(err) || ctx.Err() != nil):
			return procedure.WorkResult{}, err
		case h.clock.Since(f.moved) >= f.order.Stall:
			answer, err = f.look(ctx)
			if err == nil && answer.State != "running" {
				continue // it ended in silence
			}
			return procedure.WorkResult{}, f.stuck(err)
		}
		if err != nil {
			if err := h.clock.Sleep(ctx, reconnect); err != nil {
				return procedure.WorkResult{}, err
			}
		}
		answer, err = f.follow(ctx)
	}
}

func (f *follower) launch(ctx context.Context) (followed, error) {
	return f.ask(ctx, "work", workRequest{
		followRequest: f.request(), Change: f.change, Mode: f.order.Mode, Worker: scripts.Text("worker"),
		Filter: filterRequest{some(f.order.Filter.Classifications), some(f.order.Filter.Include), some(f.order.Filter.Exclude), f.order.Filter.Source},
	}, launchTime+followTime+readLimit)
}

func (f *follower) follow(ctx context.Context) (followed, error) {
	return f.ask(ctx, "follow", f.request(), followTime+readLimit)
}

// look asks once more before the worker counts as stuck: it may have ended in silence, and whether the host
// still answers decides between stuck and unknown.
func (f *follower) look(ctx context.Context) (followed, error) {
	request := f.request()
	request.Follow = seconds(lookTime)
	return call[followed](ctx, f.Host, "follow", request, readLimit, nil)
}

func (f *follower) request() followRequest {
	return followRequest{Job: f.order.Job, Line: f.line, Follow: seconds(followTime), Keep: f.order.Keep}
}

// ask runs one command and ends it when nothing has moved for the stall limit, whatever the host does.
func (f *follower) ask(ctx context.Context, script string, request any, limit time.Duration) (followed, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	left := max(f.order.Stall-f.clock.Since(f.moved), time.Second)
	timer := f.clock.AfterFunc(left, func() { cancel(errStuck) })
	defer timer.Stop()
	answer, err := call[followed](ctx, f.Host, script, request, limit, func(raw json.RawMessage) {
		s, ok := sign[workSign](raw)
		if !ok {
			return
		}
		f.moved = f.clock.Now()
		timer.Reset(f.clock.Wall(f.order.Stall))
		if s.Work != nil && s.Line > f.line {
			f.line = s.Line
			f.progress(*s.Work)
		}
	})
	if errors.Is(err, errStuck) {
		err = &procedure.Fault{Kind: procedure.ErrNoReply, Subject: f.name, Problem: "the command was ended", Cause: errStuck, Remedy: "look at the host"}
	}
	return answer, err
}

// stuck: nothing moved for the stall limit. With an error underneath it is not even known what the worker does.
func (f *follower) stuck(cause error) error {
	problem := fmt.Sprintf("the worker shows no progress for %s: no line of its own, no growth of what is downloaded or of CBS.log, no processor time of TiWorker", procedure.Span(f.order.Stall.Seconds()))
	if cause == nil {
		return &procedure.Fault{Kind: procedure.ErrTimeout, Subject: f.name, Problem: problem, Remedy: "look at the host; raise OCTOPATCH_STALL_TIMEOUT if it is merely slow"}
	}
	return &procedure.Fault{Kind: procedure.ErrNoReply, Subject: f.name, Problem: fmt.Sprintf("the host has not been heard of for %s; the worker may still be installing", procedure.Span(f.order.Stall.Seconds())), Cause: cause, Remedy: "look at the host's console; octopatch status asks again"}
}

// died is a result, since the worker is over: what it installed shows in the next search.
func (f *follower) died(code string) procedure.WorkResult {
	r := procedure.WorkResult{Job: f.order.Job, Code: code, Problem: "the worker ended without a result", Next: "look whether the host restarted by itself, and at antivirus and application control logs"}
	if m, ok := hresults[code]; ok {
		r.Problem += ": " + m.words
		r.Next = m.next
	}
	return r
}

// result puts codes into words.
// notChosen is how the worker says that an update's classification, a GUID to it, is not in OCTOPATCH_CATEGORIES.
const notChosen = "classification not chosen: "

func (f *follower) result(r procedure.WorkResult) (procedure.WorkResult, error) {
	if r.Job != f.order.Job {
		return procedure.WorkResult{}, f.unreadable("work", fmt.Errorf("the result of job %q, and %q was asked for", r.Job, f.order.Job))
	}
	if r.Code != "" || r.Problem != "" {
		m := explain(r.Code)
		r.Helps = m.helps
		if r.Next == "" { // the worker knows the way out of what it has found itself
			r.Next = m.next
		}
		if known, ok := hresults[r.Code]; ok {
			r.Problem = known.words
		}
	}
	for i := range r.Updates {
		u := &r.Updates[i]
		if guid, ok := strings.CutPrefix(u.Skip, notChosen); ok {
			u.Skip = notChosen + procedure.ClassificationName(guid)
		}
	}
	for i := range r.Outcomes {
		o := &r.Outcomes[i]
		if o.Succeeded && o.Code == "" {
			continue
		}
		m := explain(o.Code)
		o.Words, o.Next, o.Helps = m.words, m.next, m.helps
	}
	return r, nil
}
