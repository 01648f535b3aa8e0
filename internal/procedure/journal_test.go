package procedure

import "testing"

func TestNextPhaseOfAJournal(t *testing.T) {
	t.Parallel()
	done, failed, begun := PhaseRecord{Result: Done}, PhaseRecord{Result: Failed}, PhaseRecord{Began: 1}
	for _, c := range []struct {
		name    string
		phases  map[string]PhaseRecord
		intent  string
		stopped bool
		want    string
	}{
		{"nothing_begun", nil, "", false, Enter},
		{"entered", map[string]PhaseRecord{Enter: done}, "", false, Wait},
		{"died_while_entering", nil, Enter, false, Enter},
		{"drain_limit", map[string]PhaseRecord{Enter: done, Wait: failed}, "", false, Exit},
		{"died_while_patching", map[string]PhaseRecord{Enter: done, Wait: done, Stop: done, Patch: begun}, Patch, true, Patch},
		{"died_before_the_first_sign_of_patching", map[string]PhaseRecord{Enter: done, Wait: done, Stop: done}, Patch, true, Patch},
		{"failed_patch", map[string]PhaseRecord{Stop: done, Patch: failed}, Patch, true, Start},
		{"failed_stop_that_changed_nothing", map[string]PhaseRecord{Enter: done, Wait: done, Stop: failed}, Stop, false, Exit},
		{"held_at_start", map[string]PhaseRecord{Stop: done, Patch: done, Start: {Result: Unknown}}, Start, true, Start},
		{"failed_exit", map[string]PhaseRecord{Stop: done, Start: done, Exit: failed}, Exit, true, Exit},
		{"everything_done", map[string]PhaseRecord{Exit: done}, Exit, true, Exit},
	} {
		j := Journal{Phases: c.phases}
		if c.intent != "" {
			j.Intent = &Intent{Phase: c.intent}
		}
		if c.stopped {
			j.Host = &HostPrior{}
		}
		if got := j.Next(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestWith: what is printed as the next command works when it is copied, in the shell of the reader's system.
func TestWith(t *testing.T) {
	for _, c := range []struct{ system, value, want string }{
		{"linux", "OCTO-01", "OCTOPATCH_NODE=OCTO-01 "},
		{"darwin", "it's $1", `OCTOPATCH_NODE='it'\''s $1' `},
		{"windows", "OCTO-01", "$env:OCTOPATCH_NODE = 'OCTO-01'; "},
		{"windows", "it's", "$env:OCTOPATCH_NODE = 'it''s'; "},
	} {
		if got := with(c.system, "OCTOPATCH_NODE", c.value); got != c.want {
			t.Errorf("%s: %q, want %q", c.system, got, c.want)
		}
	}
}
