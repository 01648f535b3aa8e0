// Package clock is the one clock of the program: it tells the time, sleeps and limits, and a rehearsal
// can make it run faster than the wall. Everything may import it; it imports the standard library only.
package clock

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Clock is a value; the zero Clock is the wall clock. All durations that go in or come out are the
// clock's own ("simulated") durations; only Wall speaks of the wall.
type Clock struct {
	epoch time.Time // wall time at which simulated and wall time agree
	speed float64   // simulated seconds per wall second; 0 means the wall clock itself
}

// New returns a clock that agrees with the wall at epoch and runs speed times as fast.
func New(epoch time.Time, speed float64) Clock { return Clock{epoch: epoch, speed: speed} }

// Parse reads "<epoch>,<speed>": Unix seconds with optional decimals, and a factor above 0.
func Parse(text string) (Clock, error) {
	epochText, speedText, ok := strings.Cut(text, ",")
	if !ok {
		return Clock{}, fmt.Errorf("%q is not <epoch>,<speed>", text)
	}
	epoch, err := strconv.ParseFloat(strings.TrimSpace(epochText), 64)
	if err != nil || !(epoch > 0 && epoch < 1<<40) {
		return Clock{}, fmt.Errorf("epoch %q is not a time in Unix seconds", epochText)
	}
	speed, err := strconv.ParseFloat(strings.TrimSpace(speedText), 64)
	if err != nil || !(speed > 0 && speed <= 1e6) {
		return Clock{}, fmt.Errorf("speed %q is not a factor above 0", speedText)
	}
	return New(time.UnixMicro(int64(epoch*1e6)), speed), nil
}

// String is the text that Parse reads; for the wall clock it is "wall".
func (c Clock) String() string {
	if c.speed == 0 {
		return "wall"
	}
	return fmt.Sprintf("%.6f,%g", float64(c.epoch.UnixMicro())/1e6, c.speed)
}

// Speed is the number of simulated seconds in a wall second; 1 for the wall clock.
func (c Clock) Speed() float64 {
	if c.speed == 0 {
		return 1
	}
	return c.speed
}

// Now is the clock's time: epoch + (wall − epoch) × speed.
func (c Clock) Now() time.Time {
	if c.speed == 0 {
		return time.Now()
	}
	return c.epoch.Add(time.Duration(float64(time.Since(c.epoch)) * c.speed))
}

// Since is the simulated time that has passed since t.
func (c Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Wall is how long d takes on the wall.
func (c Clock) Wall(d time.Duration) time.Duration {
	if c.speed == 0 {
		return d
	}
	return time.Duration(float64(d) / c.speed)
}

// Sleep waits for d or until ctx ends, whichever is first, and returns ctx's cause in the latter case.
func (c Clock) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(c.Wall(d))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// WithTimeout limits ctx to d of the clock's time.
func (c Clock) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.Wall(d))
}

// AfterFunc runs f in its own goroutine after d of the clock's time.
func (c Clock) AfterFunc(d time.Duration, f func()) *time.Timer { return time.AfterFunc(c.Wall(d), f) }
