package main

import (
	"fmt"

	"github.com/octopatch/octopatch/action"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/report"
)

// step is the GitHub Actions step that this process runs in; nil elsewhere, and where standard output belongs to
// programs.
func (s *session) step() *action.Step {
	kind := s.env("OCTOPATCH_LOG")
	if s.env("GITHUB_ACTIONS") != "true" || s.asJSON || kind != "" && kind != "auto" && kind != "github" {
		return nil
	}
	return action.New(s.out, s.env)
}

// mask tells GitHub every secret before anything else is printed, and only then keeps them out of our own output.
func (s *session) mask(secrets []string) {
	if step := s.step(); step != nil {
		s.told(step.Mask(secrets...))
	}
	s.out.Hide(secrets...)
	s.errs.Hide(secrets...)
}

// told reports what could not be handed to GitHub; a run is not ended by it.
func (s *session) told(err error) {
	if err != nil {
		fmt.Fprintf(s.errs, "octopatch: %v\n", err)
	}
}

// complain writes each fault on a line of its own, on GitHub as an annotation.
func (s *session) complain(err error) {
	if step := s.step(); step != nil {
		s.told(step.Refused(err))
		return
	}
	report.Fault(s.errs, err)
}

// hand gives the result to later steps, and its page to the run's summary, once.
func (s *session) hand(r report.Report, plan procedure.Plan) {
	step := s.step()
	if step == nil || s.handed {
		return
	}
	s.handed = true
	values := map[string]string{"report": s.reported, "updates_planned": planned(plan)}
	for _, o := range r.Outputs() {
		values[o.Name] = s.out.Clean(o.Value)
	}
	s.told(step.Set(values))
	page := r.Markdown() + r.Timeline()
	if len(plan.Nodes) > 0 {
		page = report.PlanMarkdown(plan)
	}
	s.told(step.Summary(s.out.Clean(page)))
}

// planned counts what plan would install; empty where nothing was planned.
func planned(plan procedure.Plan) string {
	if len(plan.Nodes) == 0 {
		return ""
	}
	count := 0
	for _, n := range plan.Nodes {
		if n.Reason == "" {
			count += len(n.Updates)
		}
	}
	return fmt.Sprint(count)
}
