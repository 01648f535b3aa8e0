//go:build unix

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/octopatch/octopatch/internal/settings"
	"github.com/octopatch/octopatch/steptemplate"
)

// TestStepTemplatesOfferEveryCommand: what a step can be told to do is what octopatch can do.
func TestStepTemplatesOfferEveryCommand(t *testing.T) {
	t.Parallel()
	here := []string{"help", "rehearse", "settings", "version"} // not for a step
	for _, name := range commandNames(commands()) {
		if slices.Contains(here, name) == slices.Contains(steptemplate.Commands(), name) {
			t.Errorf("%s is a command for steps in one place only; steptemplate.Commands lists them, go generate ./steptemplate writes them", name)
		}
	}
	for _, name := range steptemplate.Commands() {
		if !slices.Contains(commandNames(commands()), name) {
			t.Errorf("the templates offer %s, which is no command", name)
		}
	}
	for _, template := range steptemplate.Templates() {
		var file steptemplate.Template
		text, err := os.ReadFile(filepath.Join("../../steptemplate", template.File()))
		if err == nil {
			err = json.Unmarshal(text, &file)
		}
		if err != nil || file.Script() != template.Script() {
			t.Errorf("%s is not what the settings make of it (%v); go generate ./steptemplate renews it", template.File(), err)
		}
	}
}

// TestStepPassesEveryByte: whatever a parameter holds reaches octopatch's environment, and no argument.
func TestStepPassesEveryByte(t *testing.T) {
	t.Parallel()
	onWorkers(t, func(t *attempt, w worker) {
		file := filepath.Join(t.TempDir(), "environment.json")
		w.env = append(w.env, "WRITE_ENVIRONMENT_TO="+file, "OCTOPATCH_WINDOW=from the worker")
		variables := map[string]string{
			"Octopus.Action.Package[OctoPatch.Package].ExtractedPath": packaged(t, w), "Octopus.Web.BaseUrl": "http://node:8080", "Octopus.Web.ServerUri": "https://ops.example.com", "Octopus.Task.Id": "ServerTasks-7",
		}
		want := map[string]string{
			"OCTOPATCH_STEP_SERVER_URL": "https://ops.example.com", "OCTOPUS_TASK_ID": "ServerTasks-7", "OCTOPATCH_LOG": "octopus", "OCTOPATCH_WINDOW": "from the worker",
		}
		for _, variable := range settable() {
			if want[variable] != "" {
				continue
			}
			value := variable + ` it's "$HOME" $(id) ` + "`id` %PATH% ${x} #{x} #{OctoPatch.Command} \\n \\\\ *\n\tsecond line\r\n  ä€🐙 !! ~ ; & | < > end \n\n"
			variables[steptemplate.ParameterName(variable)], want[variable] = value, value
		}
		got := w.start(t, variables).end()
		got.wants(t, 0)
		var seen struct{ Args, Environ []string }
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &seen)
		}
		if err != nil {
			t.Fatal(err, got.out, got.errs)
		}
		for name, v := range want {
			if have := value(seen.Environ, name); have != v {
				t.Errorf("%s is\n%q, want\n%q", name, have, v)
			}
		}
		if len(seen.Args) != 1 {
			t.Errorf("there are arguments: %q", seen.Args)
		}
	})
}

// settable are the variables that a step may set, by the table.
func settable() []string {
	var list []string
	for _, row := range settings.Table() {
		switch {
		case row.Group == "Rehearsal", row.Variable == "OCTOPATCH_SERVICE_ACCOUNT_ID": // is for jobs of GitHub
		case len(row.Names) > 0:
			list = append(list, row.Names...)
		default:
			list = append(list, row.Variable)
		}
	}
	return list
}

// TestStepRefuses: what is wrong with the worker or the package is said in words that Octopus shows.
func TestStepRefuses(t *testing.T) {
	t.Parallel()
	onWorkers(t, func(t *attempt, w worker) {
		got := w.start(t, map[string]string{"Octopus.Action.Package[OctoPatch.Package].ExtractedPath": t.TempDir()}).end()
		if want := "The package holds no octopatch_" + w.as; got.exit == 0 || !strings.HasPrefix(listen(t, got.out).result, want) {
			t.Errorf("exit code %d, %q, want %q", got.exit, listen(t, got.out).result, want)
		}
		got = w.start(t, map[string]string{"Octopus.Action.Package[OctoPatch.Package].ExtractedPath": packaged(t, w), "Octopus.Web.ServerUri": "https://ops.example.com"}).end()
		if result := listen(t, got.out).result; got.exit != 4 || !strings.Contains(result, "OCTOPUS_URL") || !strings.Contains(result, "OCTOPATCH_NODES") {
			t.Errorf("exit code %d, %q\n%s", got.exit, result, got.out)
		}
	})
}

// TestStepOnTheRehearsal: a step of another Octopus Server runs the full procedure, says what became of it, and
// no secret is in the list of processes. A step of the server itself is refused.
func TestStepOnTheRehearsal(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	onWorkers(t, func(t *attempt, w worker) {
		target, ops := newWorld(t, rehearsal.Options{Nodes: 1}), newWorld(t, rehearsal.Options{Nodes: 1, Seed: 2})
		before := target.State()
		variables := stepVariables(t, &w, target)
		variables["OctoPatch.Command"] = "run"
		for server, words := range map[string]string{"": "is not proved that this is another server", value(target.Environ(), "OCTOPUS_URL"): "the very server to be patched"} {
			variables["Octopus.Web.ServerUri"] = server
			got := w.start(t, variables).end()
			if s := listen(t, got.out); got.exit != 4 || !strings.Contains(s.result, words) || s.outputs["result"] != "refused" {
				t.Errorf("on %q: exit code %d, %q\n%s%s", server, got.exit, s.result, got.out, got.errs)
			}
		}
		untouched(t, target, before)
		variables["Octopus.Web.ServerUri"] = value(ops.Environ(), "OCTOPUS_URL")
		s := w.start(t, variables)
		lists := watchProcesses(s)
		got := s.end()
		got.wants(t, 0)
		allKept(t, target, before)
		checkSaid(t, listen(t, got.out), s.dir)
		if strings.ContainsFunc(got.out+got.errs, func(r rune) bool { return r > 126 }) {
			t.Error("not all of it is ASCII")
		}
		seen := strings.Join(<-lists, "\n")
		for _, name := range []string{"OCTOPUS_API_KEY", "OCTOPATCH_WINRM_PASSWORD"} {
			if secret := value(target.Environ(), name); strings.Contains(seen, secret) || strings.Contains(got.out+got.errs, secret) {
				t.Errorf("%s is in the list of processes or in the log", name)
			}
		}
		if !strings.Contains(seen, "octopatch_"+w.as) {
			t.Errorf("octopatch was not seen in the list of processes:\n%s", seen)
		}
	})
}

// stepVariables are the parameters for a world; its clock is not for steps and comes with the worker.
func stepVariables(t *attempt, w *worker, world *rehearsal.World) map[string]string {
	variables := map[string]string{"Octopus.Action.Package[OctoPatch.Package].ExtractedPath": packaged(t, *w), "Octopus.Task.Id": "ServerTasks-7"}
	for _, item := range world.Environ() {
		name, value, _ := strings.Cut(item, "=")
		if name == "OCTOPATCH_REHEARSAL_CLOCK" {
			w.env = append(w.env, item)
			continue
		}
		variables[steptemplate.ParameterName(name)] = value
	}
	return variables
}

// checkSaid holds what Octopus was told of a good run.
func checkSaid(t *attempt, s said, dir string) {
	t.Helper()
	var nodes []struct {
		Node, Result string
		Installed    []string
	}
	if err := json.Unmarshal([]byte(s.outputs["nodes"]), &nodes); err != nil || len(nodes) != 1 || nodes[0].Node != "OCTO-01" || nodes[0].Result != "done" || len(nodes[0].Installed) == 0 {
		t.Errorf("nodes: %v, %s", err, s.outputs["nodes"])
	}
	if s.outputs["result"] != "done" || s.outputs["exit_code"] != "0" || s.outputs["updates_installed"] != "3" || len(s.outputs["downtime_seconds"]) < 3 || s.result != "" {
		t.Errorf("outputs %v, result %q", s.outputs, s.result)
	}
	for _, level := range []string{"stdout-highlight", "stdout-wait", "stdout-default", "progress"} {
		if !slices.Contains(s.levels, level) {
			t.Errorf("there is no %s", level)
		}
	}
	for _, name := range []string{"report.json", "report.html", "summary.md"} {
		if want := filepath.Join(dir, "octopatch-report", name); s.artifacts["octopatch-"+name] != want {
			t.Errorf("artifact %s is %q, want %q", name, s.artifacts["octopatch-"+name], want)
		}
	}
}

// watchProcesses collects every command line of the machine for as long as the step runs, by /proc and by ps.
func watchProcesses(s *step) <-chan []string {
	found := make(chan []string, 1)
	go func() {
		var lines []string
		for running := true; running; {
			list, err := exec.Command("ps", "-eo", "args").Output()
			if err == nil {
				lines = append(lines, strings.Split(string(list), "\n")...)
			}
			names, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
			for _, name := range names {
				text, _ := os.ReadFile(name) // it may have ended
				lines = append(lines, strings.ReplaceAll(string(text), "\x00", " "))
			}
			slices.Sort(lines)
			lines = slices.Compact(lines)
			select {
			case <-s.ended:
				running = false
			case <-time.After(100 * time.Millisecond):
			}
		}
		found <- lines
	}()
	return found
}

// TestStepIsCancelled: Octopus kills the whole tree at once; the hosts hold the journal, and the next step goes on.
func TestStepIsCancelled(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	onWorkers(t, func(t *attempt, w worker) {
		target, ops := newWorld(t, rehearsal.Options{Nodes: 1}), newWorld(t, rehearsal.Options{Nodes: 1, Seed: 2})
		before := target.State()
		variables := stepVariables(t, &w, target)
		variables["OctoPatch.Command"], variables["Octopus.Web.ServerUri"] = "run", value(ops.Environ(), "OCTOPUS_URL")
		s := w.start(t, variables)
		s.cancelAt(t, "OCTO-01 patch        install")
		run := regexp.MustCompile(`run (\S+) begins`).FindStringSubmatch(s.out.String())
		if run == nil {
			t.Fatal("no run began", s.out.String())
		}
		variables["OctoPatch.Takeover"], variables["Octopus.Task.Id"] = run[1], "ServerTasks-8" // the next task, which is another owner
		var got ending
		for range 20 { // the worker on the host outlives the step: while it installs, and while a lease is live, a run is not taken up
			if err := target.Clock.Sleep(t.Context(), 10*time.Minute); err != nil {
				t.Fatal(err)
			}
			if got = w.start(t, variables).end(); got.exit == 0 {
				break
			}
		}
		got.wants(t, 0, "run "+run[1]+" ended with exit code 0")
		if nodes := listen(t, got.out).outputs["nodes"]; !strings.Contains(nodes, `"windows":"20348.4175"`) {
			t.Errorf("not all is installed: %s", nodes)
		}
		allKept(t, target, before)
	})
}
