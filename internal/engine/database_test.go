package engine

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/octopatch/octopatch/internal/procedure"
)

// TestTheDatabaseIsNotRewound: a revert of the machine takes back nothing of a database that lies elsewhere. One that
// lies on the machine's own disks it would take back, so recover refuses once Octopus may have written to it; told to
// lose that it does, which shows that the comparison can fail.
func TestTheDatabaseIsNotRewound(t *testing.T) {
	for _, c := range []struct {
		name   string
		own    bool
		allows string // OCTOPATCH_RECOVER
		back   bool   // the host does not come back, so Octopus was not started since
		exit   int
		loses  bool
	}{
		{"elsewhere", false, "", false, ExitDone, false},
		{"on the machine, nothing was started since", true, "", true, ExitDone, false},
		{"on the machine", true, "", false, ExitRefused, false},
		{"on the machine, and it may go", true, procedure.RecoverLoseData, false, ExitDone, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("A")
				s := &stage{world: w, snapshots: newProvider(w), kept: keeper{}}
				n := w.nodes[0]
				if n.ownDatabase = c.own; c.own {
					n.onDisks = []string{"Octopus.Storage.ExternalDatabaseConnectionString"}
				}
				n.neverBack = c.back
				ill := playSpoiled(procedure.Start, func(s *stage) { s.nodes[0].version = "another"; s.db.set("deployment", "1") })
				if exit := ill(context.Background(), s); exit == ExitDone {
					t.Fatal("it is not held")
				}
				n.version = "2026.3.1"
				n.sick = true
				database := w.db.copy()
				e, _ := s.process()
				e.Rules.Recover = c.allows
				e.Node = "A"
				r := e.Recover(context.Background())
				if r.Exit != c.exit {
					t.Errorf("exit %d, %v", r.Exit, r.Err)
				}
				if lost := w.db.lost(database); (lost != "") != c.loses || c.loses && !strings.Contains(lost, "rewound") {
					t.Errorf("of the database is lost: %q", lost)
				}
				if c.exit == ExitRefused && (n.reverts > 0 || !strings.Contains(r.Err.Error(), "take back what it wrote since")) {
					t.Errorf("%d reverts, %v", n.reverts, r.Err)
				}
			})
		})
	}
}
