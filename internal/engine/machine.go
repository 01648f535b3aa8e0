package engine

import (
	"fmt"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

const (
	maxSkew = 5 * time.Minute // Kerberos allows no more
	lowDisk = 10 << 30        // bytes; with less, a cumulative update may not fit
)

// checkMachine refuses what cannot go well on this machine, and keeps what one should know of it before.
func (e *Engine) checkMachine(t *target) []error {
	f := t.facts
	t.warnings = nil
	doubt := func(format string, a ...any) {
		t.warnings = append(t.warnings, fmt.Sprintf(format, a...))
		e.warn(t.name, format, a...)
	}
	if t.skew.Abs() > maxSkew {
		doubt("the clocks of runner and host differ by %s; Kerberos allows five minutes", procedure.Span(t.skew.Abs().Seconds()))
	}
	if len(f.Policy.Restarts) > 0 {
		doubt("policies let Windows install updates and restart by itself (%s): it may do so while another node is out of service", strings.Join(f.Policy.Restarts, "; "))
	}
	for _, agent := range f.Agents {
		doubt("something else may patch or restart this host: %s", agent)
	}
	if len(f.Pending) > 0 && f.Journal == nil { // the plan has a line of its own for it
		e.warn(t.name, "a reboot is pending already: %s", strings.Join(f.Pending, ", "))
	}
	if f.Busy != "" && f.Journal == nil {
		doubt("something installs right now: %s", f.Busy)
	}
	if f.FreeBytes < lowDisk {
		doubt("only %d MB are free on the system drive", f.FreeBytes>>20)
	}
	if e.Patcher != nil {
		return nil // it knows its own source
	}
	if f.Policy.ServerError != "" && e.asksServer() {
		doubt("its update server %s does not answer: %s", f.Policy.Server, f.Policy.ServerError)
	}
	return e.checkSource(t)
}

// asksServer: the search goes to the WSUS where there is one.
func (e *Engine) asksServer() bool {
	return e.Rules.Filter.Source == "wsus" || e.Rules.Filter.Source == "default"
}

func (e *Engine) checkSource(t *target) []error {
	const name = "OCTOPATCH_UPDATE_SOURCE"
	source, policy := e.Rules.Filter.Source, t.facts.Policy
	switch {
	case source == "wsus" && policy.Server == "":
		return []error{procedure.Refuse(name, "says wsus, and no policy on the host of node "+t.name+" names one", "set it to default, or have the host's policy name the WSUS (WUServer and UseWUServer)")}
	case policy.NoInternet && !e.asksServer():
		return []error{procedure.Refuse(name, fmt.Sprintf("says %s, and a policy on the host of node %s forbids it (DoNotConnectToWindowsUpdateInternetLocations)", source, t.name), "set it to default or wsus")}
	}
	return nil
}

// short says that the updates would not fit; a run refuses them then, before it downloads.
func (t *target) short() []string {
	if t.staged.Need <= t.staged.Free {
		return nil
	}
	return []string{fmt.Sprintf("%d MB are free on the system drive, and the updates need some %d MB: a run would not begin this node", t.staged.Free>>20, t.staged.Need>>20)}
}
