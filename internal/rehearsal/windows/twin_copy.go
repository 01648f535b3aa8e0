package windows

import (
	"fmt"
	"os"
)

// copyFile is the journal of another node, while that node's machine is reverted.
const copyFile = "copy.json"

func twinCopy(t *twin) error {
	if err := t.assertUnclaimed(); err != nil {
		return err
	}
	found, err := t.trustFolder()
	if err != nil {
		return err
	}
	var kept object
	if found {
		if kept, err = t.readJournalFile(copyFile); err != nil {
			return err
		}
	}
	journal, node := objectOf(t.request, "journal"), t.text("node")
	if journal == nil {
		if kept != nil && textOf(kept, "node") == node {
			err = os.Remove(t.file(copyFile))
		}
		if err != nil {
			return err
		}
		return t.answer(object{"kept": false})
	}
	if kept != nil && textOf(kept, "node") != node {
		return &stop{"journal", fmt.Sprintf("%s is of node %s, run %s", t.file(copyFile), textOf(kept, "node"), textOf(kept, "run")), ""}
	}
	if err := t.openFolder(); err != nil {
		return err
	}
	if err := t.writeJSON(copyFile, journal); err != nil {
		return err
	}
	return t.answer(object{"kept": true})
}
