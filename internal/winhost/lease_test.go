package winhost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

const leaseText = `{"format":1,"run":"r1","owner":"ann","attempt":"2","nonce":"mine","every":1800,"taken":5,"renewed":5,"released":false}`

// TestEveryCallCarriesTheLease: once it is taken, and until it is let go.
func TestEveryCallCarriesTheLease(t *testing.T) {
	t.Parallel()
	h, f := newFake(t, func(_ int, a asked) error {
		switch a.script {
		case "lease":
			a.say("answer", `{"held":true,"lease":`+leaseText+`,"live":true,"journal":null}`)
		case "ready":
			a.say("answer", readyText)
		default:
			a.say("answer", `{"journal":`+journalText+`}`)
		}
		return nil
	})
	record := func() {
		t.Helper()
		if _, err := h.Record(context.Background(), procedure.Change{Run: "r1"}); err != nil {
			t.Fatal(err)
		}
	}
	record()
	claim := procedure.Claim{Run: "r1", Owner: "ann", Attempt: "2", Nonce: "mine", Every: 30 * time.Minute}
	if got, err := h.Take(context.Background(), claim); err != nil || !got.Held {
		t.Fatal(got, err)
	}
	h.Pace(5 * time.Minute)
	record()
	if _, err := h.Arm(context.Background(), procedure.Change{Run: "r1"}, procedure.Deadman{Off: true}); err != nil {
		t.Fatal(err)
	}
	if h.Renewed().IsZero() {
		t.Error("nothing was renewed")
	}
	if err := h.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
	record()
	want := []string{"<nil>", "<nil>", "map[every:300 nonce:mine]", "map[every:300 nonce:mine]", "<nil>", "<nil>"}
	var got []string
	for _, a := range f.all {
		got = append(got, fmt.Sprint(a.request["lease"]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"off": true, "script": "", "after": 0.0, "until": 0.0}, f.all[3].request["deadman"]); diff != "" {
		t.Error(diff)
	}
}

func TestLeaseOfAnother(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]error{
		`"answer":{"held":true,"lease":null,"live":true,"journal":null}`:                     procedure.ErrUnreadable,
		`"answer":{"held":true,"lease":` + leaseText + `,"live":true,"journal":null}`:        procedure.ErrUnreadable, // not our nonce
		`"answer":{"held":false,"lease":{"format":2},"live":true,"journal":null}`:            procedure.ErrUnreadable,
		`"answer":{"held":false,"lease":{"format":1,"run":"r1"},"live":true,"journal":null}`: procedure.ErrUnreadable,
		`"error":{"kind":"lease","message":"run r2 of bob holds the lease now","code":""}`:   procedure.ErrTaken,
		`"error":{"kind":"newer","message":"run.json has the format 2","code":""}`:           procedure.ErrRefused,
		`"error":{"kind":"journal","message":"run.json cannot be read","code":""}`:           procedure.ErrRefused,
	} {
		h, _ := newFake(t, func(_ int, a asked) error {
			a.out(fmt.Sprintf("{\"nonce\":%q,%s}", a.nonce, answer))
			return nil
		})
		_, err := h.Take(context.Background(), procedure.Claim{Run: "r1", Nonce: "other", Every: time.Minute})
		var fault *procedure.Fault
		if !errors.Is(err, want) || !errors.As(err, &fault) || fault.Remedy == "" {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

// TestNobodyRenewsWhileAHostComesBack: each attempt is a login, and three refused ones are all that a host is sent.
func TestNobodyRenewsWhileAHostComesBack(t *testing.T) {
	t.Parallel()
	var h *Host
	h, _ = newFake(t, func(_ int, a asked) error {
		switch {
		case a.script == "lease":
			a.say("answer", `{"held":true,"lease":`+leaseText+`,"live":true,"journal":null}`)
			return nil
		case h.clock.Since(h.Renewed()) > time.Minute:
			t.Error("the lease looks as if it had to be renewed")
		}
		return denied()
	})
	if _, err := h.Take(context.Background(), procedure.Claim{Run: "r1", Nonce: "mine", Every: 5 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Ready(context.Background(), procedure.Readiness{BootBefore: "1", Limit: time.Hour}, func(string) {
		if h.clock.Since(h.Renewed()) > time.Minute {
			t.Error("the lease looks as if it had to be renewed")
		}
	}); !errors.Is(err, procedure.ErrDenied) {
		t.Error(err)
	}
	if h.clock.Since(h.Renewed()) < time.Minute {
		t.Error("what was not renewed counts as renewed")
	}
}

// TestReleaseAfterALostAnswer: a lease whose answer was lost may be ours, so it is let go of all the same; one that
// was refused is not asked for again.
func TestReleaseAfterALostAnswer(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]int{"": 2, "refused": 1} {
		h, f := newFake(t, func(n int, a asked) error {
			switch {
			case a.request["action"] == "release":
				a.say("answer", `{"held":false,"lease":null,"live":false,"journal":null}`)
			case answer == "refused":
				a.say("answer", `{"held":false,"lease":`+leaseText+`,"live":true,"journal":null}`)
			default:
				return &procedure.Fault{Kind: procedure.ErrNoReply, Problem: "connection reset"}
			}
			return nil
		})
		_, _ = h.Take(context.Background(), procedure.Claim{Run: "r2", Nonce: "ours", Every: time.Minute})
		if err := h.Release(context.Background()); err != nil || len(f.all) != want {
			t.Errorf("%q: %v after %d calls, want %d", answer, err, len(f.all), want)
		}
	}
}

// TestReleaseOfALostLease: who lets go of a lease that is somebody else's by now is told so.
func TestReleaseOfALostLease(t *testing.T) {
	t.Parallel()
	h, _ := newFake(t, func(_ int, a asked) error {
		lease := strings.Replace(leaseText, "mine", "ours", 1)
		if a.request["action"] == "release" {
			lease = leaseText
		}
		a.say("answer", fmt.Sprintf(`{"held":%t,"lease":%s,"live":true,"journal":null}`, a.request["action"] == "take", lease))
		return nil
	})
	if _, err := h.Take(context.Background(), procedure.Claim{Run: "r2", Nonce: "ours", Every: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if err := h.Release(context.Background()); !errors.Is(err, procedure.ErrTaken) {
		t.Errorf("got %v", err)
	}
}
