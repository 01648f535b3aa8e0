package engine

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// TestMachineIsLookedAt: what is wrong with a machine is refused or said before anything begins.
func TestMachineIsLookedAt(t *testing.T) {
	t.Parallel()
	const free = 100 << 30
	for _, c := range []struct {
		name    string
		source  string
		facts   procedure.HostFacts
		skew    time.Duration
		staged  procedure.WorkResult
		patcher procedure.Patcher
		refused string // part of the refusal; empty: none
		says    string // part of the warnings; empty: there are none
	}{
		{name: "sound", facts: procedure.HostFacts{FreeBytes: free, Policy: procedure.UpdatePolicy{Server: "http://wsus"}}},
		{name: "clock", skew: -7 * time.Minute, facts: procedure.HostFacts{FreeBytes: free}, says: "differ by 7 min"},
		{name: "clock_within_bounds", skew: 4 * time.Minute, facts: procedure.HostFacts{FreeBytes: free}},
		{name: "restarts_by_itself", facts: procedure.HostFacts{FreeBytes: free, Policy: procedure.UpdatePolicy{Restarts: []string{"AUOptions 4"}}}, says: "AUOptions 4"},
		{name: "rival", facts: procedure.HostFacts{FreeBytes: free, Agents: []string{"Microsoft Intune"}}, says: "Microsoft Intune"},
		{name: "little_room", facts: procedure.HostFacts{FreeBytes: 6 << 30}, says: "only 6144 MB"},
		{name: "too_little_room", facts: procedure.HostFacts{FreeBytes: free}, staged: procedure.WorkResult{Free: 1 << 20, Need: 3 << 20}, says: "1 MB are free on the system drive, and the updates need some 3 MB"},
		{name: "busy", facts: procedure.HostFacts{FreeBytes: free, Busy: "Windows Installer"}, says: "Windows Installer"},
		{name: "busy_with_this_run", facts: procedure.HostFacts{FreeBytes: free, Busy: "TiWorker", Journal: &procedure.Journal{}}},
		{name: "server_is_silent", facts: procedure.HostFacts{FreeBytes: free, Policy: procedure.UpdatePolicy{Server: "http://wsus", ServerError: "no route"}}, says: "no route"},
		{name: "silent_server_is_not_asked", source: "windows-update", facts: procedure.HostFacts{FreeBytes: free, Policy: procedure.UpdatePolicy{Server: "http://wsus", ServerError: "no route"}}},
		{name: "no_server", source: "wsus", facts: procedure.HostFacts{FreeBytes: free}, refused: "no policy on the host of node A names one"},
		{name: "no_internet", source: "microsoft-update", facts: procedure.HostFacts{FreeBytes: free, Policy: procedure.UpdatePolicy{NoInternet: true}}, refused: "DoNotConnectToWindowsUpdateInternetLocations"},
		{name: "no_internet_needed", facts: procedure.HostFacts{FreeBytes: free, Policy: procedure.UpdatePolicy{NoInternet: true, Server: "http://wsus"}}},
		{name: "own_command", source: "wsus", patcher: struct{ procedure.Patcher }{}, facts: procedure.HostFacts{FreeBytes: free}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, _ := newWorld("A").engine()
			e.Patcher = c.patcher
			e.Rules.Filter.Source = "default"
			if c.source != "" {
				e.Rules.Filter.Source = c.source
			}
			target := newTarget("A", "a")
			target.facts, target.skew, target.staged = c.facts, c.skew, c.staged
			err := errors.Join(e.checkMachine(target)...)
			switch {
			case c.refused == "" && err != nil, c.refused != "" && (!errors.Is(err, procedure.ErrRefused) || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("refused with %v, want %q", err, c.refused)
			}
			said := append(target.warnings, target.short()...)
			if got := strings.Join(said, "\n"); (c.says == "") != (got == "") || !strings.Contains(got, c.says) {
				t.Errorf("warned of %q, want %q", got, c.says)
			}
		})
	}
}
