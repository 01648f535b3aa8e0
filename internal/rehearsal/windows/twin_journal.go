package windows

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

const journalFile = "run.json"

func (t *twin) refuseJournal(format string, about ...any) error {
	return &stop{"journal", fmt.Sprintf(format, about...), ""}
}

func (t *twin) readJournal() (object, error) { return t.readJournalFile(journalFile) }

// readJournalFile is the journal in a file, nil when there is none; one that cannot be understood is an error.
func (t *twin) readJournalFile(name string) (object, error) {
	path := t.file(name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, t.refuseJournal("%s cannot be read: %v", path, err)
	}
	var whole any
	if strings.TrimSpace(string(text)) != "" {
		if err := json.Unmarshal(text, &whole); err != nil {
			return nil, t.refuseJournal("%s cannot be read: %v", path, err)
		}
	}
	j, _ := whole.(object)
	if j["format"] == nil {
		return nil, t.refuseJournal("%s is not a journal", path)
	}
	if numberOf(j, "format") != 1 {
		return nil, &stop{"newer", fmt.Sprintf("%s has the format %v", path, j["format"]), ""}
	}
	if textOf(j, "run") == "" {
		return nil, t.refuseJournal("%s names no run", path)
	}
	return j, nil
}

func (t *twin) testChange(j object) error {
	change := t.change()
	run := textOf(change, "run")
	if run == "" {
		return t.refuseJournal("a change without a run id")
	}
	if j == nil {
		return nil
	}
	if j["run"] != run {
		return t.refuseJournal("%s belongs to run %v", t.file(journalFile), j["run"])
	}
	had, have := int64(numberOf(j, "counter")), int64(numberOf(change, "counter"))
	if have < had {
		return t.refuseJournal("the journal is at %d, the change at %d: another process has gone on with this run", had, have)
	}
	return nil
}

// updateJournal merges the change, and the host's prior state where it is not nil.
func (t *twin) updateJournal(host object) (object, error) {
	if err := t.assertUnclaimed(); err != nil {
		return nil, err
	}
	if err := t.openFolder(); err != nil {
		return nil, err
	}
	j, err := t.readJournal()
	if err != nil {
		return nil, err
	}
	if err := t.testChange(j); err != nil {
		return nil, err
	}
	if j == nil {
		j = object{"format": 1.0}
	}
	change := t.change()
	for _, name := range []string{"run", "counter", "node", "owner", "topology"} {
		j[name] = change[name]
	}
	j["updated"] = change["at"]
	if intent := change["intent"]; intent != nil {
		j["intent"] = intent
	}
	for _, part := range []string{"phases", "octopus", "precaution"} {
		merge(j, part, objectOf(change, part))
	}
	if host != nil {
		j["host"] = host
		delete(j, "deadman") // what it did is being undone
	}
	return j, t.writeJSON(journalFile, j)
}

func merge(j object, part string, from object) {
	into := objectOf(j, part)
	switch {
	case from == nil:
	case into == nil:
		j[part] = from
	default:
		for k, v := range from {
			into[k] = v
		}
	}
}

func twinRecord(t *twin) error {
	j, err := t.updateJournal(nil)
	if err != nil {
		return err
	}
	if err := t.setDeadman(); err != nil {
		return err
	}
	return t.answer(object{"journal": j})
}
