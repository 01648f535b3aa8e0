package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/rogpeppe/go-internal/testscript"
)

// eventTypes is the enumeration that programs are promised.
var eventTypes = []procedure.EventType{"run_started", "phase_started", "waiting", "progress", "phase_ended", "node_ended", "warning", "run_ended"}

// results are the ways in which a phase or a node ends.
var results = []procedure.Kind{"done", "skipped", "failed", "unknown"}

// checkEvents holds a JSON log against its promise: events FILE exit=N [nodes=N].
func checkEvents(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: events FILE exit=N [nodes=N]")
	}
	events, err := readEvents(ts.ReadFile(args[0]))
	ts.Check(err)
	ts.Check(sound(events))
	for _, arg := range args[1:] {
		name, want, _ := strings.Cut(arg, "=")
		got := ""
		switch name {
		case "exit":
			got = fmt.Sprint(*events[len(events)-1].Exit)
		case "nodes":
			ended := 0
			for _, e := range events {
				if e.Type == procedure.NodeEnded {
					ended++
				}
			}
			got = fmt.Sprint(ended)
		}
		if got != want {
			ts.Fatalf("%s is %s, want %s", name, got, want)
		}
	}
}

// readEvents reads a log in which every line must be one event and nothing else.
func readEvents(text string) ([]procedure.Event, error) {
	var events []procedure.Event
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		d := json.NewDecoder(bytes.NewBufferString(line))
		d.DisallowUnknownFields()
		var e procedure.Event
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("line %d is no event: %w: %s", i+1, err, line)
		}
		if d.More() {
			return nil, fmt.Errorf("line %d holds more than one object", i+1)
		}
		events = append(events, e)
	}
	return events, nil
}

// sound says what is wrong with the events of one run.
func sound(events []procedure.Event) error {
	run := events[len(events)-1].Run
	began, ended := map[string]int{}, map[string]int{}
	for i, e := range events {
		where := fmt.Sprintf("event %d, %s of %q %q", i+1, e.Type, e.Node, e.Phase)
		key := e.Node + "/" + e.Phase
		switch {
		case !slices.Contains(eventTypes, e.Type):
			return fmt.Errorf("%s: no such type", where)
		case e.Time.IsZero():
			return fmt.Errorf("%s has no time", where)
		case e.Run == "" || e.Run != run:
			return fmt.Errorf("%s is of run %q, and the log is of run %q", where, e.Run, run)
		case (e.Type == procedure.RunEnded) != (i == len(events)-1):
			return fmt.Errorf("%s: run_ended is the last event and no other", where)
		case (e.Type == procedure.RunEnded) != (e.Exit != nil):
			return fmt.Errorf("%s: run_ended carries exit, and no other does", where)
		case (e.Type == procedure.PhaseEnded || e.Type == procedure.NodeEnded) != slices.Contains(results, e.Result):
			return fmt.Errorf("%s: the result is %q", where, e.Result)
		case e.Type == procedure.Waiting && (e.WaitingFor == "" || e.Since.IsZero() || e.Limit == 0):
			return fmt.Errorf("%s does not say for what, since when and for how long it may", where)
		case e.Type == procedure.PhaseStarted:
			began[key]++
		case e.Type == procedure.PhaseEnded:
			ended[key]++
		}
	}
	for key, n := range ended {
		if n != 1 {
			return fmt.Errorf("%s ended %d times", key, n)
		}
	}
	for key := range began {
		if ended[key] == 0 {
			return fmt.Errorf("%s began and did not end", key)
		}
	}
	return nil
}

// phaseResults is node/phase → result of a log.
func phaseResults(events []procedure.Event) map[string]procedure.Kind {
	all := map[string]procedure.Kind{}
	for _, e := range events {
		if e.Type == procedure.PhaseEnded {
			all[e.Node+"/"+e.Phase] = e.Result
		}
	}
	return all
}

// checkSamePhases holds the results of all phases of two logs against each other: samephases A B.
func checkSamePhases(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: samephases FILE FILE")
	}
	a, err := readEvents(ts.ReadFile(args[0]))
	ts.Check(err)
	b, err := readEvents(ts.ReadFile(args[1]))
	ts.Check(err)
	if diff := cmp.Diff(phaseResults(a), phaseResults(b)); diff != "" {
		ts.Fatalf("the phases end differently (-%s, +%s):\n%s", args[0], args[1], diff)
	}
}
