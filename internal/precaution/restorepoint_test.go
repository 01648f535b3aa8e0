package precaution

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/rehearsal/windows"
)

func newRestorePoint(t *testing.T, faults string) (RestorePoint, *windows.Machine) {
	m, open, clk := newHost(t, faults)
	return RestorePoint{Open: open, Clock: clk, Limit: 30 * time.Minute}, m
}

// back waits until the machine has restarted.
func back(t *testing.T, r RestorePoint, m *windows.Machine, boots int) {
	t.Helper()
	for range 600 {
		if m.Snapshot().Boots > boots && m.Up() {
			return
		}
		if err := r.Clock.Sleep(context.Background(), time.Second); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the machine did not restart")
}

// TestRestorePoint takes a restore point, goes back to it, and holds what Windows then has against what it had.
func TestRestorePoint(t *testing.T) {
	t.Parallel()
	r, m := newRestorePoint(t, "client-edition")
	ctx, p := context.Background(), point("1", "run1")
	if left, err := r.Check(ctx, p.Machine); err != nil || len(left) > 0 {
		t.Fatalf("check: %v, %v", left, err)
	}
	if found, err := r.Find(ctx, p); found || err != nil {
		t.Errorf("found before it was taken: %t, %v", found, err)
	}
	for range 2 { // the second time finds it
		if err := r.Take(ctx, p, quiet); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := r.Find(ctx, p); !found || err != nil || !slices.Equal(m.RestorePoints(), []string{p.Name}) {
		t.Errorf("found %t, %v; the machine has %v", found, err, m.RestorePoints())
	}
	wants(t, r.Reverted(ctx, p), procedure.ErrUnreadable, "does not say that its last restore succeeded")
	if err := r.Revert(ctx, p, quiet); err != nil {
		t.Fatal(err)
	}
	back(t, r, m, 1)
	wants(t, r.Reverted(ctx, p), nil, "")
	wants(t, r.Remove(ctx, p), procedure.ErrByHand, "Windows has no means to remove a single restore point")
	wants(t, r.Revert(ctx, point("1", "run2"), quiet), nil, "there is no restore point octopatch-run2-OCTO-01")
	// A day has not passed, and Windows makes none.
	_, err := r.Check(ctx, p.Machine)
	wants(t, err, procedure.ErrRefused, "within 1440 minutes of another one")
	wants(t, r.Take(ctx, point("1", "run2"), quiet), nil, "and there is none")
	if r.Rewinds() != procedure.RewindsWindows {
		t.Errorf("it rewinds %s", r.Rewinds())
	}
}

func TestRestorePointOnWindowsServer(t *testing.T) {
	t.Parallel()
	r, _ := newRestorePoint(t, "")
	_, err := r.Check(context.Background(), machine("1"))
	wants(t, err, procedure.ErrRefused, "System Restore is in client editions of Windows only, and this is Microsoft Windows Server 2022 Standard")
}

// TestRestorePointThreeWays: each write fails before and after it was applied; what the caller does then ends as
// if nothing had happened.
func TestRestorePointThreeWays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		fate windows.Fate
		kind error // of the first answer to take
	}{{"unapplied", windows.Unapplied, procedure.ErrNoReply}, {"lost", windows.Lost, procedure.ErrNoReply}, {"failed", windows.Failed, procedure.ErrUnreadable}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, m := newRestorePoint(t, "client-edition")
			ctx, p := context.Background(), point("1", "run1")
			m.Inject("restore", 1, c.fate)
			if err := r.Take(ctx, p, quiet); !errors.Is(err, c.kind) {
				t.Fatalf("take: %v", err)
			}
			found, err := r.Find(ctx, p)
			if err != nil || found != (c.fate == windows.Lost) {
				t.Fatalf("found %t, %v", found, err)
			}
			if err := r.Take(ctx, p, quiet); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(m.RestorePoints(), []string{p.Name}) {
				t.Errorf("the machine has %v", m.RestorePoints())
			}
			m.Inject("restore", 5, c.fate) // after the three calls above, and the look before the revert
			err = r.Revert(ctx, p, quiet)
			if applied := c.fate == windows.Lost; applied != (err == nil) || !applied && !errors.Is(err, c.kind) {
				t.Fatalf("revert: %v", err)
			}
			if c.fate != windows.Lost {
				if err := r.Revert(ctx, p, quiet); err != nil {
					t.Fatal(err)
				}
			}
			back(t, r, m, 1)
			wants(t, r.Reverted(ctx, p), nil, "")
			if boots := m.Snapshot().Boots; boots != 2 {
				t.Errorf("it has booted %d times, so it was restarted more than once", boots)
			}
		})
	}
}
