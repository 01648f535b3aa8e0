package main

import (
	"flag"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/octopatch/octopatch/internal/rehearsal/record"
)

var rounds = flag.Int("rounds", 6, "rounds of two processes that race for a cluster")

// met lets the first two that ask for the first host's lease wait for each other, so that a process which the machine
// keeps from its work for a moment races all the same. It says afterwards whether they met.
func met(w *rehearsal.World) func() bool {
	const patience = time.Second // of wall time; the command that waits may take longer
	var asked atomic.Int32
	both := make(chan struct{})
	w.Log.Decide(func(one record.Write) record.Fate {
		if one.What == "host lease" && one.Node == "OCTO-01" {
			if asked.Add(1) == 2 {
				close(both)
			}
			select {
			case <-both:
			case <-time.After(patience):
			}
		}
		return record.AsItComes
	})
	return func() bool {
		select {
		case <-both:
			return true
		default:
			return false
		}
	}
}

// TestRaceForTheCluster: two processes of the operating system begin a run at once, again and again. In every round
// one of them is refused and told who the other is; what is to be installed is installed once. A round for which one of
// them comes too late is no race, and is gone through once more.
func TestRaceForTheCluster(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Speed: min(t.speed, 200)})
		before := w.State()
		owners := []string{"ann", "bob"}
		wins := map[string]int{}
		late := 0
		for round := 0; round < *rounds; round++ {
			race := met(w)
			var both [2]*started
			for i := range both { // who is first takes turns
				one := (i + round) % 2
				both[one] = start(t, with(w.Environ(), "USER="+owners[one]), "run")
			}
			ann, bob := both[0], both[1]
			ends := make(chan ending, 1)
			go func() { ends <- bob.end() }()
			mine, other := ann.end(), <-ends
			winner := owners[0]
			if mine.exit == 4 {
				mine, other, winner = other, mine, owners[1]
			}
			if !race() && mine.exit == 0 && other.exit == 0 && late < 5 {
				late++
				round--
				continue
			}
			if mine.exit != 0 || other.exit != 4 || !strings.Contains(other.out, winner+"@") || !strings.Contains(other.out, " works on it: run ") {
				t.Fatalf("round %d: exit codes %d and %d\n%s\n%s", round+1, mine.exit, other.exit, mine.out, other.out)
			}
			wins[winner]++
		}
		if wins[owners[0]] == 0 || wins[owners[1]] == 0 {
			t.Errorf("wins: %v", wins)
		}
		t.Logf("wins in %d rounds: %v; %d times one of them was late", *rounds, wins, late)
		allKept(t, w, before)
		for name, host := range w.State().Hosts {
			if host.Boots != before.Hosts[name].Boots+2 {
				t.Errorf("%s: %d reboots, want 2", name, host.Boots-before.Hosts[name].Boots)
			}
			for kb, times := range host.Installed {
				if times > 1 {
					t.Errorf("%s: KB%s was installed %d times", name, kb, times)
				}
			}
		}
	})
}
