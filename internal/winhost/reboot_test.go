package winhost

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/octopatch/octopatch/internal/procedure"
)

const readyText = `{"ready":true,"waiting":"","windows":` + windowsText + `}`

func ready(h *Host, before string, limit time.Duration) (procedure.Windows, []string, error) {
	var said []string
	w, err := h.Ready(context.Background(), procedure.Readiness{BootBefore: before, Quiet: time.Minute, Limit: limit}, func(what string) {
		if len(said) == 0 || said[len(said)-1] != what {
			said = append(said, what)
		}
	})
	return w, said, err
}

// While the host restarts nothing answers, and that is what is awaited.
func TestReadyOutlastsTheRestart(t *testing.T) {
	t.Parallel()
	h, f := newFake(t, func(n int, a asked) error {
		switch {
		case n == 1:
			a.say("progress", `{"waiting":"the restart to begin"}`)
			return noReply()
		case n < 9:
			return unreachable()
		case n == 9:
			a.say("progress", `{"waiting":"the logon screen"}`)
			a.say("answer", `{"ready":false,"waiting":"the logon screen","windows":null}`)
			return nil
		}
		a.say("answer", readyText)
		return nil
	})
	w, said, err := ready(h, "133000000000000000", time.Hour)
	if err != nil || w.Boot != "133000000000000001" || w.UBR != 2113 {
		t.Fatalf("got %+v, %v", w, err)
	}
	if want := []string{"the restart to begin", "the host to answer", "the logon screen"}; !cmp.Equal(said, want) {
		t.Errorf("said %q", said)
	}
	if f.all[0].request["bootBefore"] != "133000000000000000" {
		t.Errorf("asked %v", f.all[0].request)
	}
}

func TestReadyHasALimit(t *testing.T) {
	t.Parallel()
	h, _ := newFake(t, func(int, asked) error { return unreachable() })
	began := h.clock.Now()
	if _, _, err := ready(h, "1", 5*time.Minute); !errors.Is(err, procedure.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	if took := h.clock.Since(began); took > 30*time.Minute {
		t.Errorf("took %s", took)
	}
}

// A host that takes the connection and then says nothing does not hold us for ever.
func TestReadyGivesASilentHostUp(t *testing.T) {
	t.Parallel()
	h, _ := newFake(t, func(n int, a asked) error {
		if n == 1 {
			<-a.ctx.Done()
			return context.Cause(a.ctx)
		}
		a.say("answer", readyText)
		return nil
	})
	began := h.clock.Now()
	if _, _, err := ready(h, "1", time.Hour); err != nil {
		t.Error(err)
	}
	if took := h.clock.Since(began); took > 30*time.Minute {
		t.Errorf("took %s", took)
	}
}

func TestReadyAndTheLogin(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		before   string
		refusals int
		commands int
		want     error
	}{
		{"refused_twice_after_a_reboot", "1", 2, 3, nil},
		{"refused_for_good", "1", 99, deniedTries, procedure.ErrDenied},
		{"refused_without_a_reboot", "", 99, 1, procedure.ErrDenied},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, _ := newFake(t, func(n int, a asked) error {
				if n <= c.refusals {
					return denied()
				}
				a.say("answer", readyText)
				return nil
			})
			began := h.clock.Now()
			_, _, err := ready(h, c.before, time.Hour)
			if !errors.Is(err, c.want) || h.Commands() != c.commands {
				t.Errorf("after %d commands: %v", h.Commands(), err)
			}
			if c.refusals >= deniedTries && c.before != "" { // whatever is left to be done
				if _, err := h.Probe(context.Background()); !errors.Is(err, procedure.ErrDenied) || h.Commands() != c.commands {
					t.Errorf("the login is tried once more: %d commands, %v", h.Commands(), err)
				}
			}
			if c.commands > 1 && h.clock.Since(began) < time.Duration(c.commands-1)*deniedPause {
				t.Errorf("%d attempts within %s", c.commands, h.clock.Since(began))
			}
		})
	}
}

func TestReadyRefusedByTheHost(t *testing.T) {
	t.Parallel()
	h, _ := newFake(t, func(_ int, a asked) error {
		a.say("error", `{"kind":"language","message":"ConstrainedLanguage"}`)
		return nil
	})
	if _, _, err := ready(h, "1", time.Hour); !errors.Is(err, procedure.ErrRefused) || h.Commands() != 1 {
		t.Errorf("after %d commands: %v", h.Commands(), err)
	}
}
