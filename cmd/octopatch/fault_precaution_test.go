package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/octopatch/octopatch/internal/rehearsal/record"
)

// precautionRun is a command whose writes for a precaution are each tried in every way.
type precautionRun struct {
	precaution, command string
	faults              string   // before recover, an earlier run has left the node held because of them
	writes              []string // of the precaution, in the world's own words
}

var precautionRuns = []precautionRun{
	{"hyperv", "run", "", []string{"checkpoint take", "checkpoint remove"}},
	{"hyperv", "recover", "service-wont-start@OCTO-01", []string{"checkpoint revert", "checkpoint remove"}},
	{"image", "run", "", []string{"host image take", "host image remove"}},
	{"restore-point", "run", "client-edition", []string{"host restore take"}},
	{"restore-point", "recover", "client-edition,service-wont-start@OCTO-01", []string{"host restore revert"}},
}

func (p precautionRun) world(t *attempt) (*rehearsal.World, []string) {
	w := newWorld(t, rehearsal.Options{Nodes: 1, Faults: p.faults, HyperV: p.precaution == "hyperv"})
	environ := with(w.Environ(), "OCTOPATCH_PRECAUTION="+p.precaution, "OCTOPATCH_IMAGE_TARGET="+rehearsal.ImageShare, "OCTOPATCH_NODE=OCTO-01", "OCTOPATCH_STATE_DIR="+t.TempDir())
	if p.precaution != "image" {
		environ = with(environ, "OCTOPATCH_IMAGE_TARGET=")
	}
	return w, environ
}

// precautionCell is one write of such a command and one fate of it.
type precautionCell struct {
	precautionRun
	what, fate string
}

// TestFaultMatrixOfPrecautions tries each write that a precaution itself makes, on the Hyper-V host or in a task of the
// node, in every way of the fault matrix, over WS-Management; as many of these cells as -cells says. The writes are those of the world's own log of a plain
// run, and one that is not named above fails.
func TestFaultMatrixOfPrecautions(t *testing.T) {
	t.Parallel()
	var all []precautionCell
	for _, p := range precautionRuns {
		t.Run(p.precaution+"/"+p.command, func(t *testing.T) {
			steadilyAt(t, cellSpeeds, func(t *attempt) {
				w, environ := p.world(t)
				if p.command == "recover" {
					octopatch(t.Context(), environ, "run").wants(t, 1)
				}
				began := len(w.Log.Writes())
				octopatch(t.Context(), environ, p.command).wants(t, 0)
				var seen []string
				for _, one := range w.Log.Writes()[began:] {
					if ofPrecaution(one.What) {
						seen = append(seen, one.What)
					}
				}
				seen = slices.Compact(seen) // an image takes longer than one command follows it
				if !slices.Equal(seen, p.writes) {
					t.Errorf("the world's log has %q, and there are rows for %q", seen, p.writes)
				}
			})
		})
		for _, what := range p.writes {
			for _, fate := range []string{"dead before", "dead after", "lost", "unapplied"} {
				all = append(all, precautionCell{p, what, fate})
			}
		}
	}
	for _, c := range drawn(all) {
		t.Run(fmt.Sprintf("%s/%s/%s/%s", c.precaution, c.command, c.what, c.fate), func(t *testing.T) {
			steadilyAt(t, cellSpeeds, func(t *attempt) { c.play(t, c.what, c.fate) })
		})
	}
}

func ofPrecaution(what string) bool {
	return slices.ContainsFunc([]string{"checkpoint ", "host image ", "host restore "}, func(kind string) bool { return strings.HasPrefix(what, kind) })
}

func (p precautionRun) play(t *attempt, what, fate string) {
	w, environ := p.world(t)
	before := w.State()
	if p.command == "recover" {
		octopatch(t.Context(), environ, "run").wants(t, 1)
	}
	ctx, die := context.WithCancel(t.Context())
	defer die()
	struck, died := false, strings.HasPrefix(fate, "dead")
	w.Log.Decide(func(one record.Write) record.Fate {
		if struck || one.What != what {
			return record.AsItComes
		}
		if struck = true; died {
			w.Refuse(true)
			die()
		}
		if fate == "dead after" || fate == "lost" {
			return record.Lost
		}
		return record.Unapplied
	})
	first := octopatch(ctx, environ, p.command)
	w.Log.Decide(nil)
	w.Refuse(false)
	if (first.exit != 0) != died || !struck {
		t.Errorf("%s ends in %d; struck: %t\n%s", p.command, first.exit, struck, first.out+first.errs)
	}
	if died {
		if err := w.Clock.Sleep(t.Context(), 91*time.Minute); err != nil {
			t.Fatal(err)
		}
		second := octopatch(t.Context(), environ, p.command)
		t.Logf("a fresh %s ends in %d", p.command, second.exit)
		if second.exit == 4 && p.command == "recover" { // it is healthy already, and nobody has opened it
			second = octopatch(t.Context(), environ, "exit")
		}
		second.wants(t, 0)
	}
	for _, promise := range rehearsal.Compare(before, w.State()) {
		if !promise.Kept && (p.command != "recover" || !promise.Asked) {
			t.Errorf("%s: broken: %s", promise.Node, promise.What)
		}
	}
	if !serves(w.State()) {
		t.Error("the node does not serve")
	}
	for name, host := range w.State().Hosts {
		for kb, times := range host.Installed {
			if times > 1 {
				t.Errorf("%s: KB%s was installed %d times", name, kb, times)
			}
		}
	}
	if images := w.Images(); len(images) > 0 {
		t.Errorf("images are left: %v", images)
	}
	if vm := w.VirtualMachines()["OCTO-01"]; p.precaution == "hyperv" && (len(vm.Checkpoints) > 0 || vm.Type != "Production" || vm.State != "Running") {
		t.Errorf("the virtual machine is %+v", vm)
	}
}
