package report

import (
	"fmt"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// lane is one row of the chart: a node, or OCTOPUS_URL as its users saw it.
type lane struct {
	Name string
	Bars []bar
}

// bar is a span of the run; Left and Width are per cent of the chart.
type bar struct {
	State, Words string
	Left, Width  float64
}

// stateWords are the words of a bar, by its state, which is its class in the page too.
var stateWords = map[string]string{"closed": "closed to new tasks", "service-down": "service down", "host-down": "host down, until it is back for good", "back": "back, still closed", "unanswered": "OCTOPUS_URL did not answer", "unseen": "not seen, before this process went on with the run"}

// tick is an hour of the clock under the chart.
type tick struct {
	Label string
	Left  float64
}

// lanes are the nodes that left service, and below them OCTOPUS_URL. They are empty when there is nothing to draw.
func (r Report) lanes() []lane {
	if !r.Ended.After(r.Started) {
		return nil
	}
	var lanes []lane
	for _, n := range r.Nodes {
		if bars := r.states(n.Timeline); len(bars) > 0 {
			lanes = append(lanes, lane{n.Node, bars})
		}
	}
	if r.Downtime.Probes == 0 {
		return lanes
	}
	users := lane{Name: "OCTOPUS_URL"}
	if u := r.Downtime.Unseen; u != nil {
		users.Bars = append(users.Bars, r.bar("unseen", u.From, u.To))
	}
	for _, i := range r.Downtime.Intervals {
		users.Bars = append(users.Bars, r.bar("unanswered", i.From, i.To))
	}
	return append(lanes, users)
}

// states are the spans between the moments of a node's timeline that are known. What has no end goes on.
func (r Report) states(t procedure.Timeline) []bar {
	moments := []struct {
		at    time.Time
		state string
	}{{t.Drained, "closed"}, {t.ServiceDown, "service-down"}, {t.HostDown, "host-down"}, {t.Back, "back"}, {t.Reopened, ""}}
	var bars []bar
	var from time.Time
	state := ""
	for _, m := range moments {
		if m.at.IsZero() {
			continue
		}
		if state != "" {
			bars = append(bars, r.bar(state, from, m.at))
		}
		from, state = m.at, m.state
	}
	if state != "" {
		bars = append(bars, r.bar(state, from, r.Ended))
	}
	return bars
}

func (r Report) bar(state string, from, to time.Time) bar {
	left, right := r.place(from), r.place(to)
	return bar{state, fmt.Sprintf("%s from %s to %s, %s", stateWords[state], clockTime(from), clockTime(to), procedure.Span(to.Sub(from).Seconds())), left, max(0, right-left)}
}

// place is where a moment lies in the chart, in per cent.
func (r Report) place(t time.Time) float64 {
	return min(100, max(0, 100*t.Sub(r.began()).Seconds()/r.Ended.Sub(r.began()).Seconds()))
}

// ticks are round hours and minutes, eight of them at most.
func (r Report) ticks() []tick {
	long := r.Ended.Sub(r.began())
	every := 24 * time.Hour
	for _, d := range []time.Duration{time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour} {
		if long <= 8*d {
			every = d
			break
		}
	}
	var list []tick
	for t := r.began().Truncate(every).Add(every); t.Before(r.Ended) && len(list) < 8; t = t.Add(every) {
		if left := r.place(t); left > 6 && left < 94 { // a label at the very edge would be cut
			list = append(list, tick{t.Format("15:04"), left})
		}
	}
	return list
}
