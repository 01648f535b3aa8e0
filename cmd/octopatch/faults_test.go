package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/engine"
	"github.com/octopatch/octopatch/internal/rehearsal"
)

// struck is what became of a rehearsal with one fault.
type struck struct {
	exit   int
	broken []string // promises that the world does not keep afterwards
	log    string
}

func strike(t *testing.T, name, speed string) struck {
	nodes := "2"
	if strings.HasPrefix(name, "maintenance-") { // a cluster has no use for Maintenance Mode
		nodes = "1"
	}
	environ := []string{"OCTOPATCH_REHEARSAL_NODES=" + nodes, "OCTOPATCH_REHEARSAL_SPEED=" + speed, "OCTOPATCH_REHEARSAL_FAULTS=" + name}
	if strings.Contains(name, "checkpoint") || strings.Contains(name, "hyperv") { // on a Hyper-V host
		environ = append(environ, "OCTOPATCH_PRECAUTION=hyperv")
	}
	if strings.HasSuffix(name, "checkpoint-revert") { // of a node that does not get well, or nothing is reverted
		environ = with(environ, "OCTOPATCH_REHEARSAL_FAULTS="+name+",reboot-hangs@OCTO-01", "OCTOPATCH_ON_FAILURE=recover", "OCTOPATCH_REBOOT_TIMEOUT=30m")
	}
	got := octopatch(t.Context(), environ, "rehearse")
	kept, broken := promises(got.out)
	if kept+len(broken) == 0 {
		broken = []string{"the world gives no account of itself"}
	}
	// Refused, or stopped and put back: all is as it was, so it is not patched.
	asBefore := got.exit == engine.ExitRefused || got.exit == engine.ExitStopped || name == "no-updates"
	broken = slices.DeleteFunc(broken, func(line string) bool {
		return asBefore && strings.Contains(line, "patched:")
	})
	return struck{got.exit, broken, got.out + got.errs}
}

// sound: what ends in these codes promises a world that is as it was.
func (s struck) sound() bool {
	return len(s.broken) == 0 || !slices.Contains([]int{engine.ExitDone, engine.ExitRefused, engine.ExitStopped}, s.exit)
}

// TestFaultsGolden rehearses with every fault there is, on two nodes: each has its one exit code, and none that
// leaves the world other than promised ends in 0, 4 or 5.
func TestFaultsGolden(t *testing.T) {
	if testing.Short() || slower > 1 {
		t.Skip("as many rehearsals as there are faults: too many under the race detector")
	}
	t.Parallel()
	const golden = "testdata/faults.golden"
	text, err := os.ReadFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	was := strings.ReplaceAll(string(text), "\r\n", "\n")
	expected := map[string]string{}
	for line := range strings.Lines(was) {
		name, code, _ := strings.Cut(strings.TrimSpace(line), " ")
		expected[name] = strings.TrimSpace(code)
	}
	got := strikeAll(t, expected)
	var table strings.Builder
	for _, f := range rehearsal.Faults() {
		s := got[f.Name]
		fmt.Fprintf(&table, "%-28s %d\n", f.Name, s.exit)
		if !s.sound() {
			t.Errorf("%s ends in %d, and yet: %s\n%s", f.Name, s.exit, strings.Join(s.broken, "; "), s.log)
		}
		if code := expected[f.Name]; code != fmt.Sprint(s.exit) && !*update {
			t.Errorf("%s ends in %d, want %s\n%s", f.Name, s.exit, code, s.log)
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(was, table.String()); diff != "" {
		t.Errorf("%s differs (-want +got); go test ./cmd/octopatch -run Golden -update renews it\n%s", golden, diff)
	}
}

// strikeAll rehearses with each fault. A busy machine distorts time that runs so fast, so what does not end as it is
// on record is judged again with more time; the last judgement counts.
func strikeAll(t *testing.T, expected map[string]string) map[string]struck {
	all := map[string]struck{}
	var mu sync.Mutex
	t.Run("each", func(t *testing.T) { // it ends when all of them have
		for _, f := range rehearsal.Faults() {
			t.Run(f.Name, func(t *testing.T) {
				t.Parallel()
				var s struck
				for _, speed := range []string{"400", "100", "40"} {
					s = strike(t, f.Name, speed)
					if expected[f.Name] == fmt.Sprint(s.exit) && s.sound() {
						break
					}
					t.Logf("%s ends in %d at speed %s", f.Name, s.exit, speed)
				}
				mu.Lock()
				defer mu.Unlock()
				all[f.Name] = s
			})
		}
	})
	return all
}
