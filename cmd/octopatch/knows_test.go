package main

import (
	"testing"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// TestPreflightKnowsTheMachine: what may go wrong on a host is said in words, by preflight and by plan; and nothing
// of it is said of a sound one.
func TestPreflightKnowsTheMachine(t *testing.T) {
	t.Parallel()
	type words struct{ preflight, plan string }
	const policies = "policies let Windows install updates and restart by itself (AUOptions 4: it installs by itself every day at 03:00; AlwaysAutoRebootAtScheduledTime)"
	known := map[string]words{
		"auto-reboot-policy":    {policies, policies},
		"rival-agent":           {"Microsoft Configuration Manager (service CcmExec)", "Microsoft Configuration Manager (service CcmExec)"},
		"clock-skew":            {"the clocks of runner and host differ by 7 min", "the clocks of runner and host differ by 7 min"},
		"low-disk":              {"only 6144 MB are free on the system drive", "only 6144 MB are free on the system drive"},
		"disk-full":             {"only 180 MB are free on the system drive", "180 MB are free on the system drive, and the updates need some "},
		"wsus-down":             {"its update server http://127.0.0.1:1/ does not answer", "updates cannot be searched or downloaded: node OCTO-01: the update server did not answer in time (HTTP 408) 0x8024401C"},
		"reboot-pending-before": {"a reboot is pending already: Windows Update: RebootRequired, component servicing: RebootPending, component servicing: ServicingInProgress 1", "Windows Update: RebootRequired"},
	}
	for fault, says := range known {
		t.Run(fault, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Nodes: 1, Faults: fault})
				octopatch(t.Context(), w.Environ(), "preflight").wants(t, 0, says.preflight)
				plan := octopatch(t.Context(), w.Environ(), "plan")
				plan.wants(t, plan.exit, says.plan) // whether it can look for updates is not what is asked here
			})
		})
	}
	t.Run("sound", func(t *testing.T) {
		steadily(t, func(t *attempt) {
			w := newWorld(t, rehearsal.Options{Nodes: 1})
			var not []string
			for _, says := range known {
				not = append(not, "!"+says.preflight, "!"+says.plan)
			}
			octopatch(t.Context(), w.Environ(), "preflight").wants(t, 0, not...)
			octopatch(t.Context(), w.Environ(), "plan").wants(t, 0, not...)
		})
	})
}
