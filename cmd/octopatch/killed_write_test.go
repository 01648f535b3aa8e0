package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

var kills = flag.Int("kills", 3, "writes, drawn by a seed, at which a runner is killed")

// TestKilledAtAWrite: a run as a process of its own is killed, as kill -9 does, at the moment at which the world
// has taken one of its writes and not answered yet. Nothing of it reaches the world afterwards; once its leases are
// stale a plain run goes on, and the world is as promised.
func TestKilledAtAWrite(t *testing.T) {
	t.Parallel()
	const seed, writes = 20261213, 30 // as many as a run of two nodes makes
	draw := rand.New(rand.NewPCG(seed, 0))
	for _, n := range draw.Perm(writes)[:min(*kills, writes)] {
		t.Run(fmt.Sprintf("write %d", n+1), func(t *testing.T) {
			steadily(t, func(t *attempt) { diesAtWrite(t, n+1) })
		})
	}
}

func diesAtWrite(t *attempt, at int) {
	w := newWorld(t, rehearsal.Options{Nodes: 2})
	before := w.State()
	s := start(t, w.Environ(), "run")
	w.Log.Notice(func(n int) {
		if n == at {
			_ = s.process.Process.Kill() // it may have ended: then the exit code below says so
		}
	})
	if got := s.end(); got.exit != -1 {
		t.Fatalf("it ended in %d before write %d:\n%s", got.exit, at, got.out)
	}
	w.Log.Notice(nil)
	last := w.Log.Writes()[at-1]
	t.Logf("killed at write %d: %s %s %s", at, last.Node, last.What, last.Detail)
	if err := w.Clock.Sleep(t.Context(), 2*time.Minute); err != nil { // what was on its way has arrived
		t.Fatal(err)
	}
	asked, wrote := w.OctopusRequests().Total, w.Log.Writes()
	if err := w.Clock.Sleep(t.Context(), 91*time.Minute); err != nil { // until every lease is stale
		t.Fatal(err)
	}
	if now := w.OctopusRequests().Total; now != asked {
		t.Errorf("%d requests reached Octopus after the kill", now-asked)
	}
	for _, one := range w.Log.Writes()[len(wrote):] {
		if one.What != "host deadman" {
			t.Errorf("after the kill: %+v", one)
		}
	}
	octopatch(t.Context(), w.Environ(), "run").wants(t, 0)
	allKept(t, w, before)
	for name, host := range w.State().Hosts {
		if host.Boots > before.Hosts[name].Boots+2 {
			t.Errorf("%s: %d reboots, want 2", name, host.Boots-before.Hosts[name].Boots)
		}
		for kb, times := range host.Installed {
			if times > 1 {
				t.Errorf("%s: KB%s was installed %d times", name, kb, times)
			}
		}
	}
}
