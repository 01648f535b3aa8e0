package windows

import (
	"fmt"
	"os"
	"strings"
)

const (
	deadmanFile = "deadman.json"
	deadmanName = "deadman"
)

// setDeadman arms or disarms the dead-man switch.
func (t *twin) setDeadman() error {
	order := objectOf(t.request, "deadman")
	switch {
	case order == nil:
		return nil
	case flagOf(order, "off"):
		return t.disableDeadman()
	}
	if err := t.write("deadman.ps1", textOf(order, "script")); err != nil {
		return err
	}
	if err := t.writeJSON(deadmanFile, object{"after": order["after"], "until": order["until"], "armed": t.m.clock.Now().Unix()}); err != nil {
		return err
	}
	return t.registerTask(deadmanName, "<TimeTrigger><Repetition><Interval>PT5M</Interval></Repetition><Enabled>true</Enabled></TimeTrigger>")
}

func (t *twin) disableDeadman() error {
	if err := t.removeTask(deadmanName); err != nil {
		return err
	}
	for _, name := range []string{deadmanFile, "deadman.ps1"} {
		if err := os.Remove(t.file(name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// repairClock counts from now on where the clock was set back: what was noted before is still to come by it.
func (t *twin) repairClock(armed, lease object) error {
	now := float64(t.m.clock.Now().Unix())
	latest := max(numberOf(armed, "armed"), numberOf(lease, "renewed"))
	if latest-now <= clockSlack || numberOf(armed, "ahead") == latest {
		return nil
	}
	if until := numberOf(armed, "until"); until > 0 {
		armed["until"] = until - (latest - now)
	}
	armed["ahead"], armed["since"] = latest, now
	return t.writeJSON(deadmanFile, armed)
}

// whyFire says why the switch fires, or nothing. The time counts from the last renewal or from boot.
func (t *twin) whyFire(armed, lease object) string {
	now := float64(t.m.clock.Now().Unix())
	if until := numberOf(armed, "until"); until > 0 {
		if now < until || lease != nil && t.live(lease) {
			return ""
		}
		return "a phase was run alone, and no other had followed by the hour that was set"
	}
	t.m.mu.Lock()
	boot := float64(t.m.bootTime.Unix())
	t.m.mu.Unlock()
	since := numberOf(armed, "since")
	for _, sign := range []float64{boot, numberOf(lease, "renewed")} {
		if sign > since && sign <= now+clockSlack {
			since = sign
		}
	}
	if now-since < numberOf(armed, "after") {
		return ""
	}
	return fmt.Sprintf("nothing was heard of the run for %d min", int(now-since)/60)
}

func twinDeadman(t *twin) error {
	state, err := t.folderState()
	armed := t.readWork(deadmanFile)
	if err != nil || state != "ours" || armed == nil || t.workerRuns() || t.m.installing() != "" {
		return err
	}
	journal, reason, err := t.fence(armed)
	if err != nil || reason == "" {
		return err
	}
	prior := objectOf(journal, "host")
	t.request = object{"limit": 300.0}
	faults, err := t.restore(prior)
	if err != nil {
		return err
	}
	return t.tellFired(reason, faults)
}

// tellFired writes what was done, unless a run has taken the lease meanwhile: services start slowly.
func (t *twin) tellFired(reason string, faults []string) error {
	unlock, err := t.openLock()
	if err != nil {
		return err
	}
	defer unlock()
	lease, err := t.readLease()
	if err != nil || lease != nil && textOf(lease, "nonce") != deadmanName {
		return err
	}
	journal, err := t.readJournal()
	prior := objectOf(journal, "host")
	if err != nil || prior == nil {
		return err
	}
	now := t.m.clock.Now().Unix()
	prior["restored"], journal["counter"], journal["updated"] = len(faults) == 0, numberOf(journal, "counter")+1, now
	journal["deadman"] = object{"at": now, "why": reason, "faults": strings.Join(faults, "; ")}
	if err := t.writeJSON(journalFile, journal); err != nil {
		return err
	}
	if len(faults) > 0 {
		return nil
	}
	return t.disableDeadman()
}

// fence decides, and takes the lease away from a runner that comes back late. Without a reason nothing is to be done.
func (t *twin) fence(armed object) (journal object, reason string, err error) {
	unlock, err := t.openLock()
	if err != nil {
		return nil, "", err
	}
	defer unlock()
	lease, err := t.readLease()
	if err != nil {
		return nil, "", err
	}
	if err := t.repairClock(armed, lease); err != nil {
		return nil, "", err
	}
	if reason = t.whyFire(armed, lease); reason == "" {
		return nil, "", nil
	}
	if journal, err = t.readJournal(); err != nil {
		return nil, "", err
	}
	if prior := objectOf(journal, "host"); prior == nil || flagOf(prior, "restored") {
		return nil, "", nil
	}
	if lease != nil {
		lease["nonce"] = deadmanName
		err = t.writeJSON(leaseFile, lease)
	}
	return journal, reason, err
}
