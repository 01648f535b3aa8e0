package windows

import (
	"testing"

	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// TestStopAgain: a service that ran before the run, was started again by it and has fallen over since runs again once the
// run has stopped and started the host a second time. What Windows was is kept as long as there is a precaution of it.
func TestStopAgain(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]shell{"twin": nil, "PowerShell": startShell} {
		for _, taken := range []string{"taken", "removed"} {
			t.Run(name+" "+taken, func(t *testing.T) {
				if run != nil {
					needPowerShell(t)
				}
				t.Parallel()
				m := newMachine(t, state{prepare: both(restored, locked(stopAll))}, 20, run)
				stop := changing(5, stopping)
				stop["change"].(map[string]any)["precaution"].(map[string]any)["state"] = taken
				told := ask(t, m, scripts.Text("stop"), stop, false)
				answer, _ := told.Answer.(object)
				host := objectOf(objectOf(objectOf(answer, "answer"), "journal"), "host")
				if kept := numberOf(host, "ubr") == earlierUBR; host == nil || kept != (taken == "taken") || flagOf(host, "restored") {
					t.Errorf("the host says %v", told)
				}
				_ = ask(t, m, scripts.Text("start"), changing(6, starting), false)
				for _, name := range []string{"OctopusDeploy", "Octopus Log Shipper"} {
					if got := m.status(name); got != stateRunning {
						t.Errorf("%s is %s", name, got)
					}
				}
			})
		}
	}
}
