package windows

import "github.com/octopatch/octopatch/internal/winhost/scripts"

// step is one script with its request.
type step struct {
	script  string
	request map[string]any
}

// cell is one column of the matrix: a script and what is asked of it in every state.
type cell struct {
	name string
	step
	before []step // what was done with the host before
}

// speed of the simulated clock: what PowerShell needs for itself must stay short in simulated time as well. A
// restart follows five seconds after it was asked for, and must not overtake the answer.
func (c cell) speed() float64 {
	if c.name == "reboot" {
		return 2
	}
	return 40
}

// change is what a runner would write into the journal.
func change(run string, counter int) map[string]any {
	return map[string]any{"run": run, "counter": counter, "node": "OCTO-01", "owner": "ann@jump", "topology": "ha", "at": 1700000000,
		"intent": map[string]any{"phase": "stop", "what": "it", "at": 1700000000}, "phases": map[string]any{"enter": map[string]any{"result": "done", "began": 1, "ended": 2}},
		"octopus": map[string]any{"known": true, "oursDrain": true}}
}

// changing is a request with a change of run r1.
func changing(counter int, more map[string]any) map[string]any {
	request := map[string]any{"change": change("r1", counter)}
	for k, v := range more {
		request[k] = v
	}
	return request
}

func work(mode string, keep bool) map[string]any {
	return map[string]any{"job": "job-" + mode, "mode": mode, "line": 0, "follow": 3600, "keep": keep, "worker": scripts.Text("worker"), "change": nil,
		"filter": map[string]any{"classifications": []string{"0fa1201d-4330-4fa8-8ae9-b877473b6441", "28bc880e-0592-4cbf-8f95-c79b17911d5f"}, "include": []string{}, "exclude": []string{"5063762"}, "source": "default"}}
}

// install is work with a journal.
func install(counter int) map[string]any {
	w := work("install", true)
	w["change"] = change("r1", counter)
	return w
}

var (
	stopping   = stoppingOf("OctopusDeploy")
	starting   = map[string]any{"limit": 60}
	quiet      = map[string]any{"bootBefore": "", "quiet": 20, "limit": 300}
	healthy    = healthOf("OctopusDeploy")
	following  = map[string]any{"job": "job-x", "line": 1, "follow": 120, "keep": true}
	commenting = map[string]any{"comment": "patches"}
)

func stoppingOf(service string) map[string]any {
	return map[string]any{"services": []string{service}, "limit": 30}
}

func healthOf(service string) map[string]any {
	return map[string]any{"services": []string{service}, "prefixes": []string{"http://127.0.0.1:1/", "odd"}}
}

// cells are the columns: every script, as it is asked in the middle of a run r1 at counter 5.
func cells(s state) []cell {
	service, instance := "OctopusDeploy", "OctopusServer"
	if s.instance != "" {
		service, instance = "OctopusDeploy: "+s.instance, s.instance
	}
	one := func(name string, request map[string]any) cell { return cell{name, step{name, request}, nil} }
	return []cell{
		one("probe", map[string]any{}), one("health", healthOf(service)), one("ready", quiet), one("record", changing(5, nil)),
		one("stop", changing(5, stoppingOf(service))), one("start", changing(5, starting)), one("undrain", changing(5, map[string]any{"instance": instance})),
		one("reboot", changing(5, commenting)), one("clear", map[string]any{"run": "r1"}), one("work", work("scan", false)), one("follow", following),
		{"worker", step{"work", install(5)}, nil},
	}
}

// stories are what a state alone does not show: one thing after another.
func stories() []cell {
	stop := step{"stop", changing(1, stopping)}
	again := func(name string, request map[string]any, before ...step) cell {
		return cell{name, step{name, request}, before}
	}
	record := step{"record", changing(2, nil)}
	return []cell{
		again("probe", map[string]any{}, stop), again("health", healthy, stop), again("stop", changing(2, stopping), stop),
		again("start", changing(2, starting), stop), again("start", changing(3, starting), stop, step{"start", changing(2, starting)}),
		again("record", changing(1, nil), record), again("record", changing(2, nil), record), again("record", map[string]any{"change": change("r2", 9)}, record),
		again("record", map[string]any{"change": change("", 9)}), again("clear", map[string]any{"run": ""}, record), again("clear", map[string]any{"run": "r2"}, record),
		again("clear", map[string]any{"run": ""}), again("stop", changing(1, map[string]any{"services": []string{"No Such $'[Service"}, "limit": 10})),
		again("health", map[string]any{"services": []string{"No Such"}, "prefixes": []string{}}), again("undrain", changing(1, map[string]any{"instance": "Other"})),
		again("work", work("download", false)), again("follow", work("install", true), stop, step{"work", install(2)}),
	}
}
