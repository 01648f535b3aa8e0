package windows

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/rehearsal/fault"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

var renew = flag.Bool("update", false, "renew the record of the scripts' texts, once PowerShell and the twins agree")

// TestMain lets more machines run at once than there are cores: they wait far more than they compute.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "6")
	code := m.Run()
	endWarm()
	os.Exit(code)
}

// TestTwinsStandForTheScripts needs no PowerShell: a script whose text was changed since PowerShell and its twin
// were last seen to agree is named.
func TestTwinsStandForTheScripts(t *testing.T) {
	if *renew {
		t.Skip("the record is being renewed")
	}
	for _, name := range scripts.Names() {
		if _, ok := twins()[name]; !ok {
			t.Errorf("%s.ps1 has no twin", name)
		}
		if Recorded()[name] != scripts.SHA256(name) {
			t.Errorf("%s.ps1 has a text that the twins' record does not know: run go test ./internal/rehearsal/windows -run Conformance -update with PowerShell on PATH", name)
		}
	}
}

// newMachine is a machine in a state, quick at what it does by itself, so that a test is.
func newMachine(t testing.TB, s state, speed float64, run shell) *Machine {
	t.Helper()
	set, err := fault.Parse(s.faults, Faults())
	if err != nil {
		t.Fatal(err)
	}
	clk := clock.New(time.Now(), speed)
	name, guests := "OCTO-01", []Guest(nil)
	if s.virtual != nil {
		name, guests = "HYPERV-01", []Guest{{"OCTO-01", newMachine(t, state{faults: s.faults}, speed, nil)}}
	}
	m, err := New(Options{
		Clock: clk, Guests: guests, Name: name, Dir: t.TempDir(), Faults: set, PowerShell: run != nil, Still: true, Instance: s.instance,
		Configuration: func(string) string {
			return `{"Octopus.Server.NodeName": "OCTO-01", "Octopus.WebPortal.ListenPrefixes": "http://127.0.0.1:1/,http://+:2/", "Octopus.Storage.ExternalDatabaseConnectionString": "Data Source=SQL01;Password=x"}`
		},
		Drain: func(string, bool) {}, OnService: func(bool, bool) {}, Down: func() {}, Up: func() error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	m.shell = run
	m.mu.Lock()
	m.draw.search, m.backup.takes = 3*time.Second, 20*time.Second
	for i := range m.draw.reboots {
		m.draw.reboots[i] = 40 * time.Second
	}
	for _, u := range m.updates {
		u.download, u.work = 4*time.Second, 8*time.Second
	}
	for _, one := range m.services {
		one.starting, one.stopping = 5*time.Second, 3*time.Second
	}
	for _, one := range m.tasks {
		if isWatchdog(one) {
			one.action = func(context.Context) {} // what it would start meanwhile would hang on the time that a test takes
		}
	}
	m.mu.Unlock()
	if s.virtual != nil {
		m.mu.Lock()
		s.virtual(m, m.vms[0])
		m.mu.Unlock()
	}
	if s.prepare != nil {
		s.prepare(t, m)
	}
	return m
}

// said is what came of a command.
type said struct {
	Exit     int
	Cut      string // how the connection was cut, if it was
	Answer   any    // or the error line
	Progress []any  // the worker's lines
}

const nonce = "00112233445566778899aabbccddeeff"

// input is what the bootstrap reads from stdin.
func input(t testing.TB, text string, request map[string]any) string {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	in := nonce + "\n"
	for _, part := range []string{text, string(body)} {
		text := base64.StdEncoding.EncodeToString([]byte(part))
		for len(text) > 0 {
			n := min(1000, len(text))
			in, text = in+text[:n]+"\n", text[n:]
		}
		in += ".\n"
	}
	return in
}

// ask hands the script to a machine as the bootstrap expects it, and returns what it says without what differs
// from machine to machine.
func ask(t testing.TB, on *Machine, text string, request map[string]any, silent bool) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	var s said
	exit, err := on.Run(ctx, wsman.Command{Line: scripts.CommandLine, Stdin: strings.NewReader(input(t, text, request)), Stdout: &out, Stderr: &errs})
	s.Exit = exit
	switch {
	case errors.Is(err, wsman.ErrLost):
		s.Cut = "answer lost"
	case errors.Is(err, wsman.ErrReset):
		s.Cut = "request lost"
	case err != nil:
		s.Cut = err.Error()
	}
	for line := range strings.Lines(out.String()) {
		var answer map[string]any
		if json.Unmarshal([]byte(line), &answer) != nil || answer["nonce"] != nonce {
			continue
		}
		if progress, ok := answer["progress"].(object); !ok {
			s.Answer = plain("", answer)
		} else if work, last := progress["work"], len(s.Progress)-1; work != nil && (last < 0 || !cmp.Equal(s.Progress[last], work)) {
			s.Progress = append(s.Progress, work) // how often it said that it waits hangs on the time
		}
	}
	if s.Answer == nil && s.Cut == "" && !silent {
		s.Cut = fmt.Sprintf("no answer in %q, %q", out.String(), errs.String())
	}
	return s
}

var (
	path   = regexp.MustCompile(`/\S*/(ProgramData|Program Files)`)
	where  = regexp.MustCompile(` \(line \d+\)`)
	broken = regexp.MustCompile(`(cannot be read: ).*`)
)

// plain replaces what differs from machine to machine by its kind.
func plain(key string, v any) any {
	switch key {
	case "versionId", "boot", "bootTime", "time", "powershell", "line", "renewed", "taken", "armed", "updated", "why":
		return key
	}
	if at, ok := v.(float64); ok && key == "at" && at > 1.7e9 { // not the runner's, which the requests set
		return key
	}
	switch v := v.(type) {
	case map[string]any:
		for k, item := range v {
			v[k] = plain(k, item)
		}
		if v["kind"] == "script" { // .NET words its errors in its own way; the code counts
			v["message"] = "words"
		}
		if text, ok := v["pingError"].(string); ok && text != "" {
			v["pingError"] = "words"
		}
		if text, ok := v["serverError"].(string); ok && text != "" {
			v["serverError"] = "words"
		}
	case []any:
		for i := range v {
			v[i] = plain("", v[i])
		}
	case string:
		v = where.ReplaceAllString(path.ReplaceAllString(filepath.ToSlash(v), "$1"), "")
		if !strings.Contains(v, "access list") {
			v = broken.ReplaceAllString(v, "$1")
		}
		return v
	}
	return v
}

// aftermath is what a command has made of a machine.
type aftermath struct {
	State
	Restarting bool // a restart is scheduled or under way
	Virtual    []virtualAftermath
	Points     []string
	Images     []string
	GoesBack   bool // to a restore point, once it restarts
}

func afterwards(m *Machine) aftermath {
	for range 120 { // where the command was cut, the worker goes on
		if !m.works() || m.clock.Sleep(m.life, time.Second) != nil {
			break
		}
	}
	a := aftermath{State: m.Snapshot(), Points: m.RestorePoints(), Images: m.Images(), Virtual: m.virtualAftermath()}
	for i := range a.Services { // Windows starts and stops these as it likes
		if a.Services[i].Start != startAuto && a.Services[i].Name != "OctopusDeploy" {
			a.Services[i].State = ""
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a.Restarting, a.GoesBack = m.pending != nil || m.leaving, m.restore.wanted != nil
	return a
}

// works says whether a worker is at work that something has started.
func (m *Machine) works() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.findTask(workerFolder, workerName)
	if t == nil || t.xml == "" {
		t = m.findTask(workerFolder, imageName)
	}
	return t != nil && t.xml != "" && t.state != taskReady
}

// pair is the same machine twice: PowerShell works on the first, the twins on the second.
type pair [2]*Machine

func newPair(t testing.TB, s state, speed float64, run shell) pair {
	t.Helper()
	return pair{newMachine(t, s, speed, run), newMachine(t, s, speed, nil)}
}

// ask asks both for the same, and says how they differ.
func (p pair) ask(t testing.TB, one step, text string) string {
	t.Helper()
	var answers [2]said
	var after [2]aftermath
	var both sync.WaitGroup
	for i, m := range p {
		both.Go(func() {
			answers[i] = ask(t, m, text, onThis(m, one.request), one.script == "deadman") // its answer is what it leaves
			after[i] = afterwards(m)
		})
	}
	both.Wait()
	diff := cmp.Diff(answers[0], answers[1])
	if strings.HasPrefix(answers[0].Cut, "no answer") {
		diff += "\nPowerShell: " + answers[0].Cut
	}
	if other := cmp.Diff(after[0], after[1]); other != "" {
		diff += "\nthe host afterwards:\n" + other
	}
	return diff
}

// thisBoot stands in a request for the boot that the machine runs in.
const thisBoot = "the machine's own"

// onThis is the request with what only the machine knows.
func onThis(m *Machine, request map[string]any) map[string]any {
	if request["bootBefore"] != thisBoot {
		return request
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	request = maps.Clone(request)
	request["bootBefore"] = m.fileTime()
	return request
}

// compare asks PowerShell and the twin for the same in the same state, and says how they differ. The clock runs
// so many times slower than it would.
func compare(t testing.TB, s state, c cell, text string, run shell, slower float64) string {
	t.Helper()
	return newPair(t, s, c.speed()/slower, run).ask(t, c.step, text)
}

// judged holds what PowerShell and the twin say. Where a busy machine keeps PowerShell from its work, its limits
// run out and the twin's do not: what differs is judged again, more slowly, and that counts.
func judged(t *testing.T, differ func(slower float64) string) {
	t.Helper()
	diff := ""
	for _, slower := range []float64{1, 4, 12} {
		if diff = differ(slower); diff == "" {
			return
		}
		t.Logf("they differ with a clock %g times slower than it could be", slower)
	}
	t.Errorf("(-PowerShell, +twin):\n%s", diff)
}
