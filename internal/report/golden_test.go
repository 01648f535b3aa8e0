package report

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.ReplaceAll(string(want), "\r\n", "\n"); got != want {
		t.Errorf("%s differs (-want, +got); go test ./internal/report -update renews it\n%s", name, cmp.Diff(want, got))
	}
}

// at is so many seconds after the run's start.
func at(seconds int) time.Time {
	return time.Date(2026, 12, 13, 2, 0, 0, 0, time.UTC).Add(time.Duration(seconds) * time.Second)
}

func ptr(n int) *int { return &n }

// night is a run in which everything happens that has a line of its own.
func night() []procedure.Event {
	wait := func(s int, what string) procedure.Event {
		return procedure.Event{Type: procedure.Waiting, Time: at(s), Node: "OCTO-01", Phase: "wait", WaitingFor: what, Since: at(10), Seconds: float64(s - 10), Limit: 3600}
	}
	events := []procedure.Event{
		{Type: procedure.RunStarted, Time: at(0), Message: "OCTOPATCH_PRECAUTION=none"},
		{Type: procedure.PhaseStarted, Time: at(0), Phase: "preflight", Title: "Prove rights, reach, mapping and health before the first change"},
		{Type: procedure.PhaseEnded, Time: at(2), Phase: "preflight", Result: procedure.Done, Seconds: 2.0004, Reason: "Octopus 2026.3.1, ha, 2 nodes to patch"},
		{Type: procedure.PhaseStarted, Time: at(2), Node: "OCTO-01", Phase: "stage", Title: "Scan for updates and download them while Octopus serves"},
		{Type: procedure.PhaseStarted, Time: at(2), Node: "OCTO-02", Phase: "stage", Title: "Scan for updates and download them while Octopus serves"},
		{Type: procedure.Progress, Time: at(3), Node: "OCTO-01", Phase: "stage", Message: "download 2026-12 Cumulative Update", Percent: 10},
		{Type: procedure.Progress, Time: at(4), Node: "OCTO-01", Phase: "stage", Message: "download 2026-12 Cumulative Update", Percent: 11},
		{Type: procedure.Progress, Time: at(5), Node: "OCTO-01", Phase: "stage", Message: "download 2026-12 Cumulative Update", Percent: 60},
		{Type: procedure.PhaseEnded, Time: at(6), Node: "OCTO-02", Phase: "stage", Result: procedure.Done, Seconds: 4, Reason: "0 updates to install (0 MB), 1 left out"},
		{Type: procedure.PhaseEnded, Time: at(8), Node: "OCTO-01", Phase: "stage", Result: procedure.Done, Seconds: 6, Reason: "1 updates to install (512 MB), 0 left out"},
		{Type: procedure.PhaseStarted, Time: at(10), Node: "OCTO-01", Phase: "wait", Title: "Wait for any remaining Octopus Tasks on that node to complete"},
		wait(10, `ServerTasks-1 Deploy "Deploy Shop"`), wait(30, `ServerTasks-1 Deploy "Deploy Shop"`), wait(50, `ServerTasks-1 Deploy "Deploy Shop"`), wait(70, `ServerTasks-1 Deploy "Deploy Shop"`),
		wait(90, "a second idle sample"),
		{Type: procedure.Warning, Time: at(95), Node: "OCTO-01", Phase: "wait", Message: "not awaited, they are queued for later: ServerTasks-9 Deploy \"Prüfung 100 %: ##octopus[mask]\n::error::no\""},
		{Type: procedure.PhaseEnded, Time: at(100), Node: "OCTO-01", Phase: "wait", Result: procedure.Done, Seconds: 90},
		{Type: procedure.PhaseEnded, Time: at(100), Node: "OCTO-01", Phase: "precaution", Result: procedure.Skipped, Reason: "none was asked for (OCTOPATCH_PRECAUTION=none)"},
		{Type: procedure.PhaseStarted, Time: at(101), Node: "OCTO-01", Phase: "start", Title: "Start the Octopus Server windows service on that node"},
		{Type: procedure.PhaseEnded, Time: at(1301), Node: "OCTO-01", Phase: "start", Result: procedure.Unknown, Seconds: 1200, Reason: "node OCTO-01: waited 20 min for a ping of the node: not reachable"},
		{Type: procedure.NodeEnded, Time: at(1301), Node: "OCTO-01", Result: procedure.Unknown, Seconds: 1299, Reason: "start: waited 20 min for a ping of the node", Next: "OCTOPATCH_NODE=OCTO-01 octopatch start"},
		{Type: procedure.NodeEnded, Time: at(1301), Node: "OCTO-02", Result: procedure.Skipped, Reason: "not reached: the state of node OCTO-01 is unknown"},
		{Type: procedure.RunEnded, Time: at(1302), Seconds: 1302, Exit: ptr(6), Next: "OCTOPATCH_NODE=OCTO-01 octopatch start"},
	}
	for i := range events {
		events[i].Run = "20261213-020000-9f3c"
	}
	return events
}

func TestSinks(t *testing.T) {
	t.Parallel()
	for name, sink := range map[string]func(io.Writer) procedure.Sink{
		"log.txt":     func(w io.Writer) procedure.Sink { return NewText(w) },
		"log.jsonl":   func(w io.Writer) procedure.Sink { return NewJSON(w) },
		"log.github":  func(w io.Writer) procedure.Sink { return NewGitHub(w) },
		"log.octopus": func(w io.Writer) procedure.Sink { return NewOctopus(w) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			s := sink(&b)
			for _, e := range night() {
				s.Event(e)
			}
			golden(t, name, b.String())
		})
	}
}

// whole is the report of a night on which one update failed.
func whole() Report {
	cumulative := procedure.UpdateOutcome{ID: "u1", Title: "2026-12 Cumulative Update", KBs: []string{"5031234"}, Step: "install", Result: "succeeded", Succeeded: true, Reboot: true}
	broken := procedure.UpdateOutcome{ID: "u2", Title: "2026-12 .NET | Framework", KBs: []string{"5031235"}, Step: "install", Result: "failed", Code: "0x80070643", Words: "the installer failed", Next: "look at the host's CBS.log"}
	return Report{
		Schema: 1, Run: "20261213-020000-9f3c", Command: "run", Program: "1.0.0", Octopus: "2026.3.1", Topology: procedure.HA,
		Started: at(0), Ended: at(2400), Seconds: 2400, Exit: 3, Error: "node OCTO-01: an update failed: KB5031235\nnode OCTO-01: ##[error]and *another*", Precaution: "none", Next: "octopatch run",
		Nodes: []*procedure.NodeReport{
			{
				Node: "OCTO-01", Host: "octo-01.example.com", Result: procedure.Failed, Reason: "1 update failed",
				Before: procedure.Windows{Boot: "1", Caption: "Microsoft Windows Server 2022 Standard", Build: "20348", UBR: 2113}, After: procedure.Windows{Boot: "2", Caption: "Microsoft Windows Server 2022 Standard", Build: "20348", UBR: 2159},
				Installed: []procedure.UpdateOutcome{cumulative}, Failed: []procedure.UpdateOutcome{broken}, Reboots: 1, RebootPending: true,
				Skipped:  []procedure.Update{{ID: "u3", Title: "Printer [driver]", Skip: "drivers are installed only when included by KB"}},
				Phases:   []procedure.PhaseReport{{Phase: "enter", Title: "t", Result: procedure.Done, Started: at(10), Seconds: 1.2}, {Phase: "precaution", Title: "t", Result: procedure.Skipped, Reason: "none was asked for", Started: at(11)}},
				Timeline: procedure.Timeline{Drained: at(10), ServiceDown: at(100), HostDown: at(700), Back: at(900), Reopened: at(1000)},
			},
			{
				Node: "OCTO-02", Host: "octo-02.example.com", Result: procedure.Skipped, Reason: "nothing to install",
				Before: procedure.Windows{Build: "20348", UBR: 2159}, After: procedure.Windows{Build: "20348", UBR: 2159},
			},
			{
				Node: "OCTO-03", Host: "octo-03.example.com", Result: procedure.Done,
				Before: procedure.Windows{Build: "20348", UBR: 2113}, After: procedure.Windows{Build: "20348", UBR: 2159}, Installed: []procedure.UpdateOutcome{cumulative}, Reboots: 2,
				Timeline: procedure.Timeline{Drained: at(1300), ServiceDown: at(1400), HostDown: at(1700), Back: at(1900), Reopened: at(2000)},
			},
		},
		Downtime: procedure.Downtime{Every: 10, Probes: 240, Failed: 2, Seconds: 20, Intervals: []procedure.Interval{{From: at(700), To: at(720)}}},
		Settings: map[string]string{"OCTOPATCH_REBOOT": "if-required", "OCTOPUS_API_KEY": "[redacted]"},
		Warnings: []string{"OCTO-01: the answer to \"drain\" was lost; asked afterwards, it had taken effect"},
	}
}

func plan() procedure.Plan {
	return procedure.Plan{
		Topology: procedure.HA, Version: "2026.3.1", Precaution: "none", Notice: notice(), Maintenance: true,
		Nodes: []procedure.PlanNode{
			{
				Node: "OCTO-01", Host: "octo-01.example.com", Windows: procedure.Windows{Caption: "Microsoft Windows Server 2022 Standard", Build: "20348", UBR: 2113},
				Pending: []string{"component servicing: RebootPending"}, Soft: []string{"computer rename"}, Services: []string{"OctopusDeploy", "OctopusDeploy: Ops"}, Free: 42 << 30,
				Holds:  []procedure.Task{{ID: "ServerTasks-1", Name: "Deploy", Description: "Deploy Shop", State: "Executing", Node: "OctopusServerNodes-OCTO-01", StartTime: at(-60)}},
				Humans: []procedure.Task{{ID: "ServerTasks-2", Name: "Deploy", Description: "Approve\nplease", State: "Executing", WaitsForUser: true}},
				Updates: []procedure.Update{
					{ID: "u1", Title: "2026-12 Cumulative Update", KBs: []string{"5031234"}, Bytes: 1 << 30, Classification: "0fa1201d-4330-4fa8-8ae9-b877473b6441", Downloaded: true},
					{ID: "u2", Title: "2026-12 .NET", KBs: []string{"5031235"}, Bytes: 71 << 20, Classification: "0fa1201d-4330-4fa8-8ae9-b877473b6441"},
				},
				Skipped: []procedure.Update{{ID: "u3", Title: "Printer driver", Bytes: 3 << 20, Skip: "drivers are installed only when included by KB"}},
			},
			{Node: "OCTO-02", Host: "octo-02.example.com", Windows: procedure.Windows{Caption: "Microsoft Windows Server 2022 Standard", Build: "20348", UBR: 2159}, Services: []string{"OctopusDeploy"}, Free: 300 << 20, Reason: "nothing to install"},
		},
		Limits:   map[string]string{"OCTOPATCH_DRAIN_TIMEOUT": "1h0m0s, then abort", "OCTOPATCH_SOAK": "2m0s"},
		Warnings: []string{"no precaution is taken (OCTOPATCH_PRECAUTION=none)"},
	}
}

func notice() procedure.Notice {
	zone := time.FixedZone("AEST", 10*3600)
	return procedure.Notice{
		Server: "https://octopus.example.com", Topology: procedure.HA, From: at(0).In(zone), To: at(4 * 3600).In(zone), Unavailable: "nothing; the nodes are patched one at a time",
		Scheduled: []procedure.Task{{ID: "ServerTasks-3", Name: "Deploy", Description: "Nightly [shop](x)", State: "Queued", QueueTime: at(3600), QueueExpiry: at(2 * 3600)}},
		Waiting:   []procedure.Task{{ID: "ServerTasks-2", Name: "Deploy", Description: "Approve", State: "Executing", WaitsForUser: true}},
	}
}

func standing() []procedure.Standing {
	released := procedure.Lease{Run: "20261213-020000-9f3c", Owner: "acme/ops/7/patch", Every: 300, Renewed: at(1301).Unix(), Released: true}
	live := procedure.Lease{Run: "20261213-020000-9f3c", Owner: "acme/ops/7/patch", Every: 1800, Renewed: at(1200).Unix()}
	stale := live
	stale.Renewed = at(-9000).Unix()
	return []procedure.Standing{
		{Lease: &released, Journal: procedure.Journal{
			Deadman: &procedure.Fired{At: at(90).Unix(), Why: "nothing was heard of the run for 45 min", Faults: "service One is Stopped"},
			Format:  1, Run: "20261213-020000-9f3c", Counter: 12, Node: "OCTO-01", Owner: "acme/ops/7/patch", Topology: procedure.HA, Updated: at(1301).Unix(),
			Intent: &procedure.Intent{Phase: "start", What: "start the services", At: at(101).Unix()},
			Phases: map[string]procedure.PhaseRecord{
				"enter": {Result: procedure.Done, Began: at(8).Unix(), Ended: at(10).Unix()}, "wait": {Result: procedure.Done, Began: at(10).Unix(), Ended: at(100).Unix()},
				"stop": {Result: procedure.Done, Began: at(100).Unix(), Ended: at(101).Unix()}, "patch": {Result: procedure.Done, Began: at(101).Unix(), Ended: at(101).Unix()},
				"start": {Result: procedure.Unknown, Reason: "waited 20 min for a ping of the node", Began: at(101).Unix(), Ended: at(1301).Unix()},
			},
			Octopus: procedure.OctopusPrior{Known: true, EnteredAt: at(8).Unix(), OursDrain: true},
			Host: &procedure.HostPrior{
				Services:  []procedure.Service{{Name: "OctopusDeploy", State: "Running", Start: "Auto", Delayed: true}},
				Watchdogs: []procedure.Watchdog{{Name: "Octopus Watchdog OctopusServer", Enabled: true}, {Name: "Octopus Watchdog Old", Enabled: false}},
			},
		}},
		{Lease: &live, Live: true, Journal: procedure.Journal{Run: "20261213-020000-9f3c", Owner: "acme/ops/7/patch", Node: "OCTO-02", Updated: at(5).Unix()}},
		{Lease: &stale, Armed: &procedure.Armed{After: 2700}, Journal: procedure.Journal{Format: 1, Run: "20261213-020000-9f3c", Node: "OCTO-03", Topology: procedure.HA, Updated: at(5).Unix()}},
		{Finished: true, Lease: &released, Journal: procedure.Journal{Format: 1, Run: "20261213-020000-9f3c", Node: "OCTO-07", Topology: procedure.HA, Updated: at(5).Unix()}},
		{Rewound: "at the runner", Lease: &released, Journal: procedure.Journal{Format: 1, Run: "20261213-020000-9f3c", Node: "OCTO-08", Topology: procedure.HA, Updated: at(5).Unix()}},
		{Busy: "TiWorker.exe", Rewound: "on the host of node OCTO-01", Journal: procedure.Journal{Format: 1, Run: "20261213-020000-9f3c", Node: "OCTO-05", Topology: procedure.HA, Updated: at(5).Unix()}},
		{Doubt: "the journal knows of no reboot since the service was stopped, and Windows has booted", Lease: &released, Journal: procedure.Journal{Format: 1, Run: "20261213-020000-9f3c", Node: "OCTO-06", Topology: procedure.HA, Updated: at(5).Unix()}},
		{Armed: &procedure.Armed{Until: at(14400).Unix()}, Journal: procedure.Journal{Format: 1, Run: "20261213-020000-9f3c", Node: "OCTO-04", Topology: procedure.HA, Updated: at(5).Unix()}},
	}
}

func TestRendered(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(io.Writer){
		"summary.txt": func(w io.Writer) { whole().Summary(w) },
		"plan.txt":    func(w io.Writer) { Plan(w, plan()) },
		"plan.json":   func(w io.Writer) { _ = PlanJSON(w, plan()) },
		"notice.txt":  func(w io.Writer) { Notice(w, notice()) },
		"notice.md":   func(w io.Writer) { _, _ = io.WriteString(w, NoticeMarkdown(notice())) },
		"status.txt":  func(w io.Writer) { Status(w, standing()) },
		"status0.txt": func(w io.Writer) { Status(w, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			write(&b)
			golden(t, name, b.String())
		})
	}
}

func TestReportFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 { // over an older report as well
		if err := whole().Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"report.json", "report.html", "summary.md"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, string(text))
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
}
