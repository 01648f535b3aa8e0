package engine

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// TestDeadmanTable holds the switch of this world's hosts against what the script does in the same states, as
// internal/rehearsal/windows has written it down.
func TestDeadmanTable(t *testing.T) {
	text, err := os.ReadFile("../rehearsal/DEADMAN.md")
	if err != nil {
		t.Fatal(err)
	}
	var armed []string
	fires, rows := 0, 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		column := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if armed == nil {
			armed = column[len(column)-4:]
			continue
		}
		rows++
		for i, how := range armed {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(1000 * time.Hour) // hours that have come are after 1970 as well
				n := newWorld("A").nodes[0]
				n.becomes(t, column[0], column[1], column[2], column[3], how)
				if got := n.why(time.Now()) != ""; got != (column[4+i] == "fires") {
					t.Errorf("%s, armed %s: it fires: %t, and the script: %s", strings.Join(column[:4], ", "), how, got, column[4+i])
				}
			})
			fires += strings.Count(column[4+i], "fires")
		}
	}
	if rows < 100 || fires < 10 {
		t.Errorf("%d rows in which it fires %d times", rows, fires)
	}
}

// becomes brings a host into the state of a row.
func (n *fakeNode) becomes(t *testing.T, host, busy, booted, lease, armed string) {
	now := time.Now()
	ago := func(d time.Duration) int64 { return now.Add(-d).Unix() }
	j := procedure.Journal{Run: "r1", Host: &procedure.HostPrior{}}
	leased := func(at int64, released bool) *procedure.Lease {
		return &procedure.Lease{Run: "r1", Nonce: "mine", Every: 300, Renewed: at, Released: released}
	}
	known := map[string]func(){
		"held": func() {}, "restored": func() { j.Host.Restored = true }, "nothing of it was changed": func() { j.Host = nil },
		"nobody installs": func() {}, "the worker installs": func() { n.working = now.Add(time.Minute) }, "Windows installs": func() { n.servicing = now.Add(time.Minute) },
		"days ago": func() {}, "10 min ago": func() { n.started = now.Add(-10 * time.Minute) },
		"none": func() {}, "1 min old": func() { n.lease = leased(ago(time.Minute), false) }, "20 min old": func() { n.lease = leased(ago(20*time.Minute), false) },
		"50 min old": func() { n.lease = leased(ago(50*time.Minute), false) }, "1 min old, released": func() { n.lease = leased(ago(time.Minute), true) },
		"50 min old, released": func() { n.lease = leased(ago(50*time.Minute), true) },
		"after 45 min":         func() { n.deadman.After = 45 * time.Minute }, "at an hour that has come": func() { n.deadman.Until = now.Add(-time.Hour) },
		"at an hour to come": func() { n.deadman.Until = now.Add(time.Hour) }, "not armed": func() {},
	}
	for _, name := range []string{host, busy, booted, lease, armed} {
		if known[name] == nil {
			t.Fatalf("the state %q is not known here", name)
		}
		known[name]()
	}
	n.journal = &j
}
