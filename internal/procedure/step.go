package procedure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
)

// Step is what a phase works with: one node of one run, and the ways to reach it.
type Step struct {
	Run      string
	Phase    string
	Topology Topology
	Rules    Rules
	Clock    clock.Clock
	Cluster  Cluster // Octopus through OCTOPUS_URL
	Near     Cluster // Octopus through the node's own URL; nil when it has none
	Server   Server
	Host     Host
	Node     string                               // Octopus' node name
	Instance Instance                             // what runs on the host
	Services []string                             // every Octopus Server service that stops for this node
	KeepCopy func(context.Context, Journal) error // keeps the journal elsewhere, before a revert rewinds it
	Relock   func(context.Context) error          // takes the lease of the host again, after a revert has rewound it
	Machine  Machine                              // for the provider
	Provider Provider                             // takes the precaution; nil where none is taken
	Patcher  Patcher                              // patches instead of Windows Update; nil where Windows Update does
	Book     *Book                                // the node's journal
	Report   *NodeReport
	// Reverting: recover has come past every guard and changes something; nothing it says from then on is a refusal.
	Reverting bool
	Notice    *Notice // filled by schedule
	// GoneOn: an earlier process has begun the run, and may have been over the node already.
	GoneOn  bool
	Deadman Deadman // how stop arms the host's dead-man switch
	Tell    func(Event)

	healthy bool            // start has proved it
	unheard bool            // the host does not answer, and is about to be reverted
	warned  map[string]bool // what was warned of once already
}

// octopus is the way to Octopus that does not depend on the load balancer's view of this node: on a drained
// single server the balancer has no healthy member left.
func (s *Step) octopus() Cluster {
	if s.Topology == Single && s.Near != nil {
		return s.Near
	}
	return s.Cluster
}

func (s *Step) say(e Event) {
	e.Run, e.Node, e.Phase, e.Time = s.Run, s.Node, s.Phase, s.Clock.Now()
	s.Tell(e)
}

func (s *Step) progress(format string, a ...any) {
	s.say(Event{Type: Progress, Message: fmt.Sprintf(format, a...)})
}

func (s *Step) warn(format string, a ...any) {
	s.say(Event{Type: Warning, Message: fmt.Sprintf(format, a...)})
}

// warnOnce warns of what a repeated question would find again and again.
func (s *Step) warnOnce(format string, a ...any) {
	if !s.warned[format] {
		if s.warned == nil {
			s.warned = map[string]bool{}
		}
		s.warned[format] = true
		s.warn(format, a...)
	}
}

// awaited names a wait: what for, how often to ask and for how long at most.
type awaited struct {
	what  string
	every time.Duration
	limit time.Duration
	told  time.Duration // the limit as the operator has set it, where the wait has a grace on top; 0: limit
}

// await asks until the answer is yes. A state that cannot be read is asked for again, for patienceRead at
// most; denied access ends the wait at once, since asking again could lock the account.
func (s *Step) await(ctx context.Context, w awaited, ask func(context.Context) (done bool, what string, err error)) error {
	began := s.Clock.Now()
	lastRead, next := began, began
	for {
		done, what, err := ask(ctx)
		now := s.Clock.Now()
		switch {
		case err == nil && done:
			return nil
		case err == nil:
			lastRead = now
		case !Transient(err) || now.Sub(lastRead) >= patienceRead:
			return err
		default:
			what = "an answer (" + err.Error() + ")"
		}
		if what == "" {
			what = w.what
		}
		if now.Sub(began) >= w.limit {
			return &Fault{Kind: ErrTimeout, Subject: s.Node, Problem: fmt.Sprintf("waited %s for %s", Span(w.limit.Seconds()), what), Cause: err}
		}
		s.say(Event{Type: Waiting, WaitingFor: what, Since: began, Seconds: now.Sub(began).Seconds(), Limit: cmp.Or(w.told, w.limit).Seconds()})
		// On a grid, so that the time that the questions take does not add up.
		if next = next.Add(w.every); next.Before(s.Clock.Now()) {
			next = s.Clock.Now().Add(w.every)
		}
		if err := s.Clock.Sleep(ctx, next.Sub(s.Clock.Now())); err != nil {
			return err
		}
	}
}

// Transient reports whether an error may go away by asking again: the world did not answer, or not clearly.
func Transient(err error) bool {
	return errors.Is(err, ErrNoReply) || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrUnreadable)
}

// settle makes a change that is harmless to repeat, and asks the world whether it holds: after a lost reply
// the truth is asked for, never inferred. It repeats the change only when the world says that it does not hold.
func (s *Step) settle(ctx context.Context, what string, change func(context.Context) error, holds func(context.Context) (bool, error)) error {
	const tries = 3
	for try := 1; ; try++ {
		changeErr := change(ctx)
		if changeErr != nil && !Transient(changeErr) {
			return changeErr
		}
		var ok bool
		err := s.await(ctx, awaited{what: what + " to be confirmed", every: sampleEvery, limit: patienceRead}, func(ctx context.Context) (bool, string, error) {
			var err error
			ok, err = holds(ctx)
			return true, "", err
		})
		switch {
		case err != nil:
			return &Fault{Kind: ErrUnreadable, Subject: s.Node, Problem: "it cannot be read whether this took effect: " + what, Cause: errors.Join(changeErr, err)}
		case ok:
			if changeErr != nil {
				s.warn("the answer to %q was lost; asked afterwards, it had taken effect", what)
			}
			return nil
		case try == tries:
			return &Fault{Subject: s.Node, Problem: "did not take effect: " + what, Cause: changeErr}
		}
		s.warn("%q had not taken effect; trying again", what)
	}
}

// intend writes what is about to be done into the journal on the host, and into the runner's copy alone where the host
// is past answering. When that fails nothing is done.
func (s *Step) intend(ctx context.Context, what string) error {
	change := s.Book.Next(s.Phase, what)
	if s.unheard {
		return s.Book.Save()
	}
	err := s.insist(ctx, func() error {
		journal, err := s.Host.Record(ctx, change)
		if err == nil {
			err = s.Book.Took(journal)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("the intent %q could not be written to the host, so it was not begun: %w", what, err)
	}
	return nil
}

// insist asks up to three times for what is harmless to repeat, while nothing is answered.
func (s *Step) insist(ctx context.Context, ask func() error) error {
	for try := 1; ; try++ {
		err := ask()
		if err == nil || !Transient(err) || try == 3 {
			return err
		}
		if sleepErr := s.Clock.Sleep(ctx, sampleEvery); sleepErr != nil {
			return sleepErr
		}
	}
}
