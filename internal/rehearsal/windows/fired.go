package windows

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
)

// watched executes a scheduled task, and notes in the world's log when the dead-man switch has fired: what it wrote
// into the journal says so, whoever executes the script.
func (m *Machine) watched(ctx context.Context, d definition, name string) (int, error) {
	if name != deadmanName {
		return m.execute(ctx, d)
	}
	before := m.fired()
	exit, err := m.execute(ctx, d)
	if after := m.fired(); after != before {
		m.log("host deadman", after, "applied")
	}
	return exit, err
}

// fired is what the journal says of the dead-man switch, or empty.
func (m *Machine) fired() string {
	text, err := os.ReadFile(filepath.Join(m.ours(), journalFile))
	if err != nil {
		return ""
	}
	var journal struct{ Deadman json.RawMessage }
	if json.Unmarshal(text, &journal) != nil {
		return ""
	}
	return string(journal.Deadman)
}
