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
	earlier before
}

// before is what an earlier process of the run has begun: nobody has probed since it died.
type before struct {
	began   time.Time // zero: there was none
	stopped time.Time // the only server was stopped then, and nothing has started it since; zero: that is not known
}

// earlier is the beginning of an unfinished run, as the journals on its hosts tell.
func earlier(s *survey) before {
	var b before
	for _, t := range s.targets {
		j := t.facts.Journal
		if j == nil {
			continue
		}
		for _, p := range j.Phases {
			if p.Began != 0 && (b.began.IsZero() || unix(p.Began).Before(b.began)) {
				b.began = unix(p.Began)
			}
		}
		if s.topology == procedure.Single && j.Host != nil && !j.Host.Restored && j.Phases[procedure.Stop].Began != 0 {
			b.stopped = unix(j.Phases[procedure.Stop].Began)
		}
	}
	return b
}

func watch(ctx context.Context, clk clock.Clock, serving func(context.Context) error, earlier before) *uptime {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	u := &uptime{clock: clk, serving: serving, stop: cancel, seen: procedure.Downtime{Every: probeEvery.Seconds()}, earlier: earlier}
	if !earlier.began.IsZero() {
		u.seen.Unseen = &procedure.Interval{From: earlier.began, To: clk.Now()}
	}
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
			if u.seen.Probes == 1 && !u.earlier.stopped.IsZero() { // it was stopped by us, and still is
				u.down, u.seen.Unseen.To = u.earlier.stopped, u.earlier.stopped
			}
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
