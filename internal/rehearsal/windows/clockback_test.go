package windows

import (
	"slices"
	"testing"

	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// TestSwitchOfAnotherClock: a host's clock that was set back does not make the dead-man switch fire at once, for the run
// may live, and does not keep it from firing either.
func TestSwitchOfAnotherClock(t *testing.T) {
	for name, fires := range map[string]bool{"switch overdue": true, "switch of another clock": false, "switch of another clock, noticed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := states()
			i := slices.IndexFunc(all, func(s state) bool { return s.name == name })
			m := newMachine(t, all[i], cell{}.speed(), nil)
			ask(t, m, scripts.Text("deadman"), nil, true)
			m.mu.Lock()
			defer m.mu.Unlock()
			s, _ := m.find("OctopusDeploy")
			if got := s.state != stateStopped; got != fires {
				t.Errorf("the service is %s", s.state)
			}
		})
	}
}
