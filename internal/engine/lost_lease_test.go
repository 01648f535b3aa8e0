package engine

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// TestALostLeaseRevertsNothing: a run whose host is somebody else's by now neither reverts nor writes there any more,
// whatever OCTOPATCH_ON_FAILURE says.
func TestALostLeaseRevertsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		e, _, _ := w.engineWithProvider()
		e.Rules.OnFailure = procedure.OnFailureRevert
		taken := 0
		w.inject = func(n int, what string) string {
			if what == "host reboot A" && taken == 0 {
				taken = n
				w.nodes[0].lease = &procedure.Lease{Format: 1, Run: "other", Owner: "bob", Nonce: "bob", Every: 300, Renewed: time.Now().Unix()}
			}
			return ""
		}
		r := e.RunAll(context.Background())
		if taken == 0 || r.Exit == ExitDone {
			t.Fatalf("exit %d, %v; the lease was taken at write %d", r.Exit, r.Err, taken)
		}
		for _, what := range w.writes[taken:] {
			if strings.HasSuffix(what, " A") && (strings.HasPrefix(what, "precaution") || strings.HasPrefix(what, "host")) && what != "host release A" { // which lets go of one's own only
				t.Errorf("somebody else works on it, and yet: %s", what)
			}
		}
	})
}

// TestInterruptRightBeforeStop: nothing was asked of the host yet, so the node is opened again.
func TestInterruptRightBeforeStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		before := w.snapshot()
		e, _ := w.engine()
		ctx, cancel := context.WithCancel(context.Background())
		e.Hook = func(c context.Context, m Moment) error {
			if m.When == Before && m.Phase == procedure.Stop {
				cancel()
			}
			return c.Err()
		}
		r := e.RunAll(ctx)
		if r.Exit != ExitInterrupted || w.snapshot() != before {
			t.Errorf("exit %d, %v, and the world\n%s", r.Exit, r.Err, w.snapshot())
		}
	})
}

// TestVetoOverAHalfPatchedNode: a hook that forbids to go on patching what an earlier process began leaves the node
// out of service: it is not as it was.
func TestVetoOverAHalfPatchedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		for _, phase := range []string{"enter", "wait", "stop"} {
			if r := alone(w, phase, "A"); r.Exit != ExitDone {
				t.Fatalf("%s: exit %d, %v", phase, r.Exit, r.Err)
			}
		}
		w.node("A").journal.Phases[procedure.Patch] = procedure.PhaseRecord{Began: time.Now().Unix()}
		e, _ := w.engine()
		w.named(e)
		e.Hook = func(_ context.Context, m Moment) error {
			if m.When == Before && m.Phase == procedure.Patch {
				return context.DeadlineExceeded
			}
			return nil
		}
		r := e.RunAll(context.Background())
		if n := w.node("A"); r.Exit != ExitFailed || n.service.State != "Stopped" || !n.state.Drained || n.journal == nil {
			t.Errorf("exit %d, %v, and the world\n%s", r.Exit, r.Err, w.snapshot())
		}
	})
}

// slowRevert is a provider whose revert begins long after the lease was let go for it.
type slowRevert struct {
	*fakeProvider
	live *bool // whether the lease was live when it began
}

func (s slowRevert) Revert(ctx context.Context, p procedure.Point, say func(string)) error {
	time.Sleep(20 * time.Minute)
	unlock := s.w.locked()
	l := s.w.node(p.Node).lease
	*s.live = l != nil && l.Live(time.Now())
	unlock()
	return s.fakeProvider.Revert(ctx, p, say)
}

// TestTheLeaseStaysLetGoForARevert: nobody takes it again beside a revert, which would rewind it, or be refused by it.
func TestTheLeaseStaysLetGoForARevert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("A", "B")
		e, _, f := w.engineWithProvider()
		live := false
		e.Provider, e.Rules.OnFailure = slowRevert{f, &live}, procedure.OnFailureRevert
		w.node("A").neverRuns = true
		r := e.RunAll(context.Background())
		if got := w.node("A"); live || got.service.State != "Running" {
			t.Errorf("the lease was live: %t; the service is %s after exit %d, %v", live, got.service.State, r.Exit, r.Err)
		}
	})
}
