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
}

// speed of the simulated clock: what PowerShell needs for itself must stay short in simulated time as well. A
// restart follows five seconds after it was asked for, and must not overtake the answer.
func (c cell) speed() float64 {
	switch {
	case c.name == "reboot", c.name == "restore revert":
		return 2
	case c.script == "hyperv":
		return 120
	}
	return 40
}

// change is what a runner would write into the journal.
func change(run string, counter int) map[string]any {
	return map[string]any{"run": run, "counter": counter, "node": "OCTO-01", "owner": "ann@jump", "topology": "ha", "at": 1700000000,
		"intent": map[string]any{"phase": "stop", "what": "it", "at": 1700000000}, "phases": map[string]any{"enter": map[string]any{"result": "done", "began": 1, "ended": 2}, "patch": map[string]any{"result": "", "began": 3, "ended": 0,
			"brought": map[string]any{"installed": []any{map[string]any{"id": "u1", "title": "Update", "kbs": []string{"5000001"}}}, "reboots": 1, "hostDown": 1700000000, "back": 0}}},
		"octopus": map[string]any{"known": true, "oursDrain": true}, "precaution": map[string]any{"provider": "vsphere", "name": "octopatch-r1-OCTO-01", "taken": 1700000000, "state": "taken"}}
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
	probing    = map[string]any{"agents": []string{"CcmExec", "Tanium Client", "WinRM"}}
	stopping   = stoppingOf("OctopusDeploy")
	starting   = map[string]any{"limit": 60}
	quiet      = map[string]any{"bootBefore": "", "quiet": 20, "limit": 300}
	healthy    = healthOf("OctopusDeploy")
	following  = map[string]any{"job": "job-x", "line": 1, "follow": 120, "keep": true}
	commenting = map[string]any{"comment": "patches"}
)

func stoppingOf(service string) map[string]any {
	return map[string]any{"services": []string{service}, "ran": []string{service}, "limit": 30}
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
	one := func(name string, request map[string]any) cell {
		if s.lease != "" && request != nil && name != "lease" {
			request = leased(step{request: request}, s.lease).request
		}
		return cell{name, step{name, request}}
	}
	installing := install(5)
	if s.faults == "install-stuck" || s.faults == "download-slow" {
		installing["follow"] = 400 // it would be followed for ever, or for too long
	}
	worker := one("work", installing)
	worker.name = "worker"
	return []cell{
		one("probe", probing), one("health", healthOf(service)), one("ready", quiet), one("lease", lease("take", "mine", "other").request), one("record", changing(5, nil)), one("copy", map[string]any{"node": "OCTO-02", "journal": journal("r1", 5)}),
		one("stop", changing(5, stoppingOf(service))), one("start", changing(5, starting)), one("undrain", changing(5, map[string]any{"instance": instance})),
		one("reboot", changing(5, commenting)), one("clear", map[string]any{"run": "r1"}), one("work", work("scan", false)), one("follow", following), worker, one("deadman", nil),
	}
}

// lease is what a process asks for, or lets go of, the lease of a host with.
func lease(action, nonce, expect string) step {
	return step{"lease", map[string]any{"action": action, "run": "r1", "owner": "the owner of " + nonce, "attempt": "1", "nonce": nonce, "every": 1800, "expect": expect}}
}

// with adds a field to a request.
func with(one step, name string, value any) step {
	request := map[string]any{name: value}
	for k, v := range one.request {
		request[k] = v
	}
	return step{one.script, request}
}

// leased adds the lease that a process holds to a request.
func leased(one step, nonce string) step {
	return with(one, "lease", map[string]any{"nonce": nonce, "every": 1800})
}

// armed adds a setting of the dead-man switch to a request.
func armed(one step, setting map[string]any) step { return with(one, "deadman", setting) }
