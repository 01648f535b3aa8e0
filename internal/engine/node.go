package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// oneNode takes one node through its phases, and back into service or into a stated hold.
func (e *Engine) oneNode(ctx context.Context, t *target, topology procedure.Topology) {
	t.began = true
	t.report.Before = t.before()
	t.report.After = t.facts.Windows
	t.resume()
	t.works(true)
	defer t.works(false)
	e.rearm(ctx, t, procedure.Patch)
	phases := nodePhases()
	updates := procedure.Result{}
	if t.patchedBefore() {
		if patch := t.facts.Journal.Phases[procedure.Patch]; patch.Result != procedure.Done {
			updates = procedure.Fail(errors.New(patch.Reason))
		}
	}
	for i, p := range phases {
		if p.Name != procedure.Exit && t.patchedBefore() {
			e.skip(p, t, e.step(t, topology, p.Name), "this run has patched it before and only has to open it")
			continue
		}
		e.Rules.StopBy, e.Rules.PatchBy, e.Rules.Ends = e.latest()
		if t.facts.Journal != nil && t.facts.Journal.Host != nil { // open already: it is finished whatever the hour
			e.Rules.StopBy, e.Rules.PatchBy = time.Time{}, time.Time{}
		}
		r := e.phase(ctx, p, t, e.step(t, topology, p.Name))
		if ctx.Err() != nil && r.Kind != procedure.Done && r.Kind != procedure.Skipped {
			e.interrupt(t, topology, phases[i:])
			return
		}
		var failed *procedure.UpdatesFailed
		if errors.As(r.Err, &failed) {
			updates = r
			continue
		}
		if r.Kind == procedure.Failed || r.Kind == procedure.Unknown {
			e.endEarly(ctx, t, topology, phases[i:], r)
			e.recoverByItself(ctx, t, topology, r)
			return
		}
	}
	t.report.Result = procedure.Done
	if updates.Err != nil {
		t.report.Result, t.report.Reason = procedure.Failed, updates.Reason
	}
	e.clear(ctx, t)
}

// patchedBefore: an earlier process of this run has patched the node and started it again, and had begun to open it.
// One that was opened and fell ill is gone through once more.
func (t *target) patchedBefore() bool {
	j := t.facts.Journal
	if j == nil || j.Host == nil || !j.Host.Restored || j.Deadman != nil || !ended(*j, procedure.Start) || j.Phases[procedure.Patch].Result == "" {
		return false
	}
	exit := j.Phases[procedure.Exit].Result
	return exit == "" || exit == procedure.Done
}

// resume begins the node's report with what an earlier process of the run has done.
func (t *target) resume() {
	if j := t.facts.Journal; j != nil {
		t.report.Resume(*j)
	}
}

// before is Windows as it was before this run first changed something, which may have been in an earlier process.
func (t *target) before() procedure.Windows {
	w := t.facts.Windows
	if j := t.facts.Journal; j != nil && j.Host != nil {
		w.Boot, w.Build, w.UBR = j.Host.Boot, j.Host.Build, j.Host.UBR
	}
	return w
}

func nodePhases() []procedure.Phase {
	var list []procedure.Phase
	for _, p := range procedure.Phases() {
		if !p.Cluster {
			list = append(list, p)
		}
	}
	return list
}

// endEarly: what was changed before the service was stopped is put back; a node whose health is not proved
// stays out of service. rest begins with the phase that ended.
func (e *Engine) endEarly(ctx context.Context, t *target, topology procedure.Topology, rest []procedure.Phase, r procedure.Result) {
	t.report.Result, t.report.Reason = r.Kind, rest[0].Name+": "+r.Reason
	back := []string{}
	switch rest[0].Name {
	case procedure.Enter, procedure.Wait:
		back = []string{procedure.Exit}
	case procedure.Stop, procedure.Precaution:
		back = []string{procedure.Start, procedure.Exit}
	case procedure.Patch:
		// A hook forbade it, so nothing was patched, unless an earlier process of this run had begun to.
		if errors.Is(r.Err, procedure.ErrStopped) && !t.patchBegan() {
			back = []string{procedure.Start, procedure.Exit}
		}
	}
	vetoed := rest[0].Name == procedure.Patch && len(back) > 0
	t.stopped = errors.Is(r.Err, procedure.ErrStopped)
	for _, p := range rest[1:] {
		if len(back) == 0 || p.Name != back[0] {
			e.skip(p, t, e.step(t, topology, p.Name), fmt.Sprintf("not reached: %s ended as %s", rest[0].Name, r.Kind))
			continue
		}
		back = back[1:]
		if p.Name == procedure.Exit && !t.book.Octopus().OursDrain && !t.book.Octopus().OursMaint {
			step := e.step(t, topology, p.Name)
			step.EndPrecaution(ctx)
			e.skip(p, t, step, "nothing of ours is to be undone")
			continue
		}
		undo := e.phase(ctx, p, t, e.step(t, topology, p.Name))
		if undo.Kind == procedure.Failed || undo.Kind == procedure.Unknown {
			t.report.Result, t.report.Reason = worse(r.Kind, undo.Kind), t.report.Reason+"; putting it back: "+undo.Reason
			t.stopped, back = false, nil
			e.hold(ctx, t, p.Name)
		}
	}
	switch {
	case vetoed && !t.held:
		e.clear(ctx, t)
	case vetoed:
	case rest[0].Name == procedure.Exit:
		e.closeAgain(ctx, t, topology)
		e.hold(ctx, t, rest[0].Name)
	case rest[0].Name == procedure.Patch, rest[0].Name == procedure.Start:
		e.hold(ctx, t, rest[0].Name)
	default:
		if !t.held {
			e.clear(ctx, t)
		}
	}
}

// closeAgain takes a node out of service that was opened and is not healthy after all; not after an interrupt, for there
// is no time for it, and the next run does.
func (e *Engine) closeAgain(ctx context.Context, t *target, topology procedure.Topology) {
	if !t.book.Octopus().Released || ctx.Err() != nil {
		return
	}
	if err := e.step(t, topology, procedure.Exit).CloseAgain(ctx); err != nil {
		e.warn(t.name, "it was opened, is not healthy, and could not be taken out of service again: %v", err)
	}
}

func worse(a, b procedure.Kind) procedure.Kind {
	if a == procedure.Unknown || b == procedure.Unknown {
		return procedure.Unknown
	}
	return procedure.Failed
}

// hold leaves the node out of service, with its journal and without its dead-man switch, and names the command that
// goes on from here.
func (e *Engine) hold(ctx context.Context, t *target, phase string) {
	t.held = true
	note := t.book.Next(phase, procedure.Held+t.report.Reason)
	t.report.Next = e.goOn(t)
	_ = t.book.Save() // keep says it where it cannot
	err := e.tellHost(ctx, func() error { _, err := t.host.Arm(ctx, note, procedure.Deadman{Off: true}); return err })
	if err != nil {
		e.warn(t.name, "why it is held could not be written to the host: %v", err)
	}
}

// tellHost makes a call that may be repeated, three times where the host does not answer.
func (e *Engine) tellHost(ctx context.Context, call func() error) error {
	var err error
	for range 3 {
		if err = call(); err == nil || !procedure.Transient(err) || e.Clock.Sleep(ctx, probeEvery) != nil {
			break
		}
	}
	return err
}

// patchBegan: this run has asked the host for an installation before.
func (t *target) patchBegan() bool {
	return t.facts.Journal != nil && t.facts.Journal.PatchBegan()
}

// goOn is the one command that goes on with a node after a phase ended badly: run, which knows by itself where, and of
// a phase that was run alone the next one, as octopatch status says as well.
func (e *Engine) goOn(t *target) string {
	if !e.alone || t.report.Busy != "" {
		return procedure.GoOn
	}
	return t.book.Journal().Alone()
}

// clear removes what is ours from the host once nothing of ours is left to undo.
func (e *Engine) clear(ctx context.Context, t *target) {
	e.dropCopies(ctx, t)
	err := e.tellHost(ctx, func() error { return t.host.Clear(ctx, t.book.Journal().Run) })
	if err == nil {
		_ = t.book.Save() // the runner's copy is that of a run that has ended; keep says it where it cannot
		return
	}
	e.warn(t.name, "octopatch's folder and tasks could not be removed from the host: %v; nothing else is left to do there, and the next octopatch run removes them (or: %s)", err, byHand)
	if j := t.book.Journal(); !j.Finished() {
		return
	}
	note := t.book.Next(procedure.Exit, "ended; only the folder is left") // so that whoever comes next knows
	_ = t.book.Save()                                                     // keep says it where it cannot
	if _, err := t.host.Record(ctx, note); err != nil {
		e.warn(t.name, "that this run has ended could not be written to the host either; the next one looks at its health once more")
	}
}

// undoLimit is how long an interrupted run may take to undo what it did and to let its leases go, in wall time: the
// runner may be killed soon after.
const undoLimit = 4500 * time.Millisecond

// graceful is a context that goes on for undoLimit after ctx was interrupted.
func graceful(ctx context.Context) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(undoLimit, cancel)
		context.AfterFunc(later, func() { timer.Stop() })
	})
	return later, func() { stop(); cancel() }
}

// interrupt: before the service is stopped the node is released; after that it stays as it is, resumable.
func (e *Engine) interrupt(t *target, topology procedure.Topology, rest []procedure.Phase) {
	t.report.Result, t.report.Reason = procedure.Failed, fmt.Sprintf("interrupted in %s", rest[0].Name)
	ctx, released := e.grace, false
	intent := t.book.Journal().Intent
	unstopped := rest[0].Name == procedure.Stop && (intent == nil || intent.Phase != procedure.Stop) // nothing was asked of the host yet
	early := rest[0].Name == procedure.Enter || rest[0].Name == procedure.Wait || unstopped
	if early && t.book.Journal().Host == nil { // nor has an earlier process of the run come further
		if err := e.step(t, topology, procedure.Exit).Release(ctx); err == nil {
			released = true
			e.clear(ctx, t)
		} else {
			e.warn(t.name, "what this run did could not be undone in time: %v", err)
		}
	}
	for _, p := range rest[1:] {
		if p.Name == procedure.Exit && released {
			e.ended(p, t, e.step(t, topology, p.Name), procedure.Result{Kind: procedure.Done, Reason: "undone after the interrupt"}, e.Clock.Now().Unix(), true)
			continue
		}
		e.skip(p, t, e.step(t, topology, p.Name), "not reached: interrupted")
	}
	if !released {
		e.leave(ctx, t, rest[0].Name)
	}
}

// leave is what becomes of a node when the run is interrupted: its journal says where it stands, and the dead-man
// switch stays armed.
func (e *Engine) leave(ctx context.Context, t *target, phase string) {
	t.held = true
	note := t.book.Next(phase, t.report.Reason)
	t.report.Next = e.goOn(t)
	if _, err := t.host.Record(ctx, note); err != nil {
		e.warn(t.name, "where it stands could not be written to the host: %v", err)
	}
}
