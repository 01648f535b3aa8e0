package main

import (
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// TestTheDatabaseAfterRecover: Octopus' database lies elsewhere, and a revert takes nothing of it back. Where it lies on
// the machine that is reverted, recover refuses once Octopus was started again, and yields to the operator's word:
// then the world's own comparison shows what was lost.
func TestTheDatabaseAfterRecover(t *testing.T) {
	t.Parallel()
	const started = "enter wait stop precaution patch start"
	for _, c := range []struct {
		name, faults, commands, allows string
		exit                           int
		loses                          bool
		says                           string
	}{
		{"elsewhere", "service-wont-start@OCTO-01", "run", "", 0, false, ""},
		{"on the machine, never started since", "reboot-hangs@OCTO-01,database-local@OCTO-01", "run", "", 0, false, ""},
		{"on the machine", "database-local@OCTO-01", started, "force", 4, false, "take back what it wrote since to this machine's disks: Octopus.Folder.LogDirectory, Octopus.Storage.ExternalDatabaseConnectionString"},
		{"on the machine, and it may go", "database-local@OCTO-01", started, "lose-data", 0, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Nodes: 1, Faults: c.faults, Program: program(t.T)})
				environ := with(w.Environ(), "OCTOPATCH_PRECAUTION=command", "OCTOPATCH_STATE_DIR="+t.TempDir(), "OCTOPATCH_NODE=OCTO-01")
				begin := w.State().Cluster.Database
				for command := range strings.FieldsSeq(c.commands) {
					if got := octopatch(t.Context(), environ, command); (got.exit == 0) != (c.commands == started) {
						t.Fatalf("%s ends in %d:\n%s", command, got.exit, got.out)
					}
				}
				before := w.State().Cluster.Database
				if lost := before.Lost(begin); lost != "" {
					t.Errorf("after run: %s", lost)
				}
				octopatch(t.Context(), with(environ, "OCTOPATCH_RECOVER="+c.allows), "recover").wants(t, c.exit, c.says)
				if lost := w.State().Cluster.Database.Lost(before); (lost != "") != c.loses {
					t.Errorf("of the database is lost: %q", lost)
				}
			})
		})
	}
}
