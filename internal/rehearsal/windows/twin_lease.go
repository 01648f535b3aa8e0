package windows

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	leaseFile = "lease.json"
	lockFile  = "lock"
)

// openLock keeps every other process of this machine from the lease, as the exclusively opened file does.
func (t *twin) openLock() (unlock func(), err error) {
	t.m.leases.Lock()
	if err = t.openFolder(); err == nil {
		err = os.WriteFile(t.file(lockFile), nil, 0o600)
	}
	if err != nil {
		t.m.leases.Unlock()
		return nil, err
	}
	return t.m.leases.Unlock, nil
}

// readLease is the lease, nil when there is none; one that cannot be understood belongs to somebody.
func (t *twin) readLease() (object, error) {
	path := t.file(leaseFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var whole any
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, t.refuseJournal("%s cannot be read: %v", path, err)
	}
	lease, ok := whole.(object)
	if !ok {
		return nil, t.refuseJournal("%s is not a lease", path)
	}
	if numberOf(lease, "format") != 1 {
		return nil, &stop{"newer", fmt.Sprintf("%s has the format %v", path, lease["format"]), ""}
	}
	return lease, nil
}

// clockSlack is how far in the future something may have been noted, in seconds, before it counts as noted by another clock.
const clockSlack = 300

// live is true until three renewals were missed, or the holder let it go.
func (t *twin) live(lease object) bool {
	age := float64(t.m.clock.Now().Unix()) - numberOf(lease, "renewed")
	return !flagOf(lease, "released") && age >= -clockSlack && age < 3*numberOf(lease, "every")
}

func (t *twin) notOurs(lease object) error {
	if lease == nil {
		return &stop{"lease", "the lease of this process is no longer there", ""}
	}
	return &stop{"lease", fmt.Sprintf("run %s of %s holds the lease now", lease["run"], lease["owner"]), ""}
}

// updateLease renews the lease of the process that asks.
func (t *twin) updateLease() error {
	mine := objectOf(t.request, "lease")
	if mine == nil {
		return nil
	}
	if state, err := t.folderState(); err != nil || state == "absent" {
		return errors.Join(err, t.notOurs(nil))
	}
	unlock, err := t.openLock()
	if err != nil {
		return err
	}
	defer unlock()
	lease, err := t.readLease()
	if err != nil {
		return err
	}
	if lease == nil || textOf(lease, "nonce") != textOf(mine, "nonce") {
		return t.notOurs(lease)
	}
	lease["renewed"], lease["every"], lease["released"] = t.m.clock.Now().Unix(), mine["every"], false
	return t.writeJSON(leaseFile, lease)
}

// assertUnclaimed ends a call of a process without a lease while another one works on this host.
func (t *twin) assertUnclaimed() error {
	state, err := t.folderState()
	if err != nil || state != "ours" || objectOf(t.request, "lease") != nil {
		return err
	}
	lease, err := t.readLease()
	if err == nil && lease != nil && t.live(lease) {
		err = t.notOurs(lease)
	}
	return err
}

func twinLease(t *twin) error {
	state, err := t.folderState()
	if err != nil {
		return err
	}
	if t.text("action") == "release" {
		return t.revokeLease(state)
	}
	if state == "ours" {
		if _, err := t.readJournal(); err != nil {
			return err
		}
	}
	unlock, err := t.openLock()
	if err != nil {
		return err
	}
	defer unlock()
	lease, err := t.readLease()
	if err != nil {
		return err
	}
	journal, err := t.readJournal()
	if err != nil {
		return err
	}
	nonce, expect := textOf(lease, "nonce"), t.text("expect")
	if live := lease != nil && t.live(lease); lease != nil && nonce != t.text("nonce") && (live || expect == "" || expect != nonce) {
		return t.answer(object{"held": false, "lease": lease, "live": live, "journal": orNull(journal)})
	}
	now := t.m.clock.Now().Unix()
	lease = object{"format": 1, "every": t.request["every"], "taken": now, "renewed": now, "released": false}
	for _, name := range []string{"run", "owner", "attempt", "nonce"} {
		lease[name] = t.text(name)
	}
	if err := t.writeJSON(leaseFile, lease); err != nil {
		return err
	}
	return t.answer(object{"held": true, "lease": lease, "live": true, "journal": orNull(journal)})
}

// orNull: a nil object in an interface would not be null in JSON.
func orNull(o object) any {
	if o == nil {
		return nil
	}
	return o
}

// revokeLease lets go of a lease that is ours; without a journal everything of ours goes.
func (t *twin) revokeLease(state string) error {
	gone := object{"held": false, "lease": nil, "live": false, "journal": nil}
	if state != "ours" {
		return t.answer(gone)
	}
	open := t.exists(journalFile) || t.exists(copyFile)
	lease, ours, err := t.letGo(open)
	if err != nil {
		return err
	}
	if !ours {
		return t.answer(object{"held": false, "lease": lease, "live": t.live(lease), "journal": nil})
	}
	if open {
		return t.answer(object{"held": false, "lease": orNull(lease), "live": false, "journal": nil})
	}
	if err := t.stopWorker(); err != nil {
		return err
	}
	if err := t.removeTasks(); err != nil {
		return err
	}
	if err := t.removeFolder(false); err != nil {
		return err
	}
	return t.answer(gone)
}

func (t *twin) letGo(open bool) (lease object, ours bool, err error) {
	unlock, err := t.openLock()
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	lease, err = t.readLease()
	if err != nil {
		return nil, false, err
	}
	if lease != nil && textOf(lease, "nonce") != t.text("nonce") {
		return lease, false, nil
	}
	if open && lease != nil {
		lease["released"] = true
		err = t.writeJSON(leaseFile, lease)
	}
	return lease, true, err
}

// removeFolder removes the folder with everything in it; the holder of the lease keeps the lease.
func (t *twin) removeFolder(keepLease bool) error {
	found, err := t.trustFolder()
	if err != nil || !found {
		return err
	}
	unlock, err := t.openLock()
	if err != nil {
		return err
	}
	defer unlock()
	lease, err := t.readLease()
	if err != nil {
		return err
	}
	if !keepLease && lease != nil && t.live(lease) && textOf(lease, "nonce") != t.text("nonce") {
		return nil
	}
	entries, err := os.ReadDir(t.folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == lockFile || e.Name() == copyFile || keepLease && e.Name() == leaseFile {
			continue
		}
		if err := os.RemoveAll(filepath.Join(t.folder, e.Name())); err != nil {
			return err
		}
	}
	if keepLease || t.exists(copyFile) {
		return nil
	}
	return os.RemoveAll(t.folder)
}
