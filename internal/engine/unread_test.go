package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/octopatch/octopatch/internal/procedure"
)

// TestRecoverWhereHealthCannotBeRead: a node that its host says is well is not reverted because Octopus or its URL
// cannot be read. Nothing is changed, and the operator decides.
func TestRecoverWhereHealthCannotBeRead(t *testing.T) {
	for name, unreadable := range map[string]func(*world, *Engine){
		"page":    func(w *world, _ *Engine) { w.html = true },
		"silence": func(w *world, _ *Engine) { w.down = true },
		"its URL": func(w *world, e *Engine) { e.Server = farServer{w, ""} },
		"another": func(w *world, e *Engine) { e.Server = farServer{w, "B"} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, kept := newWorld("A"), keeper{}
				w.nodes[0].neverRuns = true
				e, _, f := w.engineWithProvider()
				e.Keep, e.Copy = kept.keep, kept.copy
				if r := e.RunAll(context.Background()); r.Exit != ExitFailed {
					t.Fatalf("exit %d, %v", r.Exit, r.Err)
				}
				w.nodes[0].neverRuns, w.nodes[0].service.State = false, "Running" // somebody has repaired it
				recovers := func(force string) (Result, []string) {
					second, _ := w.engine()
					second.Run, second.Node, second.Provider, second.Rules = "other", "A", f, e.Rules
					second.Keep, second.Copy, second.Rules.Recover = kept.keep, kept.copy, force
					unreadable(w, second)
					began := len(w.writes)
					return second.Recover(context.Background()), slices.DeleteFunc(slices.Clone(w.writes[began:]), func(what string) bool { return what == "host lease A" || what == "host release A" })
				}
				before := w.snapshot()
				r, wrote := recovers("")
				if r.Exit != ExitUnknown || len(wrote) > 0 || w.snapshot() != before || !strings.Contains(fmt.Sprint(r.Err), "cannot be read, so it is not reverted") || !strings.Contains(r.Next, "octopatch recover") {
					t.Errorf("exit %d, %v; next %q; wrote %q", r.Exit, r.Err, r.Next, wrote)
				}
				if _, wrote = recovers(procedure.RecoverForce); !slices.Contains(wrote, "precaution revert A") {
					t.Errorf("forced, and not reverted: %q", wrote)
				}
			})
		})
	}
}

// farServer is Octopus where the node's own URL does not answer, or as another node.
type farServer struct {
	*world
	as string
}

func (s farServer) Ping(ctx context.Context, node string) (procedure.NodePing, error) {
	if s.as == "" {
		return procedure.NodePing{}, &procedure.Fault{Kind: procedure.ErrUnreachable, Problem: "connection refused"}
	}
	return procedure.NodePing{Status: 200, Name: s.as}, nil
}
