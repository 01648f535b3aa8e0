package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/octopatch/octopatch/action"
	"github.com/octopatch/octopatch/internal/engine"
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

// words are the values of the output result.
var words = map[int]string{
	engine.ExitDone: "done", engine.ExitFailed: "failed", engine.ExitSomeFailed: "some_failed", engine.ExitRefused: "refused",
	engine.ExitStopped: "stopped", engine.ExitUnknown: "unknown", engine.ExitInterrupted: "interrupted",
}

// hand gives the result to later steps, and its page to the run's summary, once.
func (s *session) hand(r report.Report, plan procedure.Plan) {
	step := s.step()
	if step == nil || s.handed {
		return
	}
	s.handed = true
	values := map[string]string{"result": words[r.Exit], "exit_code": fmt.Sprint(r.Exit), "run": r.Run, "next": r.Next, "nodes": nodesJSON(r.Nodes)}
	for name, value := range map[string]string{"report": s.reported, "updates_planned": planned(plan), "downtime_seconds": "", "updates_installed": fmt.Sprint(installed(r.Nodes))} {
		values[name] = value
	}
	if r.Downtime.Probes > 0 {
		values["downtime_seconds"] = fmt.Sprintf("%.0f", r.Downtime.Seconds)
	}
	for name, value := range values {
		values[name] = s.out.Clean(value)
	}
	s.told(step.Set(values))
	page := r.Markdown() + r.Timeline()
	if len(plan.Nodes) > 0 {
		page = report.PlanMarkdown(plan)
	}
	s.told(step.Summary(s.out.Clean(page)))
}

// nodesJSON is the output nodes.
func nodesJSON(nodes []*procedure.NodeReport) string {
	type node struct {
		Node      string   `json:"node"`
		Result    string   `json:"result"`
		Reason    string   `json:"reason"`
		Installed []string `json:"installed"`
		Failed    []string `json:"failed"`
		Reboots   int      `json:"reboots"`
		Next      string   `json:"next"`
	}
	list := []node{}
	for _, n := range nodes {
		list = append(list, node{n.Node, string(n.Result), n.Reason, names(n.Installed), names(n.Failed), n.Reboots, n.Next})
	}
	text, err := json.Marshal(list)
	if err != nil {
		return "[]" // nothing in it is beyond JSON
	}
	return string(text)
}

// names are updates by their numbers, or by their titles where they have none.
func names(list []procedure.UpdateOutcome) []string {
	names := []string{}
	for _, o := range list {
		name := o.Title
		if len(o.KBs) > 0 {
			name = "KB" + strings.Join(o.KBs, ",KB")
		}
		names = append(names, name)
	}
	return names
}

func installed(nodes []*procedure.NodeReport) int {
	count := 0
	for _, n := range nodes {
		count += len(n.Installed)
	}
	return count
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
