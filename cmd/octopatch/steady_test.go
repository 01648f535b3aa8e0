package main

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// A rehearsal's second lasts milliseconds. Where the machine stands still for longer than that (a paused virtual
// machine, a neighbour that takes all cores), the simulated Octopus Server seems dead for minutes, and octopatch
// rightly says so. Such a stall is measured here, and what failed during one is judged again, more slowly.

// stallFrom is how late a timer must be to count, in simulated time: nothing that octopatch awaits gives up earlier.
const stallFrom = 5 * time.Second

// stalls are the moments at which the machine stood still.
var stalls = struct {
	sync.Mutex
	worst map[int64]time.Duration // by second of wall time
}{worst: map[int64]time.Duration{}}

var watching sync.Once

// watchStalls measures for as long as the process lives.
func watchStalls() {
	const every = 5 * time.Millisecond
	for last := time.Now(); ; {
		time.Sleep(every)
		now := time.Now()
		stalls.Lock()
		stalls.worst[now.Unix()] = max(stalls.worst[now.Unix()], now.Sub(last)-every)
		stalls.Unlock()
		last = now
	}
}

// stalled is the longest stall since then; 0, when none would be noticed at that speed.
func stalled(since time.Time, speed float64) time.Duration {
	stalls.Lock()
	defer stalls.Unlock()
	worst := time.Duration(0)
	for second, late := range stalls.worst {
		if second >= since.Unix() {
			worst = max(worst, late)
		}
	}
	if float64(worst)*speed < float64(stallFrom) {
		return 0
	}
	return worst
}

// attempt is one try of a test: its failures count only when the machine did not stand still meanwhile, or when
// no further try is left.
type attempt struct {
	*testing.T
	speed    float64
	failures []string
	logs     []string
}

type given struct{} // what Fatal throws

func (a *attempt) Error(args ...any) { a.failures = append(a.failures, fmt.Sprintln(args...)) }
func (a *attempt) Errorf(format string, args ...any) {
	a.failures = append(a.failures, fmt.Sprintf(format, args...))
}
func (a *attempt) Log(args ...any)                   { a.logs = append(a.logs, fmt.Sprintln(args...)) }
func (a *attempt) Failed() bool                      { return len(a.failures) > 0 }
func (a *attempt) Fatal(args ...any)                 { a.Error(args...); panic(given{}) }
func (a *attempt) Fatalf(format string, args ...any) { a.Errorf(format, args...); panic(given{}) }

// steadily runs the test, beside others, at speed 400, and again at 100 and 40 where the machine stalled.
func steadily(t *testing.T, test func(*attempt)) {
	t.Helper()
	steadilyAt(t, []float64{400, 100, 40}, test)
}

// steadilyAt does so at other speeds.
func steadilyAt(t *testing.T, speeds []float64, test func(*attempt)) {
	t.Helper()
	t.Parallel()
	watching.Do(func() { go watchStalls() })
	for i, speed := range speeds {
		began := time.Now()
		a := &attempt{T: t, speed: speed / slower}
		a.run(test)
		if !a.Failed() {
			return
		}
		late := stalled(began, a.speed)
		if late == 0 || i == len(speeds)-1 {
			for _, f := range append(a.failures, a.logs...) {
				t.Error(f)
			}
			return
		}
		t.Logf("the machine stood still for %s, which is %s at speed %g; again, more slowly", late, time.Duration(float64(late)*a.speed).Round(time.Second), a.speed)
	}
}

func (a *attempt) run(test func(*attempt)) {
	defer func() {
		switch r := recover(); {
		case r == nil || r == given{}:
		case a.Failed(): // the consequence of what is known already
			a.Errorf("panic: %v", r)
		default:
			panic(r)
		}
	}()
	test(a)
}
