package engine

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

// meeting is a cluster whose runs drain at once: each has asked who carries the work, and was told that the others do.
type meeting struct {
	*world
	arrived, drained *sync.WaitGroup
}

func (m meeting) SetDrain(ctx context.Context, node string, on bool) error {
	if !on {
		return m.world.SetDrain(ctx, node, on)
	}
	m.arrived.Done()
	m.arrived.Wait()
	err := m.world.SetDrain(ctx, node, on)
	m.drained.Done()
	m.drained.Wait()
	return err
}

// TestTwoRunsOfOneCluster: with different nodes they do not lock each other out, and the last one that could carry the
// work is not taken out of service: what was drained is undone, and nothing is stopped.
func TestTwoRunsOfOneCluster(t *testing.T) {
	for _, command := range []string{"run", procedure.Enter} {
		t.Run(command, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("A", "B")
				before := w.snapshot()
				var arrived, drained sync.WaitGroup
				arrived.Add(2)
				drained.Add(2)
				w.inject = func(_ int, what string) string {
					if what == "host stop A" && w.nodes[1].state.Drained || what == "host stop B" && w.nodes[0].state.Drained {
						t.Errorf("%s, and nobody carries the work", what)
					}
					return ""
				}
				results := make(chan Result, 2)
				for _, node := range []string{"A", "B"} {
					e, _ := w.engine()
					e.All, e.Nodes, e.Node, e.Run = false, []Listed{{Name: node}}, node, "run-of-"+node
					e.Cluster = meeting{w, &arrived, &drained}
					go func() {
						if command == "run" {
							results <- e.RunAll(context.Background())
							return
						}
						p, _ := procedure.Find(command)
						results <- e.Alone(context.Background(), p)
					}()
				}
				stopped := 0
				for range 2 {
					r := <-results
					if r.Exit == ExitDone {
						continue
					}
					stopped++
					if r.Exit != ExitStopped || !strings.Contains(fmt.Sprint(r.Err), "nobody would carry its work") || r.Next != "" {
						t.Errorf("exit %d, next %q, %v", r.Exit, r.Next, r.Err)
					}
					if n := w.node(r.Nodes[0].Node); n.state.Drained || n.journal != nil || n.lease != nil || n.service.State != "Running" {
						t.Errorf("it is not as before: %+v", n)
					}
				}
				if stopped == 0 {
					t.Error("both went on")
				}
				if got := w.snapshot(); command == "run" && got != before {
					t.Errorf("the world differs (+got, -want):\n%s\nwrites %q", cmp.Diff(before, got), w.writes)
				}
			})
		})
	}
}
