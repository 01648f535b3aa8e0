package procedure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

var wait = Phase{
	Name:   Wait,
	Single: "Wait for any remaining Octopus Tasks to complete by watching the Configuration > Nodes page",
	HA:     "Wait for any remaining Octopus Tasks on that node to complete",
	Limit:  func(r Rules) time.Duration { return r.DrainTimeout + cancelLimit + 5*time.Minute },
	Done:   func(_ context.Context, s *Step) (string, error) { return s.stoppedBefore(), nil },
	Do: func(ctx context.Context, s *Step) error {
		w := &drainWait{Step: s, entered: time.Unix(s.Book.Octopus().EnteredAt, 0), began: s.Clock.Now(), told: map[string]bool{}}
		if s.Book.Octopus().EnteredAt == 0 {
			return &Fault{Kind: ErrRefused, Subject: s.Node, Problem: "nothing was entered yet", Remedy: "run octopatch enter first"}
		}
		if s.Topology == Single {
			if err := w.queueRunsEmpty(ctx); err != nil {
				return err
			}
			if err := s.holdQueue(ctx); err != nil {
				return err
			}
			w.entered = s.Clock.Now()
			return s.balanced(w.nodeRunsEmpty(ctx))
		}
		return w.nodeRunsEmpty(ctx)
	},
}

// holdQueue drains a single server, so that it takes nothing new from its queue. The flag itself is asked: a
// journal may hold the intent of a call that was never made.
func (s *Step) holdQueue(ctx context.Context) error {
	drained, err := s.isDrained(ctx)
	if err != nil || drained {
		return err
	}
	return s.balanced(s.drain(ctx))
}

// balanced explains an Octopus that falls silent once its only node is drained: a load balancer takes a drained
// node out, and the queue of a server that nobody can see cannot be awaited. What was done is put back.
func (s *Step) balanced(err error) error {
	if err == nil || s.Near != nil || !Transient(err) || errors.Is(err, ErrStopped) {
		return err
	}
	return &Fault{Kind: ErrStopped, Subject: "OCTOPATCH_NODE_URLS", Problem: "OCTOPUS_URL does not answer while the only node is drained, as behind a load balancer, and the node has no URL of its own", Cause: err,
		Remedy: "set OCTOPATCH_NODE_URLS=" + s.Node + "=https://… to the node's own address"}
}

// cancelLimit is how long tasks may take to end after they were asked to cancel at the end of the drain limit.
const cancelLimit = 10 * time.Minute

// drainWait is one wait for the tasks of a node.
type drainWait struct {
	*Step
	entered   time.Time // when Maintenance Mode or drain mode was on
	began     time.Time
	told      map[string]bool // what was said once already
	state     NodeState       // the node as last read
	cancelled bool
	blind     int // samples in a row in which the node ran tasks that the list does not show
	calm      int // idle samples in a row
}

// queueRunsEmpty lets the queue of a single server run until what was due when Maintenance Mode came on is
// done, or half of the drain limit is over. Maintenance Mode alone does not hold the queue.
func (w *drainWait) queueRunsEmpty(ctx context.Context) error {
	if w.Rules.Queued == QueuedHold {
		return nil
	}
	half := w.Rules.DrainTimeout / 2
	return w.await(ctx, awaited{what: "queued and running tasks", every: pollEvery, limit: w.Rules.DrainTimeout}, func(ctx context.Context) (bool, string, error) {
		l, err := w.look(ctx, func(l load) bool { return len(l.must)+len(l.queued) == 0 })
		if err != nil {
			return false, "", err
		}
		if err := w.inTime(l); err != nil {
			return false, "", err
		}
		if len(l.later) > 0 {
			w.once("later", "not awaited, they are queued for later: %s", Names(l.later))
		}
		open := append(append([]Task{}, l.must...), l.queued...)
		if len(open) == 0 && l.unseen == 0 {
			return true, "", nil
		}
		if w.Clock.Since(w.began) >= half {
			w.warn("half of the drain limit is over; the queue is held now, still open: %s", Names(open))
			return true, "", nil
		}
		return false, Names(open), nil
	})
}

// nodeRunsEmpty waits until the node works on nothing that must be waited for: settleAfter has passed since
// it was drained, and two samples in a row are idle.
func (w *drainWait) nodeRunsEmpty(ctx context.Context) error {
	return w.await(ctx, awaited{what: "tasks on the node", every: pollEvery, limit: w.Rules.DrainTimeout + cancelLimit, told: w.Rules.DrainTimeout}, w.sample)
}

// sample is one look; it enforces the drain limit and the rule for tasks that wait for a human.
func (w *drainWait) sample(ctx context.Context) (bool, string, error) {
	rest := settleAfter - w.Clock.Since(w.entered)
	l, err := w.look(ctx, func(l load) bool { return rest <= 0 && len(w.holding(l)) == 0 })
	if err != nil {
		return false, "", err
	}
	if err := w.interruptions(ctx, &l); err != nil {
		return false, "", err
	}
	if err := w.inTime(l); err != nil {
		return false, "", err
	}
	if l.idle() {
		w.blind = 0
		if rest > 0 {
			return false, "the node's next look at the queue, so that it surely takes no new task", nil
		}
		w.calm++
		return w.calm >= 2, "a second idle sample", nil
	}
	w.calm = 0
	if w.Clock.Since(w.began) >= w.Rules.DrainTimeout {
		if err := w.overdue(ctx, l); err != nil {
			return false, "", err
		}
	}
	if err := w.seesEnough(l); err != nil {
		return false, "", err
	}
	what := l.holdups()
	if w.cancelled {
		what += fmt.Sprintf(" (the drain limit is over; they were asked to cancel, and have %s more to end)", Span(cancelLimit.Seconds()))
	}
	return false, what, nil
}

// inTime ends the wait once there is no time left for what follows it, whether or not the node has just become idle.
func (w *drainWait) inTime(l load) error {
	open := ""
	if !l.idle() {
		open = "; still open: " + l.holdups()
	}
	return w.tooLate(w.Rules.StopBy, open)
}

// tooLate is the fault of a node that cannot be back in service before the end any more; nil while there is time.
func (s *Step) tooLate(by time.Time, more string) error {
	if by.IsZero() || !s.Clock.Now().After(by) {
		return nil
	}
	return &Fault{Kind: ErrStopped, Subject: s.Node, Problem: s.Rules.Ends + " leaves no time to patch it any more" + more, Remedy: "begin earlier, or let it last longer"}
}

// holding lists the tasks that are awaited by the rule for those that wait for a human.
func (w *drainWait) holding(l load) []Task {
	if w.Rules.Interruptions == InterruptionsIgnore {
		return without(l.must, l.waiting)
	}
	return l.must
}

// look reads the tasks, and the node's own count only where the tasks make it matter: while it waits, one
// request a look is enough.
func (w *drainWait) look(ctx context.Context, countMatters func(load) bool) (load, error) {
	tasks, err := w.octopus().Tasks(ctx)
	if err != nil {
		return load{}, err
	}
	if w.state.Name == "" {
		if w.state, err = w.node(ctx); err != nil {
			return load{}, err
		}
	}
	known := w.state
	known.Running = 0
	l := weigh(known, tasks, w.entered, w.Rules)
	if countMatters(l) {
		if w.state, err = w.node(ctx); err != nil {
			return load{}, err
		}
		l = weigh(w.state, tasks, w.entered, w.Rules)
	}
	if len(l.ignored) > 0 {
		w.once("ignored", "not awaited, system tasks can stop at any time: %s", Names(l.ignored))
	}
	if len(l.paused) > 0 {
		w.once("paused", "waiting for a human, they resume on this node once it is back: %s", Names(l.paused))
	}
	return l, nil
}

func (w *drainWait) once(key, format string, a ...any) {
	if !w.told[key] {
		w.told[key] = true
		w.progress(format, a...)
	}
}

// seesEnough refuses to go on with a key that does not see what the node runs: three samples 10 s apart.
func (w *drainWait) seesEnough(l load) error {
	if l.unseen == 0 || len(l.must) > 0 {
		w.blind = 0
		return nil
	}
	w.blind++
	if w.blind < 3 {
		return nil
	}
	return &Fault{Kind: ErrStopped, Subject: w.Node, Problem: fmt.Sprintf("runs %d tasks that this key cannot see", l.unseen),
		Remedy: "use a key of an account with the System Administrator role in all spaces"}
}

// interruptions applies OCTOPATCH_INTERRUPTIONS to the executing tasks that wait for a human.
func (w *drainWait) interruptions(ctx context.Context, l *load) error {
	if len(l.waiting) == 0 {
		return nil
	}
	switch w.Rules.Interruptions {
	case InterruptionsWait:
		w.once("interruptions", "waiting for a human: %s", Names(l.waiting))
	case InterruptionsIgnore:
		w.once("interruptions", "not awaited although they wait for a human: %s", Names(l.waiting))
		l.must = w.holding(*l)
	case InterruptionsCancel:
		return w.cancel(ctx, l.waiting)
	default:
		return &Fault{Kind: ErrStopped, Subject: w.Node, Problem: "tasks on it wait for a human: " + Names(l.waiting),
			Remedy: "answer them, or set OCTOPATCH_INTERRUPTIONS to wait, ignore or cancel"}
	}
	return nil
}

// overdue applies OCTOPATCH_ON_DRAIN_TIMEOUT.
func (w *drainWait) overdue(ctx context.Context, l load) error {
	over := &Fault{Kind: ErrStopped, Subject: w.Node, Problem: fmt.Sprintf("tasks did not complete within %s: %s", Span(w.Rules.DrainTimeout.Seconds()), l.holdups()),
		Remedy: "raise OCTOPATCH_DRAIN_TIMEOUT, or let OCTOPATCH_ON_DRAIN_TIMEOUT=cancel cancel them"}
	if w.Rules.OnDrainTimeout != DrainCancel || w.Clock.Since(w.began) >= w.Rules.DrainTimeout+cancelLimit {
		return over
	}
	tasks := l.must
	if w.cancelled { // those that came since are not ours to cancel
		tasks = slices.DeleteFunc(slices.Clone(tasks), func(t Task) bool { _, asked := w.told["cancel "+t.ID]; return !asked })
	}
	w.cancelled = true
	return w.cancel(ctx, tasks)
}

// cancel asks Octopus to cancel tasks, once each unless nothing was answered; whether they end is seen by the next sample.
func (w *drainWait) cancel(ctx context.Context, tasks []Task) error {
	for _, t := range tasks {
		if w.told["cancel "+t.ID] || t.State == "Cancelling" {
			continue
		}
		w.told["cancel "+t.ID] = true
		if err := w.intend(ctx, "cancel "+t.ID); err != nil {
			return err
		}
		w.warn("cancelling %s", t)
		err := w.octopus().CancelTask(ctx, t.ID)
		if err != nil && !Transient(err) {
			return err
		}
		if err != nil { // the next sample shows whether it arrived
			w.told["cancel "+t.ID] = false
		}
	}
	return nil
}

// without returns the tasks of all that are not in some.
func without(all, some []Task) []Task {
	return slices.DeleteFunc(slices.Clone(all), func(t Task) bool {
		return slices.ContainsFunc(some, func(u Task) bool { return u.ID == t.ID })
	})
}
