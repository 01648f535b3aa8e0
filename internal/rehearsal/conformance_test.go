package rehearsal

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/rehearsal/fault"
	"github.com/octopatch/octopatch/internal/rehearsal/windows"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

var update = flag.Bool("update", false, "renew the record of the scripts' texts, once PowerShell and the twins agree")

const recordFile = "windows/twins.json"

// TestTwinsStandForTheScripts needs no PowerShell: a script whose text was changed since PowerShell and its twin
// were last seen to agree is named.
func TestTwinsStandForTheScripts(t *testing.T) {
	t.Parallel()
	if *update {
		t.Skip("the record is being renewed")
	}
	recorded := windows.Recorded()
	for _, name := range scripts.Names() {
		if recorded[name] != scripts.SHA256(name) {
			t.Errorf("%s.ps1 has a text that the twins' record does not know: run go test ./internal/rehearsal -run Conformance -update with PowerShell on PATH", name)
		}
	}
}

// call is one script with its request.
type call struct {
	script  string
	request map[string]any
}

// change is what a runner would write into the journal.
func change(run string, counter int) map[string]any {
	return map[string]any{"run": run, "counter": counter, "node": "OCTO-01", "owner": "ann@jump", "topology": "ha", "at": 1700000000,
		"intent": map[string]any{"phase": "stop", "what": "it", "at": 1700000000}, "phases": map[string]any{"enter": map[string]any{"result": "done", "began": 1, "ended": 2}},
		"octopus": map[string]any{"known": true, "oursDrain": true}}
}

func with(c map[string]any, more map[string]any) map[string]any {
	request := map[string]any{"change": c}
	for k, v := range more {
		request[k] = v
	}
	return request
}

func work(mode string, keep bool) map[string]any {
	return map[string]any{"job": "job-" + mode, "mode": mode, "line": 0, "follow": 3600, "keep": keep, "worker": scripts.Text("worker"), "change": nil,
		"filter": map[string]any{"classifications": []string{"0fa1201d-4330-4fa8-8ae9-b877473b6441", "28bc880e-0592-4cbf-8f95-c79b17911d5f"}, "include": []string{}, "exclude": []string{}, "source": "default"}}
}

// install is work with a journal.
func install(counter int) map[string]any {
	w := work("install", true)
	w["change"] = change("r1", counter)
	return w
}

// from is work with another source of updates.
func from(w map[string]any, source string) map[string]any {
	w["job"] = w["job"].(string) + source
	w["filter"].(map[string]any)["source"] = source
	return w
}

// picky is work that includes what is left out as a rule, and excludes what is not.
func picky(w map[string]any) map[string]any {
	filter := w["filter"].(map[string]any)
	filter["include"], filter["exclude"] = []string{"5063500", "5063501", "5063504", "5063505"}, []string{"5064401", "5063505"}
	return w
}

// lease is what a process asks for, or lets go of, the lease of a host with.
func lease(action, nonce, expect string) call {
	return call{"lease", map[string]any{"action": action, "run": "r1", "owner": "the owner of " + nonce, "attempt": "1", "nonce": nonce, "every": 1800, "expect": expect}}
}

// held adds the lease that a process holds to a request.
func held(c call, nonce string) call {
	request := map[string]any{"lease": map[string]any{"nonce": nonce, "every": 300}}
	for k, v := range c.request {
		request[k] = v
	}
	return call{c.script, request}
}

// armed adds a setting of the dead-man switch to a request.
func armed(c call, setting map[string]any) call {
	request := map[string]any{"deadman": setting}
	for k, v := range c.request {
		request[k] = v
	}
	return call{c.script, request}
}

// scenarios are the states of a host in which every script is asked: each is a story, because a state comes
// from what was done before.
func scenarios() map[string][]call {
	services := map[string]any{"services": []string{"OctopusDeploy"}, "limit": 60}
	health := map[string]any{"services": []string{"OctopusDeploy"}, "prefixes": []string{"http://127.0.0.1:1/"}}
	limit := map[string]any{"limit": 120}
	probe := call{"probe", map[string]any{"agents": []string{"CcmExec", "Tanium Client", "WinRM"}}}
	stop := func(n int) call { return call{"stop", with(change("r1", n), services)} }
	ready := map[string]any{"bootBefore": "", "quiet": 10, "limit": 300}
	record := func(n int) call { return call{"record", with(change("r1", n), nil)} }
	clear := call{"clear", map[string]any{"run": "r1"}}
	fires := call{"deadman", nil}
	silent := map[string]any{"script": scripts.Text("deadman"), "after": 2700, "until": 0}
	overdue := map[string]any{"script": scripts.Text("deadman"), "after": 0, "until": 1}
	return map[string][]call{
		"fresh":   {probe, {"health", health}, {"ready", ready}, {"clear", map[string]any{"run": ""}}, {"work", work("scan", false)}, {"follow", work("scan", false)}, probe},
		"journal": {{"record", with(change("r1", 1), nil)}, probe, {"record", with(change("r1", 1), nil)}, {"record", with(change("r1", 0), nil)}, {"record", with(change("r2", 9), nil)}, {"record", with(change("", 9), nil)}, {"clear", map[string]any{"run": "r2"}}, {"clear", map[string]any{"run": ""}}, {"clear", map[string]any{"run": "r1"}}, probe},
		"lease": {lease("take", "a", ""), probe, lease("take", "a", ""), lease("take", "b", ""), lease("take", "b", "a"), held(record(1), "a"), held(record(2), "b"), record(2),
			{"work", work("scan", false)}, clear, held(probe, "b"), held(clear, "a"), probe, lease("release", "b", ""), lease("release", "a", ""), probe, held(record(1), "a")},
		"released-lease": {lease("take", "a", ""), held(record(1), "a"), lease("release", "a", ""), probe, record(2), lease("take", "b", ""), lease("take", "b", "c"), lease("take", "b", "a"),
			held(call{"work", work("scan", false)}, "b"), held(clear, "b"), lease("release", "b", ""), probe},
		"armed":                  {lease("take", "a", ""), held(armed(stop(1), silent), "a"), probe, fires, held(armed(record(2), map[string]any{"off": true}), "a"), probe, held(armed(record(3), overdue), "a"), fires, held(call{"start", with(change("r1", 4), limit)}, "a"), probe, fires, held(clear, "a")},
		"fired":                  {lease("take", "a", ""), held(armed(stop(1), overdue), "a"), lease("release", "a", ""), fires, probe, {"health", health}, fires, lease("take", "b", "deadman"), held(stop(9), "b"), probe, held(call{"start", with(change("r1", 10), limit)}, "b"), held(clear, "b"), lease("release", "b", "")},
		"fired-in-silence":       {lease("take", "a", ""), held(armed(stop(1), map[string]any{"script": scripts.Text("deadman"), "after": 1, "until": 0}), "a"), fires, probe, held(record(2), "a")},
		"fired-without-lease":    {armed(stop(1), silent), fires, probe},
		"services":               {stop(1), probe, {"health", health}, stop(2), {"start", with(change("r1", 3), limit)}, {"start", with(change("r1", 4), limit)}, probe, {"clear", map[string]any{"run": "r1"}}},
		"unchanged":              {{"start", with(change("r1", 1), limit)}, {"undrain", with(change("r1", 2), map[string]any{"instance": "OctopusServer"})}, {"stop", with(change("r1", 3), map[string]any{"services": []string{"No Such $'[Service"}, "limit": 10})}, {"health", map[string]any{"services": []string{"No Such"}, "prefixes": []string{}}}},
		"download":               {{"work", work("download", false)}, probe},
		"install":                {stop(1), {"work", install(2)}, {"follow", install(2)}, probe, {"reboot", with(change("r1", 3), map[string]any{"comment": "patches"})}},
		"foreign-folder":         {probe, {"record", with(change("r1", 1), nil)}, stop(2), {"clear", map[string]any{"run": "r1"}}, {"work", work("scan", false)}},
		"service-stuck-stopping": {{"stop", with(change("r1", 1), map[string]any{"services": []string{"OctopusDeploy"}, "limit": 20})}, probe},
		"second-instance":        {probe},
		"wrong-machine":          {probe},
		"no-updates":             {{"work", work("scan", false)}},
		"update-fails":           {stop(1), {"work", install(2)}},
		"disk-full":              {{"work", work("download", false)}},
		"search-fails":           {{"work", work("scan", false)}},
		"reboot-pending-before":  {probe, {"ready", ready}},
		"shutdown-scheduled":     {stop(1), {"reboot", with(change("r1", 2), map[string]any{"comment": "patches"})}},
		"constrained-language":   {probe},
		"microsoft-update":       {{"work", from(work("scan", false), "microsoft-update")}, {"work", from(work("scan", false), "windows-update")}, {"work", from(work("scan", false), "nowhere")}},
		"auto-reboot-policy":     {probe},
		"rival-agent":            {probe},
		"clock-skew":             {probe},
		"low-disk":               {probe, {"work", work("scan", false)}},
		"wsus-down":              {probe, {"work", from(work("scan", false), "wsus")}, {"work", from(work("scan", false), "windows-update")}},
		"wsus-busy":              {{"work", work("scan", false)}},
		"search-warns":           {{"work", work("scan", false)}},
		"com-broken":             {{"work", work("scan", false)}, stop(1), {"work", install(2)}},
		"odd-updates":            {{"work", work("scan", false)}, stop(1), {"work", picky(install(2))}},
		"disk-fills":             {{"work", work("download", false)}},
		"install-wants-reboot":   {stop(1), {"work", install(2)}},
		"shutdown-in-progress":   {stop(1), {"reboot", with(change("r1", 2), map[string]any{"comment": "patches"})}},
		"shutdown-service-gone":  {stop(1), {"reboot", with(change("r1", 2), map[string]any{"comment": "patches"})}},
		"reboot-denied":          {stop(1), {"reboot", with(change("r1", 2), map[string]any{"comment": "patches"})}},
	}
}

// TestPowerShellConformance holds PowerShell and the twins to the same answers, and to the same state of the
// host afterwards: every script, in every state that a scenario brings about.
func TestPowerShellConformance(t *testing.T) {
	if _, err := windows.FindPowerShell(); err != nil {
		t.Skip("no PowerShell on PATH: ", err)
	}
	if testing.Short() {
		t.Skip("takes a minute")
	}
	if *update {
		proved := map[string]string{}
		for _, name := range scripts.Names() {
			proved[name] = scripts.SHA256(name)
		}
		windows.Trust(proved)
	}
	seen := map[string]bool{"worker": true} // runs as the task that work starts
	t.Run("scenarios", func(t *testing.T) {
		for name, calls := range scenarios() {
			for _, c := range calls {
				seen[c.script] = true
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				conform(t, name, calls)
			})
		}
	})
	for _, name := range scripts.Names() {
		if !seen[name] {
			t.Errorf("no scenario asks %s.ps1", name)
		}
	}
	if *update && !t.Failed() {
		text, err := json.MarshalIndent(windows.Recorded(), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(recordFile, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// conform tells the story to both machines and compares what they say and what they have become.
func conform(t *testing.T, name string, calls []call) {
	faults := ""
	for _, f := range Faults() {
		if f.Name == name {
			faults = name
		}
	}
	set := func() *fault.Set {
		s, err := fault.Parse(faults, Faults())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	configuration := func(string) string {
		return `{"Octopus.Server.NodeName": "OCTO-01", "Octopus.WebPortal.ListenPrefixes": "http://127.0.0.1:1/,http://+:2/", "Octopus.Storage.ExternalDatabaseConnectionString": "Data Source=SQL01;Password=x"}`
	}
	drain, service := func(string, bool) {}, func(bool, bool) {}
	up, down := func() error { return nil }, func() {}
	clk := clock.New(time.Now(), 60)
	start := func(powershell bool) *windows.Machine {
		m, err := windows.New(windows.Options{Clock: clk, Name: "OCTO-01", Dir: t.TempDir(), Faults: set(), PowerShell: powershell, Still: true, Configuration: configuration, Drain: drain, OnService: service, Down: down, Up: up})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		return m
	}
	w, m := start(true), start(false)
	for i, c := range calls {
		want, got := ask(t, w, c), ask(t, m, c)
		if !cmp.Equal(got, want) {
			t.Errorf("%d. %s: the twin answers otherwise than PowerShell (+twin, -PowerShell):\n%s", i+1, c.script, cmp.Diff(want, got))
		}
		if c.script == "reboot" { // both are on their way down, and not at the same pace
			continue
		}
		if want, got := afterwards(w.Snapshot()), afterwards(m.Snapshot()); !cmp.Equal(got, want) {
			t.Errorf("%d. %s: the twin leaves another host than PowerShell (+twin, -PowerShell):\n%s", i+1, c.script, cmp.Diff(want, got))
		}
	}
}

// afterwards leaves out what Windows does by itself.
func afterwards(s windows.State) windows.State {
	for i := range s.Services {
		if s.Services[i].Start != "Auto" && s.Services[i].Name != "OctopusDeploy" {
			s.Services[i].State = ""
		}
	}
	if len(s.Files) == 0 {
		s.Files = nil
	}
	return s
}

// ask hands the script to a machine as the bootstrap expects it, and returns its answer without what differs
// from machine to machine.
func ask(t *testing.T, on wsman.Runner, c call) any {
	t.Helper()
	const nonce = "00112233445566778899aabbccddeeff"
	request, err := json.Marshal(c.request)
	if err != nil {
		t.Fatal(err)
	}
	in := nonce + "\n"
	for _, part := range []string{scripts.Text(c.script), string(request)} {
		text := base64.StdEncoding.EncodeToString([]byte(part))
		for len(text) > 0 {
			n := min(1000, len(text))
			in, text = in+text[:n]+"\n", text[n:]
		}
		in += ".\n"
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	if _, err := on.Run(ctx, wsman.Command{Line: scripts.CommandLine, Stdin: strings.NewReader(in), Stdout: &out, Stderr: &errs}); err != nil {
		t.Fatal(err)
	}
	if c.script == "deadman" { // its answer is what it leaves
		return out.String()
	}
	for line := range strings.Lines(out.String()) {
		var answer map[string]any
		if json.Unmarshal([]byte(line), &answer) == nil && answer["progress"] == nil && answer["nonce"] == nonce {
			return plain("", answer)
		}
	}
	t.Fatalf("%s: no answer in %q, %q", c.script, out.String(), errs.String())
	return nil
}

var (
	path  = regexp.MustCompile(`/\S*/(ProgramData|Program Files)`)
	where = regexp.MustCompile(` \(line \d+\)`)
)

// plain replaces what differs from machine to machine by its kind.
func plain(key string, v any) any {
	switch key {
	case "renewed", "taken", "armed", "updated", "why", "boot", "bootTime", "time", "machineId", "powershell", "freeBytes", "version", "id", "line", "pingError", "serverError", "busy":
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
		if v["kind"] == "script" { // Windows words its errors in its own way; the code counts
			v["message"] = "words"
		}
	case []any:
		for i := range v {
			v[i] = plain("", v[i])
		}
	case string:
		return where.ReplaceAllString(path.ReplaceAllString(filepath.ToSlash(v), "$1"), "")
	}
	return v
}
