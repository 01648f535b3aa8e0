package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/octopatch/octopatch/internal/rehearsal/record"
)

var cells = flag.Int("cells", 6, "cells of the fault matrix, drawn by a seed, that are gone through in the rehearsal's world; 0: all")

// cellSpeeds are those at which a cell is gone through, the next one where the machine stood still.
var cellSpeeds = []float64{1000, 400, 100}

// worldCell is one write and one fate of it, with and without the dead-man switch.
type worldCell struct {
	nodes   int
	write   int // from 1
	fate    string
	deadman string
}

// TestFaultMatrixOfTheWorld goes through cells of the matrix's first sections, a run of both topologies, in the
// rehearsal's world, over HTTP and WS-Management, where the adapters and the scripts' twins stand between the engine
// and the world. `.ci/run` goes through more of them.
func TestFaultMatrixOfTheWorld(t *testing.T) {
	t.Parallel()
	var all []worldCell
	for nodes := range 2 {
		for write := range rows(&attempt{T: t}, "run", nodes+1) {
			for _, fate := range []string{"dead before", "dead after", "lost", "unapplied"} {
				for _, deadman := range []string{"0", "45m"} {
					all = append(all, worldCell{nodes + 1, write + 1, fate, deadman})
				}
			}
		}
	}
	for _, c := range drawn(all) {
		t.Run(fmt.Sprintf("%d node(s)/write %02d/%s/deadman %s", c.nodes, c.write, c.fate, c.deadman), func(t *testing.T) {
			steadilyAt(t, cellSpeeds, func(t *attempt) { c.play(t) })
		})
	}
}

// drawn is as many of them as -cells says.
func drawn[cell any](all []cell) []cell {
	rand.New(rand.NewPCG(20261213, 1)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if *cells > 0 {
		all = all[:min(*cells, len(all))]
	}
	return all
}

func (c worldCell) play(t *attempt) {
	w := newWorld(t, rehearsal.Options{Nodes: c.nodes, Program: program(t.T)})
	before := w.State()
	ctx, die := context.WithCancel(t.Context())
	defer die()
	n, died, struck := 0, false, ""
	w.Log.Decide(func(one record.Write) record.Fate {
		if n++; n != c.write {
			return record.AsItComes
		}
		t.Logf("%s: %s %s", c.fate, one.What, one.Detail)
		struck = one.What
		if died = c.fate == "dead before" || c.fate == "dead after"; died {
			w.Refuse(true)
			die()
		}
		if c.fate == "dead after" || c.fate == "lost" {
			return record.Lost
		}
		return record.Unapplied
	})
	environ := with(w.Environ(), "OCTOPATCH_PRECAUTION=command", "OCTOPATCH_DEADMAN="+c.deadman, "OCTOPATCH_STATE_DIR="+t.TempDir())
	first := octopatch(ctx, environ, "run")
	w.Log.Decide(nil)
	// The precaution of the world is a command of one's own, and that it fails is its word: it is not asked again.
	refused, failed := w.Refuse(false), struck == "snapshot take" && !died
	if (first.exit != 0) != (died || failed) {
		t.Errorf("the run ends in %d:\n%s", first.exit, first.out)
	}
	if died {
		t.Logf("%d requests of the dead process were cut off", refused)
		if err := w.Clock.Sleep(t.Context(), 91*time.Minute); err != nil {
			t.Fatal(err)
		}
		if stopped := !serves(w.State()); stopped && c.deadman != "0" {
			t.Errorf("the dead-man switch has not started the service: %+v", w.State())
		}
	}
	first.out += octopatch(t.Context(), environ, "run").out
	octopatch(t.Context(), environ, "run").wants(t, 0, "nothing to install")
	allKept(t, w, before)
	for name, host := range w.State().Hosts {
		if boots := host.Boots - before.Hosts[name].Boots; boots != 2 {
			t.Errorf("%s: %d reboots, want 2", name, boots)
		}
		for kb, times := range host.Installed {
			if times > 1 {
				t.Errorf("%s: KB%s was installed %d times", name, kb, times)
			}
		}
	}
	left, said := len(w.Snapshots()), strings.Contains(first.out, "could not be removed: remove it by hand")
	if unremoved := struck == "snapshot remove" && c.fate == "unapplied"; left > 0 != unremoved || unremoved && !said {
		t.Errorf("left behind: %v; said: %t", w.Snapshots(), said)
	}
}

// serves: the service of every node runs.
func serves(s rehearsal.State) bool {
	for _, n := range s.Cluster.Nodes {
		if _, ours := s.Hosts[n.Name]; ours && !n.Serving {
			return false
		}
	}
	return true
}
