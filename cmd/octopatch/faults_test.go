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
	"github.com/octopatch/octopatch/internal/rehearsal/fault"
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
// leaves the world other than promised ends in 0, 4 or 5. It is alone (no t.Parallel), so that the clock is true.
func TestFaultsGolden(t *testing.T) {
	if testing.Short() || slower > 1 {
		t.Skip("some sixty rehearsals; they take a minute, and much more under the race detector")
	}
	const golden = "testdata/faults.golden"
	text, err := os.ReadFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	expected := map[string]string{}
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\r\n", "\n")) {
		name, code, _ := strings.Cut(strings.TrimSpace(line), " ")
		expected[name] = strings.TrimSpace(code)
	}
	got := strikeAll(t, func(name string, s struck) bool {
		return !*update && expected[name] != fmt.Sprint(s.exit) || !s.sound()
	})
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
	if diff := cmp.Diff(strings.ReplaceAll(string(text), "\r\n", "\n"), table.String()); diff != "" {
		t.Errorf("%s differs (-want +got); go test ./cmd/octopatch -run Golden -update renews it\n%s", golden, diff)
	}
}

// strikeAll rehearses with each fault, six at once. A busy machine distorts time that runs so fast, so what is
// doubted is judged again with more time; that judgement counts.
func strikeAll(t *testing.T, doubted func(string, struck) bool) map[string]struck {
	all := map[string]struck{}
	var mu sync.Mutex
	var working sync.WaitGroup
	work := make(chan string)
	for range 6 {
		working.Go(func() {
			for name := range work {
				s := strike(t, name, "400")
				if doubted(name, s) {
					t.Logf("%s ends in %d at speed 400; again at 100", name, s.exit)
					s = strike(t, name, "100")
				}
				mu.Lock()
				all[name] = s
				mu.Unlock()
			}
		})
	}
	for _, f := range longestFirst(rehearsal.Faults()) {
		work <- f
	}
	close(work)
	working.Wait()
	return all
}

// longestFirst puts the faults that need the most simulated time first, so that none of them is waited for alone.
func longestFirst(faults []fault.Fault) []string {
	long := []string{"reboot-hangs", "task-never-ends", "reboot-slow", "service-stuck-stopping", "download-slow", "install-stuck", "install-slow", "node-never-online", "black-hole"}
	var names []string
	for _, f := range faults {
		if !slices.Contains(long, f.Name) {
			names = append(names, f.Name)
		}
	}
	return append(long, names...)
}
