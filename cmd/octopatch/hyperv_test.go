package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/octopatch/octopatch/internal/rehearsal/windows"
)

// hypervWorld is a world whose nodes are virtual machines; more are settings.
func hypervWorld(t *attempt, faults string, more ...string) (*rehearsal.World, []string) {
	w := newWorld(t, rehearsal.Options{Nodes: 1, Faults: faults, HyperV: true})
	return w, with(w.Environ(), append(more, "OCTOPATCH_PRECAUTION=hyperv")...)
}

// TestHyperVCheckpoints prints Hyper-V's own list of checkpoints as the phases pass: taken after stop, there while
// the node is patched and soaked, and removed at the end; kept when the node's health is not proved, or as asked.
func TestHyperVCheckpoints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, fault, keep string
		exit, left        int
	}{{"soaked", "", "0s", 0, 0}, {"failed health", "service-wont-start@OCTO-01", "0s", 1, 1}, {"kept", "", "72h", 0, 1}} {
		t.Run(c.name, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w, environ := hypervWorld(t, c.fault, "OCTOPATCH_PRECAUTION_KEEP="+c.keep)
				list := func() []string { return w.VirtualMachines()["OCTO-01"].Checkpoints }
				var got ending
				seen := inTurn(list, func() { got = octopatch(t.Context(), environ, "run") })
				got.wants(t, c.exit)
				t.Logf("checkpoints in turn: %s", strings.Join(seen, " then "))
				if len(seen) != 3-c.left || seen[0] != "[]" || !strings.HasPrefix(seen[1], "[octopatch-") || len(list()) != c.left {
					t.Errorf("checkpoints in turn: %q", seen)
				}
				if vm := w.VirtualMachines()["OCTO-01"]; vm.Type != "Production" || vm.Notes != "Octopus node, ask Ann" || vm.State != "Running" {
					t.Errorf("the virtual machine is %+v", vm)
				}
				if c.keep != "0s" && !strings.Contains(seen[1], ", expires ") {
					t.Errorf("no expiry in %q", seen[1])
				}
			})
		})
	}
}

// TestHyperVLeftovers: what a run has left is named by the next one, and its own checkpoint is not.
func TestHyperVLeftovers(t *testing.T) {
	steadily(t, func(t *attempt) {
		w, environ := hypervWorld(t, "service-wont-start@OCTO-01")
		octopatch(t.Context(), environ, "run").wants(t, 1)
		left := w.VirtualMachines()["OCTO-01"].Checkpoints
		if len(left) != 1 {
			t.Fatalf("checkpoints %q", left)
		}
		const forgotten = "of an earlier run is still there"
		octopatch(t.Context(), environ, "plan").wants(t, 0, "!"+forgotten) // the run is open, and the checkpoint is its own
		octopatch(t.Context(), with(environ, "OCTOPATCH_NODE=OCTO-01"), "recover").wants(t, 0)
		if left = w.VirtualMachines()["OCTO-01"].Checkpoints; len(left) != 0 {
			t.Fatalf("checkpoints after recover: %q", left)
		}

		w, environ = hypervWorld(t, "")
		kept := with(environ, "OCTOPATCH_PRECAUTION_KEEP=1m")
		octopatch(t.Context(), kept, "run").wants(t, 0, "is kept until")
		name, _, _ := strings.Cut(w.VirtualMachines()["OCTO-01"].Checkpoints[0], ", expires ")
		octopatch(t.Context(), kept, "preflight").wants(t, 0, "the precaution "+name+" of an earlier run expired at ")
	})
}

// TestHyperVWritesAreAskedFor: each write on the Hyper-V host fails unapplied, with an error, and after it was
// applied; the run has one checkpoint all the same, removes it, and leaves the machine with its own settings.
func TestHyperVWritesAreAskedFor(t *testing.T) {
	t.Parallel()
	for _, write := range []string{"checkpoint-take", "checkpoint-remove"} {
		for fate, name := range map[windows.Fate]string{windows.Unapplied: "unapplied", windows.Lost: "lost", windows.Failed: "failed"} {
			t.Run(write+"/"+name, func(t *testing.T) {
				steadily(t, func(t *attempt) {
					w, environ := hypervWorld(t, "")
					w.InjectHyperV(write, 1, fate)
					octopatch(t.Context(), environ, "run").wants(t, 0)
					if vm := w.VirtualMachines()["OCTO-01"]; vm.Type != "Production" || vm.Notes != "Octopus node, ask Ann" || len(vm.Checkpoints) > 0 {
						t.Errorf("the virtual machine is %+v", vm)
					}
					var fates []string
					for _, one := range w.Log.Writes() {
						if one.What == strings.Replace(write, "-", " ", 1) {
							fates = append(fates, one.Fate)
						}
					}
					want := map[windows.Fate][]string{windows.Unapplied: {"unapplied", "applied"}, windows.Lost: {"lost reply"}, windows.Failed: {"unapplied", "applied"}}[fate]
					if write == "checkpoint-take" && fate == windows.Lost { // what is there is held against what was asked for
						want = append(want, "applied")
					}
					if !slices.Equal(fates, want) {
						t.Errorf("the world's log has %q of %s, want %q", fates, write, want)
					}
				})
			})
		}
	}
}

// TestHyperVMachineThatMoves: a failover cluster takes the machine to another host after preflight. It is not found
// where it was: nothing is taken, nothing is patched, and the node is opened again.
func TestHyperVMachineThatMoves(t *testing.T) {
	steadily(t, func(t *attempt) {
		w, environ := hypervWorld(t, "")
		before := w.State()
		w.Log.Notice(func(n int) {
			if writes := w.Log.Writes(); writes[n-1].What == "host stop" {
				w.MoveAway("OCTO-01")
			}
		})
		got := octopatch(t.Context(), environ, "run")
		got.wants(t, 6, "runs 0 virtual machines called OCTO-01; in a failover cluster it may have moved to another host")
		for _, p := range rehearsal.Compare(before, w.State()) {
			if !p.Kept && !p.Asked {
				t.Errorf("not so: %s %s", p.Node, p.What)
			}
		}
	})
}
