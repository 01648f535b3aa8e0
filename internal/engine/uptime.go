package engine

import (
	"context"
	"sync"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
)

// probeEvery is the distance of two looks at OCTOPUS_URL: 6 of the 12 requests a minute that Octopus may get.
const probeEvery = 10 * time.Second

// uptime asks the address that users use, through the whole run, and keeps when it did not answer.
type uptime struct {
	clock   clock.Clock
	serving func(context.Context) error
	stop    context.CancelFunc
	done    sync.WaitGroup
	seen    procedure.Downtime
	down    time.Time // since when; zero: up
}

func watch(ctx context.Context, clk clock.Clock, serving func(context.Context) error) *uptime {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	u := &uptime{clock: clk, serving: serving, stop: cancel, seen: procedure.Downtime{Every: probeEvery.Seconds()}}
	u.done.Go(func() { u.loop(ctx) })
	return u
}

func (u *uptime) loop(ctx context.Context) {
	next := u.clock.Now()
	for {
		asked := u.clock.Now()
		err := u.serving(ctx)
		if ctx.Err() != nil {
			return
		}
		u.take(asked, err)
		next = next.Add(probeEvery)
		if now := u.clock.Now(); next.Before(now) {
			next = now // a slow answer must not be followed by a burst
		}
		if u.clock.Sleep(ctx, next.Sub(u.clock.Now())) != nil {
			return
		}
	}
}

func (u *uptime) take(at time.Time, err error) {
	u.seen.Probes++
	switch {
	case err != nil:
		u.seen.Failed++
		if u.down.IsZero() {
			u.down = at
		}
	case !u.down.IsZero():
		u.close(at)
	}
}

func (u *uptime) close(at time.Time) {
	u.seen.Intervals = append(u.seen.Intervals, procedure.Interval{From: u.down, To: at})
	u.seen.Seconds += at.Sub(u.down).Seconds()
	u.down = time.Time{}
}

// end stops the probe and returns what it saw; what is still down is down until now.
func (u *uptime) end() procedure.Downtime {
	u.stop()
	u.done.Wait()
	if !u.down.IsZero() {
		u.close(u.clock.Now())
	}
	return u.seen
}
