package engine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

var (
	sequences = flag.Int("sequences", 1000, "how many sequences of processes are drawn")
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
	t       *testing.T
	draw    *rand.Rand
	keep    time.Duration // of precautions
	onIll   string        // OCTOPATCH_ON_FAILURE
	none    bool          // OCTOPATCH_PRECAUTION is none
	all     bool          // OCTOPATCH_NODES is all
	state   bool          // there is an OCTOPATCH_STATE_DIR
	boots   string        // OCTOPATCH_REBOOT
	only    []Listed      // OCTOPATCH_NODES names these for now; nil: every node
	veto    string        // the phase that a hook forbids; empty: none
	owner   string
	telling sync.Mutex
	told    []string
}

func (s *story) tell(format string, a ...any) {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.told = append(s.told, fmt.Sprintf(format, a...))
	if *sequence >= 0 {
		s.t.Log(s.told[len(s.told)-1])
	}
}

func (s *story) oneOf(what ...string) string { return what[s.draw.IntN(len(what))] }

func playSequence(t *testing.T, draw *rand.Rand) {
	names := []string{"A", "B", "C"}[:1+draw.IntN(3)]
	w := newWorld(names...)
	if len(names) == 3 && draw.IntN(4) == 0 { // before us, and not ours to undo
		w.nodes[2].drain(true)
	}
	before := w.snapshot()
	s := &story{stage: &stage{world: w, snapshots: newProvider(w), kept: keeper{}}, t: t, draw: draw, onIll: procedure.OnFailureHold, boots: "if-required", owner: "ann@jump"}
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
	if draw.IntN(5) == 0 {
		s.boots = procedure.RebootAlways
	}
	s.all, s.state = draw.IntN(2) == 0, draw.IntN(4) > 0
	t.Cleanup(func() { defer w.locked()(); w.over = true })
	s.none = draw.IntN(6) == 0
	s.tell("%d nodes, drained before: %t, no precaution: %t, all %t, state directory %t, dead-man switch %s, precautions kept %s, on failure %s, reboot %s", len(names), w.nodes[len(names)-1].state.Drained, s.none, s.all, s.state, s.deadman, s.keep, s.onIll, s.boots)
	for range 1 + draw.IntN(4) {
		s.act()
	}
	s.heal()
	time.Sleep(97 * time.Minute)
	s.finish()
	s.asItWas(before)
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
	veto := ""
	if s.draw.IntN(8) == 0 {
		veto = s.oneOf(procedure.Enter, procedure.Wait, procedure.Stop, procedure.Precaution, procedure.Patch, procedure.Start, procedure.Exit)
		s.tell("a hook forbids %s", veto)
	}
	s.veto, s.owner = veto, "ann@jump"
	if s.draw.IntN(10) == 0 {
		s.owner = "bob@home"
		s.tell("bob is at it")
	}
	defer func() { s.veto, s.owner = "", "ann@jump" }()
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
	rival := s.rival(fate)
	s.goesOn(ctx, command, node.state.Name)
	<-rival
	unlock := s.locked()
	for _, what := range s.harmful {
		s.t.Errorf("the dead process still tried what would have mattered: %s", what)
	}
	s.world.died, s.inject, s.late, s.harmful = false, nil, nil, nil
	unlock()
	if *sequence >= 0 {
		for _, n := range s.nodes {
			if j := n.journal; j != nil {
				s.tell("    journal of %s: %d %+v, precaution %+v, copy %+v", n.state.Name, j.Counter, j.Intent, j.Precaution, s.kept[n.state.Name].Precaution)
			}
		}
	}
	wait := []time.Duration{time.Minute, 42 * time.Minute, 97 * time.Minute, 31 * time.Hour}[s.draw.IntN(4)]
	s.tell("    %s later", wait)
	time.Sleep(wait + 7*time.Second)
	if s.draw.IntN(2) == 0 {
		s.heal()
	}
}

// rival is another process that begins a run some time after; it meets only what lives, for death is the whole runner's.
func (s *story) rival(fate string) <-chan struct{} {
	ended := make(chan struct{})
	if strings.HasPrefix(fate, "dead") || s.draw.IntN(6) > 0 {
		close(ended)
		return ended
	}
	after, e := time.Duration(s.draw.IntN(1500))*time.Second, s.begun()
	if s.draw.IntN(2) == 0 {
		e.Owner = "carol@work"
	}
	go func() {
		defer close(ended)
		time.Sleep(after)
		r := e.RunAll(context.Background())
		s.tell("  after %s the run %s of %s: exit %d, next %q, %v", after, e.Run, e.Owner, r.Exit, r.Next, r.Err)
	}()
	return ended
}

// begun is a new process.
func (s *story) begun() *Engine {
	e, _ := s.process()
	e.Run, e.Owner, e.Rules.PrecautionKeep, e.Rules.OnFailure, e.Rules.Reboot = fmt.Sprintf("run%d", s.processes), s.owner, s.keep, s.onIll, s.boots
	if s.none {
		e.Provider, e.Rules.Precaution = nil, procedure.PrecautionNone
	}
	if s.all {
		e.All, e.Nodes = true, nil
	}
	if s.only != nil {
		e.All, e.Nodes = false, s.only
	}
	if !s.state {
		e.Keep, e.Copy = nil, nil
	}
	if veto := s.veto; veto != "" {
		e.Hook = func(_ context.Context, m Moment) error {
			if m.When == Before && m.Phase == veto {
				return errors.New("a ticket is missing")
			}
			return nil
		}
	}
	return e
}

// goesOn is one process with that command.
func (s *story) goesOn(ctx context.Context, command, node string) Result {
	e := s.begun()
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

// asItWas holds the world against what it was.
func (s *story) asItWas(before string) {
	if got := s.snapshot(); got != before {
		s.t.Errorf("the world differs (+got, -want):\n%s", cmp.Diff(before, got))
	}
	defer s.locked()()
	if len(s.snapshots.points) > 0 && s.keep == 0 {
		s.t.Errorf("left behind: %v", s.snapshots.points)
	}
	for _, n := range s.nodes {
		if len(n.queue) > 0 || len(n.pending) > 0 || n.blind > 0 && s.boots != procedure.RebootAlways {
			s.t.Errorf("%s: UBR %d, pending %v, left to install %v; %d reboots for nothing", n.state.Name, n.ubr, n.pending, n.queue, n.blind)
		}
		for kb, times := range n.installs {
			if times > 1+n.reverts {
				s.t.Errorf("%s: KB%s was installed %d times, with %d reverts", n.state.Name, kb, times, n.reverts)
			}
		}
	}
}
