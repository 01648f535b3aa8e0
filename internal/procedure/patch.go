package procedure

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

var patch = Phase{
	Name:   Patch,
	Single: "Apply patches and reboot as required",
	HA:     "Apply patches and reboot as required",
	Limit: func(r Rules) time.Duration {
		return time.Duration(r.MaxRounds)*4*time.Hour + time.Duration(r.MaxReboots)*r.RebootTimeout
	},
	// The precaution may have taken long, and until here nothing was changed that is not put back.
	Done: func(_ context.Context, s *Step) (string, error) { return "", s.tooLate(s.Rules.PatchBy, "") },
	Do:   func(ctx context.Context, s *Step) error { return (&rounds{Step: s}).run(ctx) },
}

// UpdatesFailed says that updates failed although the host is fine: the node goes back into service, and its
// result is failed.
type UpdatesFailed struct{ Outcomes []UpdateOutcome }

func (e *UpdatesFailed) Error() string {
	var parts []string
	for _, o := range e.Outcomes {
		parts = append(parts, o.String())
	}
	return "updates failed: " + strings.Join(parts, "; ")
}

// String names the update, what happened and what to do next.
func (o UpdateOutcome) String() string {
	text := label(o.KBs, o.Title) + ": " + o.Words
	if o.Code != "" {
		text += " (" + o.Code + ")"
	}
	if o.Next != "" {
		text += ", next: " + o.Next
	}
	return text
}

func label(kbs []string, title string) string {
	if len(kbs) == 0 {
		return title
	}
	return "KB" + strings.Join(kbs, ", KB")
}

// windowsUpdate stands for what concerns no single update.
const windowsUpdate = "Windows Update"

// rounds is the loop of search, install and reboot until nothing is left.
type rounds struct {
	*Step
	reboots   int
	installed []string // update ids that Windows reported as installed in an earlier round
	failed    []UpdateOutcome
	retried   bool // a reboot was tried against a failure since the last round that went well
}

func (r *rounds) run(ctx context.Context) error {
	facts, err := r.Host.Probe(ctx)
	if err != nil {
		return err
	}
	r.remember(facts.Windows)
	r.reboots = r.Report.Reboots // of an earlier process of this run
	if err := r.staysStopped(ctx, facts); err != nil {
		return err
	}
	if len(facts.Pending) > 0 && !r.begunBefore() {
		if r.Rules.Reboot == RebootNever {
			return r.patched(ctx, "a reboot was pending before: "+strings.Join(facts.Pending, ", "))
		}
		r.progress("a reboot is pending already (%s); rebooting first", strings.Join(facts.Pending, ", "))
		if err := r.reboot(ctx); err != nil {
			return err
		}
	}
	if r.Patcher != nil {
		return r.byCommand(ctx)
	}
	for round := 1; round <= r.Rules.MaxRounds; round++ {
		more, err := r.round(ctx, round)
		if err != nil {
			return err
		}
		if !more {
			return r.patched(ctx, "")
		}
	}
	r.fail(UpdateOutcome{Title: windowsUpdate, Words: fmt.Sprintf("still offers updates after %d rounds", r.Rules.MaxRounds), Next: "look at the host's update history, or raise OCTOPATCH_MAX_ROUNDS"})
	return r.patched(ctx, "")
}

// staysStopped stops the services again when something that is not a watchdog of Octopus has started them:
// they must not run while their files and their system change.
func (r *rounds) staysStopped(ctx context.Context, facts HostFacts) error {
	for _, i := range facts.Instances {
		if i.Service.State == "Stopped" || !slices.Contains(r.Services, i.Service.Name) {
			continue
		}
		r.warn("service %q was started again by something on the host; stopping it once more", i.Service.Name)
		r.Book.Octopus().StartBegan = true // so that a revert takes back what it wrote
		return r.changeServices(ctx, "stop "+quoted(r.Services)+" again", func(ctx context.Context, c Change) (Journal, error) {
			return r.Host.Stop(ctx, c, StopOrder{Services: r.Services, Ran: r.ran(), Limit: stopLimit})
		}, "Stopped")
	}
	return nil
}

// remember keeps what Windows was before the first change of this run.
func (r *rounds) remember(w Windows) {
	if r.Report.Before.Boot == "" {
		r.Report.Before = w
	}
	r.Report.After = w
}

// round is one search and installation, and the reboot that it asks for; more says that another must follow.
func (r *rounds) round(ctx context.Context, n int) (more bool, err error) {
	job := fmt.Sprintf("%s-%s-%d", r.Run, WorkInstall, r.Book.Journal().Counter+1)
	begunBefore := r.begunBefore()
	if begunBefore {
		r.progress("going on with the installation that an earlier process has begun")
		job = r.Book.Journal().Intent.Job // it may still be at work, or its result is there
	}
	order := WorkOrder{Job: job, Mode: WorkInstall, Filter: r.Rules.Filter, Keep: true, Stall: r.Rules.StallTimeout}
	boot := r.Report.After.Boot
	if begunBefore {
		boot = r.Book.Journal().Intent.Boot
	}
	change := r.Book.NextJob(Patch, fmt.Sprintf("install updates, round %d", n), job, boot)
	if err := r.Book.Save(); err != nil {
		return false, err
	}
	result, err := r.Host.Work(ctx, change, order, r.follow)
	if err != nil {
		return false, err
	}
	r.Book.JobEnded()
	r.Report.Add(result)
	defer r.brought()
	for _, w := range result.Warnings {
		r.warn("Windows Update warns: %s", w)
	}
	if result.Code != "" || result.Problem != "" {
		if again, err := r.restartedByItself(ctx, result); again || err != nil {
			return again, err
		}
		r.fail(UpdateOutcome{Title: windowsUpdate, Code: result.Code, Words: result.Problem, Next: result.Next, Helps: result.Helps})
	} else {
		r.forget(UpdateOutcome{Title: windowsUpdate})
	}
	progress := r.judge(result)
	if result.asks(HelpsRestart) {
		return true, r.goesDown(ctx)
	}
	// What a reboot helps against is tried once more after it, and not again before something went well.
	r.retried = r.retried && !progress
	retry := result.asks(HelpsReboot) && !r.retried
	if !result.Reboot && !retry {
		return progress, nil
	}
	if r.Rules.Reboot == RebootNever {
		return false, nil
	}
	if begunBefore {
		if done, err := r.rebootedSince(ctx, boot); done || err != nil {
			return true, err
		}
	}
	r.retried = r.retried || retry
	progress = progress || retry
	if r.reboots >= r.Rules.MaxReboots {
		r.fail(UpdateOutcome{Title: windowsUpdate, Words: fmt.Sprintf("asks for more than %d reboots", r.Rules.MaxReboots), Next: "look at the host's update history, or raise OCTOPATCH_MAX_REBOOTS"})
		return false, nil
	}
	// What an earlier process installed may not be told any more, and more may be offered after its reboot.
	return progress || begunBefore, r.reboot(ctx)
}

// brought notes for whoever goes on what came of it so far; it travels with the next Change.
func (r *rounds) brought() {
	r.Report.Failed = r.failed
	r.Book.Brought(r.Report.Brought(r.reboots))
}

// begunBefore: the last that an earlier process has done was to tell the worker to install.
func (r *rounds) begunBefore() bool {
	last := r.Book.Journal().Intent
	return last != nil && last.Job != ""
}

// judge sorts the outcomes of one round and reports whether it brought anything new, so that another round
// is worth while. Definitions come several times a day and do not count.
func (r *rounds) judge(result WorkResult) (progress bool) {
	for _, o := range result.Outcomes {
		definition := slices.ContainsFunc(result.Updates, func(u Update) bool { return u.ID == o.ID && u.Definition })
		switch {
		case o.Succeeded && o.Step == "download":
		case !o.Succeeded && o.Helps == HelpsNotNeeded:
			r.warn("%s was not installed: %s (%s)", label(o.KBs, o.Title), o.Words, o.Code)
		case !o.Succeeded:
			r.fail(o)
		case slices.Contains(r.installed, o.ID) && !definition:
			o.Words, o.Next = "was reported as installed and is offered again (an update loop)", "exclude it with OCTOPATCH_EXCLUDE_KBS and look at the host's CBS log"
			r.fail(o)
		default:
			r.installed = append(r.installed, o.ID)
			r.forget(o)
			progress = progress || !definition
		}
	}
	return progress
}

func (r *rounds) fail(o UpdateOutcome) {
	r.forget(o)
	r.failed = append(r.failed, o)
}

// forget drops an earlier failure of the same update.
func (r *rounds) forget(o UpdateOutcome) {
	r.failed = slices.DeleteFunc(r.failed, func(f UpdateOutcome) bool { return f.ID == o.ID && f.Title == o.Title })
}

func (r *rounds) follow(p WorkProgress) {
	text := p.Stage
	if p.Count > 0 {
		text += fmt.Sprintf(" %d/%d", p.Index, p.Count)
	}
	if p.KB != "" && !strings.Contains(p.Title, p.KB) {
		text += " KB" + p.KB
	}
	if p.Title != "" {
		text += " " + p.Title
	}
	r.say(Event{Type: Progress, Message: text, Percent: p.Percent})
}

// patched is the end of the rounds: the host must be ready, with no hard reboot pending, or the node's health
// is not proved; failed updates alone do not keep it out of service.
func (r *rounds) patched(ctx context.Context, pendingBefore string) error {
	if r.Rules.Reboot == RebootAlways && r.reboots == 0 {
		if err := r.reboot(ctx); err != nil {
			return err
		}
	}
	facts, err := r.settled(ctx)
	for err == nil && len(facts.Pending) > 0 && r.Rules.Reboot != RebootNever && r.reboots < r.Rules.MaxReboots {
		r.progress("a reboot is still pending (%s); rebooting once more", strings.Join(facts.Pending, ", "))
		if err = r.reboot(ctx); err == nil {
			facts, err = r.settled(ctx)
		}
	}
	if err != nil {
		return err
	}
	r.Report.After = facts.Windows
	r.Report.Reboots = r.reboots
	r.brought()
	for _, i := range facts.Instances {
		if strings.EqualFold(i.Node, r.Node) {
			if err := r.sameFiles(i.Version); err != nil {
				return err
			}
		}
	}
	if r.Report.Busy = facts.Busy; facts.Busy != "" {
		return &Fault{Subject: r.Node, Problem: "Windows still installs: " + facts.Busy, Remedy: "wait for it to end, then run " + GoOn}
	}
	if len(facts.Pending) > 0 {
		if r.Rules.Reboot != RebootNever {
			f := &Fault{Subject: r.Node, Problem: "a reboot is still pending: " + strings.Join(facts.Pending, ", "), Remedy: "look at the host, reboot it by hand, then run " + GoOn}
			if len(r.failed) > 0 {
				f.Problem += "; " + (&UpdatesFailed{Outcomes: r.failed}).Error()
			}
			return f
		}
		r.Report.RebootPending = true
		r.warn("a reboot is pending (%s) and is left to you (OCTOPATCH_REBOOT=%s) %s", strings.Join(facts.Pending, ", "), r.Rules.Reboot, pendingBefore)
	}
	if len(r.failed) > 0 {
		return &UpdatesFailed{Outcomes: r.failed}
	}
	return nil
}
