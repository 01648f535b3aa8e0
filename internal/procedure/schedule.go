package procedure

import (
	"context"
	"time"
)

// defaultWindow is assumed where OCTOPATCH_WINDOW says nothing.
const defaultWindow = 4 * time.Hour

var schedule = Phase{
	Name:    Schedule,
	Single:  "Schedule a maintenance window with the teams using Octopus",
	HA:      "Schedule a maintenance window with the teams using Octopus",
	Cluster: true,
	Limit:   func(Rules) time.Duration { return enterLimit },
	Do: func(ctx context.Context, s *Step) error {
		tasks, err := s.Cluster.Tasks(ctx)
		if err != nil {
			return err
		}
		*s.Notice = Announce(*s.Notice, tasks, s.Rules, s.Clock.Now())
		s.progress("unavailable: %s", s.Notice.Unavailable)
		if len(s.Notice.Scheduled) > 0 {
			s.warn("scheduled inside the window: %s", Names(s.Notice.Scheduled))
		}
		return nil
	},
}

// Window is when the maintenance begins and ends.
func (r Rules) Window(now time.Time) (from, to time.Time) {
	from, length := r.WindowStart, r.WindowLength
	if from.IsZero() {
		from = now
	}
	if length == 0 {
		length = defaultWindow
	}
	return from, from.Add(length)
}

// Announce fills the notice: when, what will be unavailable, and what is scheduled inside the window.
func Announce(n Notice, tasks []Task, rules Rules, now time.Time) Notice {
	n.From, n.To = rules.Window(now)
	n.Unavailable = "nothing; the nodes are patched one at a time while the others go on deploying, and deployments may queue a little longer"
	if n.Topology == Single {
		n.Unavailable = "the Octopus Server, with its web portal, its API and all deployments, while its machine is patched and restarted; Maintenance Mode is on throughout, and lets only administrators start deployments"
	}
	for _, t := range tasks {
		switch {
		case t.WaitsForUser:
			n.Waiting = append(n.Waiting, t)
		case t.State == "Queued" && t.QueueTime.After(now) && !t.QueueTime.Before(n.From) && !t.QueueTime.After(n.To):
			n.Scheduled = append(n.Scheduled, t)
		}
	}
	return n
}
