package procedure

import (
	"fmt"
	"maps"
)

// afterPrecaution are the phases that a revert to a run's own precaution takes back on the host.
var afterPrecaution = []string{Patch, Start, Exit}

// Behind is by how much a copy is ahead of the journal on the host: 0 where both are the same, below it where the copy is
// the older one. The dead-man switch counts on by itself, also from a journal that was rewound: then the time of what
// was begun last tells.
func (j Journal) Behind(kept Journal) int64 {
	if j.Deadman != nil && j.Intent != nil && kept.Intent != nil {
		return kept.Intent.At - j.Intent.At
	}
	return kept.Counter - j.Counter
}

// Newer is the journal to go on with where a copy is newer than the host's own: a revert has rewound the host's. What
// the host knows of itself, and how far it has come, is the host's word; what was done outside of it is the copy's.
func (j Journal) Newer(kept Journal) Journal {
	kept.Host, kept.Deadman, kept.Intent, kept.Counter = j.Host, j.Deadman, j.Intent, max(j.Counter, kept.Counter)
	kept.Phases = maps.Clone(kept.Phases)
	for _, phase := range afterPrecaution {
		delete(kept.Phases, phase)
		if record, known := j.Phases[phase]; known {
			kept.Phases[phase] = record
		}
	}
	return kept
}

// Disagrees says why the journal does not account for the Windows that it was read on, "" where it does: it knows of no
// reboot and no update since it stopped the services. Either Windows restarted by itself, or the machine was reverted
// to this moment, and more was done since than the journal says.
func (j Journal) Disagrees(now Windows) string {
	if j.Host == nil || now.Boot == "" {
		return ""
	}
	for _, phase := range append([]string{Recover}, afterPrecaution...) { // a revert restarts the machine, too
		if j.begun(phase) {
			return ""
		}
	}
	switch {
	case j.Host.Build != now.Build || j.Host.UBR != now.UBR:
		return fmt.Sprintf("the journal knows of no update since the service was stopped, and Windows is %s.%d and was %s.%d", now.Build, now.UBR, j.Host.Build, j.Host.UBR)
	case j.Host.Boot != now.Boot:
		return "the journal knows of no reboot since the service was stopped, and Windows has booted"
	}
	return ""
}
