package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/engine"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/report"
)

// engineCommand is a command that wires an engine, announces its begin and end, and reports.
func (s *session) engineCommand(ctx context.Context, do func(context.Context, *engine.Engine) engine.Result) (engine.Result, report.Report) {
	if s.announces() {
		s.sink = report.Tee{s.sink, s.notify}
	}
	w, err := s.wire()
	if err != nil {
		s.refuse(err)
		return engine.Result{Exit: engine.ExitRefused, Err: err}, report.Report{Exit: engine.ExitRefused, Command: s.command.name, Error: err.Error()}
	}
	defer w.close()
	clk := w.engine.Clock
	started := clk.Now()
	s.sink.Event(procedure.Event{Type: procedure.RunStarted, Time: started, Run: w.engine.Run, Message: s.command.name + " of " + s.settings.URL})
	result := do(ctx, w.engine)
	if result.Exit == engine.ExitInterrupted && result.Next == "" { // nothing is left to undo: the same once more
		result.Next = "octopatch " + s.command.name
	}
	ended := clk.Now()
	seconds := ended.Sub(started).Seconds()
	if result.Exit == engine.ExitRefused && !s.jsonLog() {
		s.complain(result.Err)
	}
	end := procedure.Event{Type: procedure.RunEnded, Time: ended, Run: result.Run, Seconds: seconds, Exit: &result.Exit, Next: result.Next}
	if result.Err != nil {
		end.Reason = result.Err.Error()
	}
	s.sendLast(ctx, end)
	s.sink.Event(end)
	s.endLog()
	return result, s.report(result, started, ended, seconds)
}

func (s *session) report(result engine.Result, started, ended time.Time, seconds float64) report.Report {
	r := report.Report{
		Schema: 1, Run: result.Run, Command: s.command.name, Program: programVersion(), Octopus: result.Version, Topology: result.Topology,
		Started: started, Ended: ended, Seconds: seconds, Exit: result.Exit, Next: result.Next, Precaution: s.settings.Precaution,
		Nodes: result.Nodes, Downtime: result.Downtime, Settings: s.settings.Effective(), Warnings: s.warnings.List, Clean: s.out.Clean,
	}
	if result.Err != nil {
		r.Error = result.Err.Error()
	}
	if !result.Notice.From.IsZero() {
		r.Notice = &result.Notice
	}
	return r
}

// finish writes the report directory and the summary, and returns the exit code.
func (s *session) finish(result engine.Result, r report.Report) int {
	if s.settings.ReportDir != "" {
		s.wrote(r.Write(s.settings.ReportDir))
	}
	if s.settings.Log != "json" && result.Exit != engine.ExitRefused {
		r.Summary(s.out)
	}
	return s.handOver(r, "report.json", "report.html", "summary.md")
}

// handOver gives outputs and files of the report directory to the CI system, and returns the exit code.
func (s *session) handOver(r report.Report, files ...string) int {
	for i := range files {
		files[i] = filepath.Join(s.settings.ReportDir, files[i])
	}
	if s.settings.ReportDir == "" {
		files = nil
	}
	report.HandOver(s.log, s.document(), r, files...)
	s.hand(r, procedure.Plan{})
	return r.Exit
}

// wrote remembers that the report directory holds something, or says why it does not.
func (s *session) wrote(err error) {
	if err != nil {
		fmt.Fprintf(s.errs, "octopatch: %v\n", err)
		return
	}
	s.reported = s.settings.ReportDir
}

func runAll(ctx context.Context, s *session) int {
	return s.finish(s.engineCommand(ctx, func(ctx context.Context, e *engine.Engine) engine.Result { return e.RunAll(ctx) }))
}

func runRecover(ctx context.Context, s *session) int {
	return s.finish(s.engineCommand(ctx, func(ctx context.Context, e *engine.Engine) engine.Result { return e.Recover(ctx) }))
}

func runPreflight(ctx context.Context, s *session) int {
	_, r := s.engineCommand(ctx, func(ctx context.Context, e *engine.Engine) engine.Result { return e.Preflight(ctx) })
	return s.handOver(r)
}

func runStage(ctx context.Context, s *session) int {
	_, r := s.engineCommand(ctx, func(ctx context.Context, e *engine.Engine) engine.Result { return e.Stage(ctx) })
	return s.handOver(r)
}

func runPlan(ctx context.Context, s *session) int {
	var plan procedure.Plan
	_, r := s.engineCommand(ctx, func(ctx context.Context, e *engine.Engine) engine.Result {
		var r engine.Result
		plan, r = e.Plan(ctx)
		return r
	})
	if s.settings.ReportDir != "" && len(plan.Nodes) > 0 {
		s.wrote(report.WritePlan(s.settings.ReportDir, plan, s.out.Clean))
	}
	s.hand(r, plan)
	switch {
	case len(plan.Nodes) == 0:
	case s.asJSON:
		_ = report.PlanJSON(s.out, plan) // a closed pipe
	case s.settings.Log != "json":
		fmt.Fprintln(s.out)
		report.Plan(s.out, plan)
	}
	return s.handOver(r, "plan.json", "plan.md")
}

func runStatus(ctx context.Context, s *session) int {
	if s.announces() {
		s.sink = report.Tee{s.sink, s.notify}
	}
	w, err := s.wire()
	if err != nil {
		return s.refuse(err)
	}
	defer w.close()
	journals, err := w.engine.Status(ctx)
	s.sendLast(ctx, procedure.Event{})
	if s.asJSON {
		_ = report.WriteJSON(s.out, journals) // a closed pipe
	} else {
		report.Status(s.text(), journals)
	}
	if err != nil {
		s.complain(err)
		return engine.ExitUnknown
	}
	if slices.ContainsFunc(journals, func(j procedure.Standing) bool { return j.Doubt != "" }) {
		return engine.ExitUnknown
	}
	return engine.ExitDone
}

// runPhase runs one phase; schedule also writes its notice.
func runPhase(p procedure.Phase) func(context.Context, *session) int {
	return func(ctx context.Context, s *session) int {
		result, r := s.engineCommand(ctx, func(ctx context.Context, e *engine.Engine) engine.Result { return e.Alone(ctx, p) })
		if r.Notice != nil && result.Exit == engine.ExitDone {
			if s.settings.Log != "json" {
				fmt.Fprintln(s.out)
				report.Notice(s.out, *r.Notice)
			}
			if err := writeNotice(s.settings.ReportDir, *r.Notice); err != nil {
				fmt.Fprintf(s.errs, "octopatch: %v\n", err)
			}
		}
		if result.Next != "" && s.settings.Log != "json" {
			fmt.Fprintf(s.out, "\nNext: %s\n", result.Next)
		}
		return s.handOver(r, "notice.md", "notice.txt")
	}
}

// writeNotice puts the notice into the report directory, as text and as Markdown.
func writeNotice(dir string, n procedure.Notice) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var text strings.Builder
	report.Notice(&text, n)
	for name, content := range map[string]string{"notice.txt": text.String(), "notice.md": report.NoticeMarkdown(n)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
