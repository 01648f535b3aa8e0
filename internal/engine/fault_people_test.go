package engine

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// What people do in a sequence: break things, repair them, and type what the last line says.

// breaks is what people have to repair.
func (s *story) breaks(n *fakeNode) {
	what := s.oneOf("its service never runs", "it never comes back", "its service runs and does not answer", "it is off", "its service fell over", "Octopus refuses the login", "Octopus answers with a page",
		"a task of it does not end", "it restarts by itself", "there is one update more", "somebody reverts it")
	s.tell("%s: %s", n.state.Name, what)
	if what == "somebody reverts it" {
		s.revertByHand(n)
		return
	}
	defer s.locked()()
	switch what {
	case "its service never runs":
		n.neverRuns = true
	case "it never comes back":
		n.neverBack = true
	case "its service runs and does not answer":
		n.sick = true
	case "it is off":
		n.hostDown = true
	case "its service fell over":
		n.runs(false)
	case "a task of it does not end":
		s.task("ServerTasks-9", "Deploy", n.state.Name, 0)
	case "it restarts by itself":
		n.hostDown = true
		n.runs(n.service.Start == "Auto")
		time.AfterFunc(4*time.Minute, func() {
			defer s.locked()()
			if !n.neverBack && n.hostDown {
				n.comesBack()
			}
		})
	case "there is one update more":
		kb := fmt.Sprint(5000010 + len(s.told))
		n.queue = append(n.queue, []procedure.Update{{ID: kb, Title: "One more", KBs: []string{kb}, Bytes: 1 << 20}})
	case "Octopus refuses the login":
		s.denied = true
	default:
		s.html = true
	}
}

// revertByHand goes back to a precaution that is there.
func (s *story) revertByHand(n *fakeNode) {
	for _, p := range s.snapshots.points {
		if p.Node == n.state.Name {
			if err := s.snapshots.Revert(s.t.Context(), p, nil); err != nil {
				s.t.Fatal(err)
			}
			time.Sleep(5 * time.Minute)
			return
		}
	}
}

// heal is people's work: what is off is powered on, and a service that is meant to run does.
func (s *story) heal() {
	defer s.locked()()
	s.denied, s.html = false, false
	s.endTask("ServerTasks-9", "Success")
	for _, n := range s.nodes {
		n.neverRuns, n.sick = false, false
		if n.neverBack = false; n.hostDown {
			n.comesBack()
		}
		if n.service.Start == "Auto" {
			n.runs(true)
		}
	}
	s.tell("repaired")
}

// finish does what the last line says, until it says nothing, and once more for what has come meanwhile.
func (s *story) finish() {
	next, well := procedure.GoOn, 0
	for range 12 {
		var r Result
		r, next = s.follow(next)
		if r.Exit == ExitDone && next == procedure.GoOn {
			well++
		}
		if well == 2 {
			return
		}
		time.Sleep(time.Minute)
	}
	s.t.Errorf("it does not come to an end")
}

var starts = regexp.MustCompile(`(OCTOPATCH_TAKEOVER=\S+ )?OCTOPATCH_NODE=\S+ octopatch start`)

var takeover = regexp.MustCompile(`OCTOPATCH_TAKEOVER=\S+ `)

// undrain is what people do in Configuration > Nodes.
func (s *story) undrain() {
	defer s.locked()()
	for _, n := range s.nodes {
		if n.service.State == "Running" && n.journal != nil { // what was drained before is not ours
			n.drain(false)
		}
	}
}

// ofOneRun are the nodes with one and the same unfinished run: of one that is down, for the others need it.
func (s *story) ofOneRun() (nodes []Listed) {
	defer s.locked()()
	run := ""
	for _, n := range s.nodes {
		if n.journal != nil && n.service.State == "Stopped" {
			run = n.journal.Run
		}
	}
	for _, n := range s.nodes {
		if j := n.journal; j != nil && (run == "" || run == j.Run) {
			run, nodes = j.Run, append(nodes, Listed{Name: n.state.Name})
		}
	}
	return nodes
}

// follow runs a command as it is printed, and names the next one.
func (s *story) follow(line string) (Result, string) {
	e := s.begun()
	words := strings.Fields(line)
	for _, word := range words {
		if name, value, ok := strings.Cut(word, "="); ok {
			switch name {
			case "OCTOPATCH_TAKEOVER":
				e.Takeover = value
			case "OCTOPATCH_NODE":
				e.Node = value
			}
		}
	}
	r := do(e, words[len(words)-1])
	s.tell("%s: exit %d, next %q, %v", line, r.Exit, r.Next, r.Err)
	if r.Exit == ExitDone && s.only != nil {
		s.only = nil
		return Result{Exit: ExitRefused}, procedure.GoOn
	}
	switch why := fmt.Sprint(r.Err); {
	case r.Next != "":
		return r, r.Next
	case strings.Contains(why, "exit its drain mode"):
		s.undrain()
	case strings.Contains(why, "name the nodes in OCTOPATCH_NODES"):
		s.all = false
	case starts.MatchString(why):
		return r, starts.FindString(why)
	case strings.Contains(why, "with OCTOPATCH_NODES naming its nodes only"):
		s.only = s.ofOneRun()
	case takeover.MatchString(why):
		return r, takeover.FindString(why) + procedure.GoOn
	}
	return r, procedure.GoOn
}
