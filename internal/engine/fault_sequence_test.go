package engine

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

var (
	sequences = flag.Int("sequences", 2000, "how many sequences of processes are drawn")
	sequence  = flag.Int("sequence", -1, "the one sequence to go through, and to tell")
)

// TestFaultSequences: the matrix tries one fate in one run; here several processes follow each other, each with a fate and
// a trouble of its own, drawn by a seed. Once people have repaired what was broken, whoever does what the last line says
// ends with every node patched and as it was.
func TestFaultSequences(t *testing.T) {
	for seed := range *sequences {
		if *sequence >= 0 && seed != *sequence {
			continue
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playSequence(t, rand.New(rand.NewPCG(uint64(seed), 7))) })
		})
	}
}

// story is what has happened in a sequence, for whoever has to understand it.
type story struct {
	*stage
	t     *testing.T
	draw  *rand.Rand
	keep  time.Duration // of precautions
	onIll string        // OCTOPATCH_ON_FAILURE
	told  []string
}

func (s *story) tell(format string, a ...any) {
	s.told = append(s.told, fmt.Sprintf(format, a...))
	if *sequence >= 0 {
		s.t.Log(s.told[len(s.told)-1])
	}
}

func (s *story) oneOf(what ...string) string { return what[s.draw.IntN(len(what))] }

func playSequence(t *testing.T, draw *rand.Rand) {
	names := []string{"A", "B", "C"}[:1+draw.IntN(3)]
	w := newWorld(names...)
	before := w.snapshot()
	s := &story{stage: &stage{world: w, snapshots: newProvider(w), kept: keeper{}}, t: t, draw: draw, onIll: procedure.OnFailureHold}
	if draw.IntN(2) == 0 {
		s.deadman = 45 * time.Minute
		w.switches(t)
	}
	if draw.IntN(3) == 0 {
		s.keep = 24 * time.Hour
	}
	if draw.IntN(4) == 0 {
		s.onIll = procedure.OnFailureRevert
	}
	t.Cleanup(func() { defer w.locked()(); w.over = true })
	s.tell("%d nodes, dead-man switch %s, precautions kept %s, on failure %s", len(names), s.deadman, s.keep, s.onIll)
	for range 1 + draw.IntN(4) {
		s.act()
	}
	s.heal()
	time.Sleep(97 * time.Minute)
	s.finish()
	s.kept2(before)
	if t.Failed() && *sequence < 0 {
		t.Log(strings.Join(s.told, "\n"))
	}
}

// act is one process: something may break before it, or while it is at work, and something may befall it.
func (s *story) act() {
	node := s.nodes[s.draw.IntN(len(s.nodes))]
	if s.draw.IntN(3) == 0 {
		s.breaks(node)
	}
	command := s.oneOf("run", "run", "run", "next", "recover", "force")
	fate := s.oneOf("", "dead before", "dead after", "lost", "unapplied", "interrupt")
	at, began := 1+s.draw.IntN(25), len(s.writes)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.dead = cancel
	s.inject = func(n int, what string) string {
		if n != began+at || fate == "" {
			return ""
		}
		s.tell("    %s at %s", fate, what)
		if fate == "interrupt" {
			cancel()
			return ""
		}
		return fate
	}
	s.works()
	s.goesOn(ctx, command, node.state.Name)
	unlock := s.locked()
	for _, what := range s.harmful {
		s.t.Errorf("the dead process still tried what would have mattered: %s", what)
	}
	s.world.died, s.inject, s.lives, s.late, s.harmful = false, nil, false, nil, nil
	unlock()
	wait := []time.Duration{time.Minute, 42 * time.Minute, 97 * time.Minute, 31 * time.Hour}[s.draw.IntN(4)]
	s.tell("    %s later", wait)
	time.Sleep(wait + 7*time.Second)
	if s.draw.IntN(2) == 0 {
		s.heal()
	}
}

// goesOn is one process with that command.
func (s *story) goesOn(ctx context.Context, command, node string) Result {
	e, _ := s.process()
	e.Run, e.Rules.PrecautionKeep, e.Rules.OnFailure = fmt.Sprintf("run%d", s.processes), s.keep, s.onIll
	var r Result
	switch command {
	case "run":
		r = e.RunAll(ctx)
	case "force":
		e.Rules.Recover = procedure.RecoverForce
		fallthrough
	case "recover":
		command, e.Node = command+" "+node, node
		r = e.Recover(ctx)
	case "next":
		unlock := s.locked()
		j := s.node(node).journal
		unlock()
		if j == nil {
			j = &procedure.Journal{}
		}
		command, e.Node = j.Next(), node
		if command == procedure.Recover {
			r = e.Recover(ctx)
		} else {
			p, _ := procedure.Find(command)
			r = e.Alone(ctx, p)
		}
		command += " " + node
	}
	s.tell("  %s: exit %d, next %q, %v", command, r.Exit, r.Next, r.Err)
	return r
}

// breaks is what people have to repair.
func (s *story) breaks(n *fakeNode) {
	what := s.oneOf("its service never runs", "it never comes back", "its service runs and does not answer", "it is off", "its service fell over", "Octopus refuses the login", "Octopus answers with a page")
	s.tell("%s: %s", n.state.Name, what)
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
	case "Octopus refuses the login":
		s.denied = true
	default:
		s.html = true
	}
}

// heal is people's work: what is off is powered on, and a service that is meant to run does.
func (s *story) heal() {
	defer s.locked()()
	s.denied, s.html = false, false
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

// finish does what the last line says, until it says nothing.
func (s *story) finish() {
	next := procedure.GoOn
	for range 6 {
		var r Result
		r, next = s.follow(next)
		if r.Exit == ExitDone && next == procedure.GoOn {
			return
		}
		time.Sleep(time.Minute)
	}
	s.t.Errorf("it does not come to an end")
}

// follow runs a command as it is printed, and names the next one.
func (s *story) follow(line string) (Result, string) {
	e, _ := s.process()
	e.Run, e.Rules.PrecautionKeep, e.Rules.OnFailure = fmt.Sprintf("run%d", s.processes), s.keep, s.onIll
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
	s.works()
	r := do(e, words[len(words)-1])
	unlock := s.locked()
	s.lives = false
	unlock()
	s.tell("%s: exit %d, next %q, %v", line, r.Exit, r.Next, r.Err)
	if r.Next == "" {
		return r, procedure.GoOn
	}
	return r, r.Next
}

// kept2 holds the world against what it was.
func (s *story) kept2(before string) {
	if got := s.snapshot(); got != before {
		s.t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
	}
	defer s.locked()()
	if len(s.snapshots.points) > 0 && s.keep == 0 {
		s.t.Errorf("left behind: %v", s.snapshots.points)
	}
	for _, n := range s.nodes {
		if n.ubr != 102 || n.blind > 0 {
			s.t.Errorf("%s: UBR %d; %d reboots for nothing", n.state.Name, n.ubr, n.blind)
		}
		for kb, times := range n.installs {
			if times > 1+n.reverts {
				s.t.Errorf("%s: KB%s was installed %d times, with %d reverts", n.state.Name, kb, times, n.reverts)
			}
		}
	}
}
