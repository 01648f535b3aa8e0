package windows

import (
	"fmt"
	"time"
)

func twinRestorePoint(t *twin) error {
	t.m.mu.Lock()
	boot, client := t.m.fileTime(), t.m.productType() == 1
	t.m.mu.Unlock()
	var status any
	var err error
	switch action := t.text("action"); action {
	case "check":
		err = t.restorePossible()
	case "take":
		if err = t.assertUnclaimed(); err == nil {
			err = t.takeRestorePoint()
		}
	case "find":
	case "revert":
		if err = t.assertUnclaimed(); err == nil {
			err = t.revertToRestorePoint()
		}
	case "restored":
		var code uint32
		code, err = t.m.restoreMethod("GetLastRestoreStatus", "", 0)
		status = code
	default:
		return &stop{"script", "there is no action " + action, ""}
	}
	if err != nil {
		return err
	}
	found := false
	if client {
		p, err := t.findRestorePoint()
		if err != nil {
			return err
		}
		found = p != nil
	}
	return t.answer(object{"found": found, "boot": boot, "status": status})
}

// findRestorePoint is the newest of the name that is asked for, or nil.
func (t *twin) findRestorePoint() (*restorePoint, error) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if _, err := t.m.restorePoints(); err != nil {
		return nil, err
	}
	for i := len(t.m.restore.points) - 1; i >= 0; i-- {
		if p := t.m.restore.points[i]; p.description == t.text("name") {
			return p, nil
		}
	}
	return nil, nil
}

func (t *twin) takeRestorePoint() error {
	p, err := t.findRestorePoint()
	if err != nil || p != nil {
		return err
	}
	return t.callRestore("CreateRestorePoint", 0)
}

func (t *twin) revertToRestorePoint() error {
	p, err := t.findRestorePoint()
	switch {
	case err != nil:
		return err
	case p == nil:
		return &stop{"restore", "there is no restore point " + t.text("name"), ""}
	}
	if err := t.callRestore("Restore", p.sequence); err != nil {
		return err
	}
	_, err = t.restart(t.text("comment"))
	return err
}

func (t *twin) callRestore(method string, sequence int) error {
	code, err := t.m.restoreMethod(method, t.text("name"), sequence)
	if err == nil && code != 0 {
		err = &stop{"restore", fmt.Sprintf("%s ended with %s", method, hresult(code)), hresult(code)}
	}
	return err
}

// restorePossible refuses where Windows would make no restore point.
func (t *twin) restorePossible() error {
	m := t.m
	m.mu.Lock()
	defer m.mu.Unlock()
	policy, _ := m.valueLocked(keyRestorePolicy, "DisableSR").(int)
	interval, _ := m.valueLocked(keyRestore, "RPSessionInterval").(int)
	minutes, said := m.valueLocked(keyRestore, "SystemRestorePointCreationFrequency").(int)
	if !said {
		minutes = 1440
	}
	switch {
	case m.productType() != 1:
		return &stop{"unfit", "System Restore is in client editions of Windows only, and this is " + m.caption(), ""}
	case policy == 1:
		return &stop{"unfit", "a policy turns System Restore off (DisableSR)", ""}
	case interval == 0:
		return &stop{"unfit", `System Protection is off; Enable-ComputerRestore -Drive C:\ turns it on`, ""}
	}
	if n := len(m.restore.points); n > 0 && m.clock.Now().Unix()-m.restore.points[n-1].made.Unix() < int64(minutes)*int64(time.Minute/time.Second) {
		return &stop{"unfit", fmt.Sprintf("Windows makes no restore point within %d minutes of another one (SystemRestorePointCreationFrequency), and %s is younger", minutes, m.restore.points[n-1].description), ""}
	}
	return nil
}
