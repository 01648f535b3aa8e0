package report

import (
	"fmt"
	"io"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Status prints where unfinished runs stand.
func Status(w io.Writer, open []procedure.Standing) {
	if len(open) == 0 {
		fmt.Fprintln(w, "No run is open on these nodes.")
	}
	for i, j := range open {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "Node %s: run %s of %s is open (%s), since %s, last heard of %s\n", plain(j.Node), plain(j.Run), plain(or(j.Owner, "an unknown owner")), or(string(j.Topology), "topology unknown"), moment(began(j.Journal)), moment(j.Updated))
		if j.Finished {
			fmt.Fprintf(w, "  the run has ended there, and everything is put back; only what is octopatch's own is left\n  next: %soctopatch exit removes it, and so does the next %s\n", procedure.With("OCTOPATCH_NODE", plain(j.Node)), procedure.GoOn)
			continue
		}
		for _, p := range procedure.Phases() {
			if rec, ok := j.Phases[p.Name]; ok && (rec.Result != "" || rec.Began != 0) {
				if rec.Result == "" {
					fmt.Fprintf(w, "  %s %-10s begun at %s, its end is not recorded\n", mark(procedure.Unknown), p.Name, moment(rec.Began))
					continue
				}
				fmt.Fprintf(w, "  %s %-10s %s, %s to %s%s\n", mark(rec.Result), p.Name, rec.Result, moment(rec.Began), moment(rec.Ended), after(": ", plain(rec.Reason)))
			}
		}
		if j.Intent != nil {
			fmt.Fprintf(w, "  last noted: %s, %s, at %s\n", j.Intent.Phase, plain(j.Intent.What), moment(j.Intent.At))
		}
		for _, c := range changed(j.Journal) {
			fmt.Fprintf(w, "  not yet undone: %s\n", plain(c))
		}
		surviving(w, j)
	}
}

// surviving says who works on the node, what its dead-man switch has done or will do, and which command goes on.
func surviving(w io.Writer, j procedure.Standing) {
	if f := j.Deadman; f != nil {
		fmt.Fprintf(w, "  the dead-man switch fired at %s: %s%s\n", moment(f.At), plain(f.Why), after("; it could not put back: ", plain(f.Faults)))
	}
	if a := j.Armed; a != nil {
		when := fmt.Sprintf("%d min after the last sign of the run, or after boot", a.After/60)
		if a.Until != 0 {
			when = "at " + moment(a.Until)
		}
		fmt.Fprintf(w, "  the dead-man switch is armed: it starts the service %s\n", when)
	}
	if j.Rewound != "" {
		fmt.Fprintf(w, "  the machine was reverted since: the journal on its host is older, and this is the copy %s; whoever goes on writes it back first\n", plain(j.Rewound))
	}
	if j.Doubt != "" {
		fmt.Fprintf(w, "  UNKNOWN: %s\n", plain(j.Doubt))
	}
	if j.Busy != "" {
		fmt.Fprintf(w, "  Windows installs there now: %s\n", plain(j.Busy))
	}
	run, takeover := procedure.GoOn, procedure.With("OCTOPATCH_TAKEOVER", plain(j.Run))+procedure.GoOn
	switch l := j.Lease; {
	case l == nil:
	case l.Released:
		fmt.Fprintf(w, "  nobody works on it: its owner has let go\n")
	case j.Live:
		fmt.Fprintf(w, "  %s works on it: last heard of at %s, and stale from %s on if nothing more is heard\n", plain(l.Owner), moment(l.Renewed), moment(l.StaleAt().Unix()))
		return
	default:
		fmt.Fprintf(w, "  %s has not been heard of since %s, and the lease is stale\n", plain(l.Owner), moment(l.Renewed))
		run = procedure.GoOn + " (from elsewhere: " + takeover + ")"
	}
	if j.Doubt != "" {
		fmt.Fprintf(w, "  next: look at the machine, and in Octopus at its drain or Maintenance Mode; then, where no runner has a newer copy: %s\n", takeover)
		return
	}
	if j.Format == 0 {
		fmt.Fprintf(w, "  next: %s\n", run)
		return
	}
	if j.Busy != "" { // nothing is started beside an installation, and run waits for its end
		fmt.Fprintf(w, "  next: %s\n", run)
		return
	}
	if j.Rewound != "" {
		fmt.Fprintf(w, "  next: %s, which patches it again; to serve as it is: %soctopatch start, then octopatch exit\n", run, procedure.With("OCTOPATCH_NODE", plain(j.Node)))
		return
	}
	fmt.Fprintf(w, "  next: %s; by the next phase alone: %s\n", run, plain(j.Alone()))
}

// moment is a time of the journal, in UTC, because host and reader may be in different zones.
func moment(unix int64) string {
	if unix == 0 {
		return "-"
	}
	return time.Unix(unix, 0).UTC().Format("2006-01-02 15:04:05Z")
}

// began is the first moment that the journal knows of.
func began(j procedure.Journal) int64 {
	first := j.Octopus.EnteredAt
	for _, p := range j.Phases {
		if p.Began != 0 && (first == 0 || p.Began < first) {
			first = p.Began
		}
	}
	if first == 0 {
		return j.Updated
	}
	return first
}

// changed lists what the run has changed and not put back.
func changed(j procedure.Journal) []string {
	var list []string
	if j.Octopus.OursMaint && !j.Octopus.Released {
		list = append(list, "Maintenance Mode is on")
	}
	if j.Octopus.OursDrain && !j.Octopus.Released {
		list = append(list, "the node is in drain mode")
	}
	if j.Host != nil && !j.Host.Restored {
		for _, s := range j.Host.Services {
			list = append(list, fmt.Sprintf("service %q is stopped and held (before: %s, %s)", s.Name, s.State, startType(s)))
		}
		for _, d := range j.Host.Watchdogs {
			if d.Enabled {
				list = append(list, fmt.Sprintf("watchdog %q is disabled", d.Name))
			}
		}
	}
	return list
}

func startType(s procedure.Service) string {
	if s.Delayed {
		return s.Start + ", delayed"
	}
	return s.Start
}
