package windows

import (
	"fmt"
	"testing"

	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// stories are what a state alone does not show: one thing after another, compared after each.
func stories() map[string][]step {
	probe := step{"probe", probing}
	health := step{"health", healthy}
	record := func(n int) step { return step{"record", changing(n, nil)} }
	stop := func(n int) step { return step{"stop", changing(n, stopping)} }
	start := func(n int) step { return step{"start", changing(n, starting)} }
	clear := step{"clear", map[string]any{"run": "r1"}}
	scan := step{"work", work("scan", false)}
	fires := step{"deadman", nil}
	silent := map[string]any{"script": scripts.Text("deadman"), "after": 2700, "until": 0}
	overdue := map[string]any{"script": scripts.Text("deadman"), "after": 0, "until": 1}
	atOnce := map[string]any{"script": scripts.Text("deadman"), "after": 1, "until": 0}
	return map[string][]step{
		"fresh": {probe, health, {"ready", quiet}, {"clear", map[string]any{"run": ""}}, scan, {"follow", work("scan", false)}, probe},
		"journal": {record(1), probe, record(1), record(0), {"record", map[string]any{"change": change("r2", 9)}}, {"record", map[string]any{"change": change("", 9)}},
			{"clear", map[string]any{"run": "r2"}}, {"clear", map[string]any{"run": ""}}, clear, probe},
		"services": {stop(1), probe, health, stop(2), start(3), start(4), probe, clear},
		"unchanged": {start(1), {"undrain", changing(2, map[string]any{"instance": "Other"})}, {"stop", changing(3, map[string]any{"services": []string{"No Such $'[Service"}, "ran": []string{}, "limit": 10})},
			{"health", map[string]any{"services": []string{"No Such"}, "prefixes": []string{}}}},
		"download": {{"work", work("download", false)}, probe},
		"sources":  {from("microsoft-update"), from("windows-update"), from("wsus"), from("nowhere")},
		"install":  {stop(1), {"work", install(2)}, {"follow", install(2)}, probe, {"reboot", changing(3, commenting)}},
		"lease": {lease("take", "a", ""), probe, lease("take", "a", ""), lease("take", "b", ""), lease("take", "b", "a"), leased(record(1), "a"), leased(record(2), "b"), record(2),
			scan, clear, leased(probe, "b"), leased(clear, "a"), probe, lease("release", "b", ""), lease("release", "a", ""), probe, leased(record(1), "a")},
		"released lease": {lease("take", "a", ""), leased(record(1), "a"), lease("release", "a", ""), probe, record(2), lease("take", "b", ""), lease("take", "b", "c"), lease("take", "b", "a"),
			leased(scan, "b"), leased(clear, "b"), lease("release", "b", ""), probe},
		"armed": {lease("take", "a", ""), leased(armed(stop(1), silent), "a"), probe, fires, leased(armed(record(2), map[string]any{"off": true}), "a"), probe,
			leased(armed(record(3), overdue), "a"), fires, leased(start(4), "a"), probe, fires, leased(clear, "a")},
		"fired": {lease("take", "a", ""), leased(armed(stop(1), overdue), "a"), lease("release", "a", ""), fires, probe, health, fires, lease("take", "b", "deadman"),
			leased(stop(9), "b"), probe, leased(start(10), "b"), leased(clear, "b"), lease("release", "b", "")},
		"fired in silence": {lease("take", "a", ""), leased(armed(stop(1), atOnce), "a"), fires, probe, leased(record(2), "a")},
		"copy": {lease("take", "a", ""), leased(copying("OCTO-02", 7), "a"), copying("OCTO-02", 8), leased(copying("OCTO-02", 8), "a"), leased(copying("OCTO-03", 1), "a"), probe, leased(dropping("OCTO-03"), "a"),
			leased(record(1), "a"), leased(clear, "a"), lease("release", "a", ""), probe, clear, probe, lease("take", "b", "a"), leased(dropping("OCTO-02"), "b"), lease("release", "b", ""), probe, dropping("OCTO-02"), probe},
		"restart awaited":     {{"ready", map[string]any{"bootBefore": thisBoot, "quiet": 20, "limit": 40}}, {"ready", map[string]any{"bootBefore": "130000000000000000", "quiet": 20, "limit": 300}}},
		"fired without lease": {armed(stop(1), silent), fires, probe},
	}
}

// copying keeps the journal of another node.
func copying(node string, counter int) step {
	j := copyOf(node)
	j["counter"], j["phases"] = counter, map[string]any{"stop": map[string]any{"result": "done", "began": 1, "ended": 2}}
	return step{"copy", map[string]any{"node": node, "journal": j}}
}

func dropping(node string) step { return step{"copy", map[string]any{"node": node, "journal": nil}} }

// from is a search at another source of updates.
func from(source string) step {
	w := work("scan", false)
	w["job"] = "job-" + source
	w["filter"].(map[string]any)["source"] = source
	return step{"work", w}
}

// sources are the hosts that a search finds different services on: Microsoft Update registered or not, a WSUS named by
// a policy or not, or named and not to be used.
func sources() []state {
	registered := locked(func(m *Machine) { m.agent.microsoft = true })
	named := withRegistry(keyPolicy, "WUServer", "http://127.0.0.1:1/")
	used := both(named, withRegistry(keyPolicy+`\AU`, "UseWUServer", 1))
	return []state{
		{name: "nothing set"}, {name: "registered", prepare: registered}, {name: "WSUS", prepare: used},
		{name: "registered, WSUS", prepare: both(registered, used)}, {name: "WSUS named, not used", prepare: named},
	}
}

// tell tells a story to both, and compares after each step.
func tell(t *testing.T, steps []step, run shell) {
	speed := cell{}.speed()
	if steps[len(steps)-1].script == "reboot" {
		speed = 10 // five seconds must be enough for PowerShell to end
	}
	judged(t, func(slower float64) string {
		p, all := newPair(t, state{}, speed/slower, run), ""
		for i, one := range steps {
			if diff := p.ask(t, one, scripts.Text(one.script)); diff != "" {
				all += fmt.Sprintf("%d. %s:\n%s\n", i+1, one.script, diff)
			}
		}
		return all
	})
}
