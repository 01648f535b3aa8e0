package main

import (
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/octopatch/octopatch/internal/rehearsal/record"
)

// snapshotting is the environment of a runner that takes snapshots of the world's machines.
func snapshotting(t *attempt, w *rehearsal.World) []string {
	if runtime.GOOS == "windows" {
		t.Skip("the world's precaution is a command for /bin/sh")
	}
	return with(w.Environ(), "OCTOPATCH_PRECAUTION=command", "OCTOPATCH_STATE_DIR="+t.TempDir())
}

// fires waits for the dead-man switch of OCTO-01.
func fires(t *attempt, w *rehearsal.World, limit time.Duration) record.Write {
	t.Helper()
	for began := w.Clock.Now(); ; {
		for _, one := range w.Log.Writes() {
			if one.Node == "OCTO-01" && one.What == "host deadman" {
				return one
			}
		}
		if w.Clock.Since(began) > limit {
			t.Fatalf("the dead-man switch has not fired within %s", w.Clock.Since(began))
		}
		if err := w.Clock.Sleep(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
}

// armed: the switch's task is there.
func armed(w *rehearsal.World) bool {
	for _, task := range w.State().Hosts["OCTO-01"].Tasks {
		if strings.HasSuffix(task, "deadman") {
			return true
		}
	}
	return false
}

// TestDeadmanAfterAnOrderlyHold: a node that is held was left so on purpose, and why is written down. Nothing starts it.
func TestDeadmanAfterAnOrderlyHold(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Nodes: 1, Faults: "service-wont-start@OCTO-01"})
		octopatch(t.Context(), w.Environ(), "run").wants(t, 1)
		octopatch(t.Context(), w.Environ(), "status").wants(t, 0, "held: ", "instead of Running", "!the dead-man switch is armed")
		if armed(w) {
			t.Error("the switch is armed")
		}
		if err := w.Clock.Sleep(t.Context(), 5*time.Hour); err != nil {
			t.Fatal(err)
		}
		if wrote(w, "OCTO-01", "host deadman") {
			t.Error("it has fired")
		}
	})
}

var hour = regexp.MustCompile(`the dead-man switch of the host starts the service again at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC)`)

// TestDeadmanAfterAPhaseAlone: nobody renews the lease after a phase that ran alone, so its switch has an hour: the end
// of the window, or four hours on. It says so, the next phase sets it anew, and then it fires.
func TestDeadmanAfterAPhaseAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		window string
		lasts  time.Duration
	}{"without a window": {"", 4 * time.Hour}, "in a window": {"2h", 2 * time.Hour}} {
		t.Run(name, func(t *testing.T) {
			steadilyAt(t, cellSpeeds, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Nodes: 1})
				environ := with(w.Environ(), "OCTOPATCH_WINDOW="+c.window)
				var until time.Time
				for _, phase := range []string{"enter", "wait", "stop", "precaution"} {
					got := octopatch(t.Context(), environ, phase)
					got.wants(t, 0)
					m := hour.FindStringSubmatch(got.out)
					if stopped := phase == "stop" || phase == "precaution"; stopped != (m != nil) {
						t.Fatalf("%s says %q", phase, m)
					} else if !stopped {
						continue
					}
					last := until
					var err error
					if until, err = time.Parse("2006-01-02 15:04:05 MST", m[1]); err != nil || !until.After(last) {
						t.Errorf("%s: %q, %v; it was %s", phase, m[1], err, last)
					}
					if rest := until.Sub(w.Clock.Now()); rest > c.lasts || rest < c.lasts-10*time.Minute {
						t.Errorf("after %s it fires in %s, want %s", phase, rest, c.lasts)
					}
				}
				if !armed(w) {
					t.Error("the switch is not armed")
				}
				if fired := fires(t, w, 5*time.Hour); fired.Time.Before(until) || fired.Time.After(until.Add(10*time.Minute)) {
					t.Errorf("it was to fire at %s and has at %s", until, fired.Time)
				}
				octopatch(t.Context(), environ, "status").wants(t, 0, "a phase was run alone, and no other had followed by the hour that was set")
				octopatch(t.Context(), environ, "exit").wants(t, 0)
			})
		})
	}
}

// TestDeadmanWhileTheWorkerInstalls: its time has come long ago, and it waits until nobody installs.
func TestDeadmanWhileTheWorkerInstalls(t *testing.T) {
	steadily(t, func(t *attempt) {
		const after = 15 * time.Minute
		w := newWorld(t, rehearsal.Options{Nodes: 1, Faults: "install-slow@OCTO-01"})
		environ := with(w.Environ(), "OCTOPATCH_DEADMAN=15m")
		before := w.State()
		killed(t, environ, "OCTO-01 patch        install 1/2")
		died := w.Clock.Now()
		fired, ended := fires(t, w, 5*time.Hour), time.Time{}
		for _, span := range w.Log.Spans() {
			if span.What != "install" {
				continue
			}
			ended = span.To
			if fired.Time.After(span.From) && fired.Time.Before(span.To) {
				t.Errorf("it fired at %s, and something was installed from %s to %s", fired.Time, span.From, span.To)
			}
		}
		if worked := ended.Sub(died); worked < after+5*time.Minute {
			t.Errorf("the worker was done %s after the death: this shows nothing", worked)
		}
		if fired.Time.Before(ended) || fired.Time.After(ended.Add(20*time.Minute)) {
			t.Errorf("it fired at %s, the worker was done at %s", fired.Time, ended)
		}
		if err := w.Clock.Sleep(t.Context(), 91*time.Minute); err != nil {
			t.Fatal(err)
		}
		octopatch(t.Context(), environ, "run").wants(t, 0)
		allKept(t, w, before)
	})
}
