package windows

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal/fault"
)

// Faults lists what can be broken on a simulated machine.
func Faults() []fault.Fault {
	list := []fault.Fault{
		{Name: "host-unreachable", Help: "The host never answers a command."},
		{Name: "black-hole", Help: "The host accepts commands and never answers, from the third one on."},
		{Name: "connection-reset", Help: "The first three commands are cut off before anything is done."},
		{Name: "client-edition", Help: "The host has a client edition of Windows, with System Restore."},
		{Name: "image-fails", Help: "A disk image fails half way."},
		{Name: "image-warns", Help: "A disk image is complete with warnings."},
		{Name: "constrained-language", Help: "PowerShell on the host runs in constrained language mode."},
		{Name: "foreign-folder", Help: "Somebody else owns the folder of the run on the host."},
		{Name: "wrong-machine", Help: "The address leads to another computer with another Octopus node."},
		{Name: "runner-is-host", Help: "The host is the very machine that the client runs on."},
		{Name: "auto-reboot-policy", Help: "A policy lets Windows install updates and restart by itself."},
		{Name: "rival-agent", Help: "Configuration Manager runs on the host."},
		{Name: "clock-skew", Help: "The host's clock is seven minutes slow."},
		{Name: "low-disk", Help: "Six GB are free on the system drive."},
		{Name: "second-instance", Help: "Another Octopus Server instance runs on the host."},
		{Name: "update-fails", Help: "One update fails with 0x80070643 each time."},
		{Name: "update-loops", Help: "One update is reported as installed and offered again each time."},
		{Name: "search-fails", Help: "Every search for updates fails with 0x8024402C."},
		{Name: "install-slow", Help: "Downloads and installations take four times as long."},
		{Name: "download-slow", Help: "The first download takes 50 minutes, without a word of the worker meanwhile."},
		{Name: "install-stuck", Help: "The first installation never ends and shows no progress."},
		{Name: "disk-full", Help: "The system drive is full."},
		{Name: "installer-busy", Help: "Another installation is in the way for three minutes (0x80240009)."},
		{Name: "search-warns", Help: "Every search succeeds with a warning."},
		{Name: "wsus-busy", Help: "The update server is overloaded for the first two searches (0x80244022)."},
		{Name: "wsus-down", Help: "A policy names an update server that does not answer (0x8024401C)."},
		{Name: "com-broken", Help: "Windows hands out one update without its title and categories."},
		{Name: "odd-updates", Help: "Windows Update also offers updates that are exclusive, hidden, twice there, unclassified, for other products, or that ask a user."},
		{Name: "disk-fills", Help: "The system drive fills up during the downloads (0x80070070)."},
		{Name: "install-wants-reboot", Help: "One update wants a reboot before it installs (0x80070BC9)."},
		{Name: "restart-while-installing", Help: "Somebody restarts the host during the first installation."},
		{Name: "no-updates", Help: "Windows Update offers nothing."},
		{Name: "reboot-pending-before", Help: "A reboot is pending before anything begins."},
		{Name: "reboot-hangs", Help: "The host never comes back from a reboot."},
		{Name: "reboot-slow", Help: "A reboot takes 25 minutes."},
		{Name: "second-reboot", Help: "A minute after its first reboot the host reboots once more by itself."},
		{Name: "shutdown-scheduled", Help: "A shutdown is scheduled already (1190)."},
		{Name: "shutdown-in-progress", Help: "A restart is under way when ours is asked for (1115)."},
		{Name: "shutdown-service-gone", Help: "A restart is so far under way that shutdown.exe finds nobody (1717)."},
		{Name: "reboot-denied", Help: "The account may not restart the host (5)."},
		{Name: "login-late", Help: "After its first reboot the host refuses every login for three minutes."},
		{Name: "login-never", Help: "After its reboot the host refuses every login."},
		{Name: "servicing-hangs", Help: "After its reboot Windows never ends configuring its updates."},
		{Name: "service-stuck-stopping", Help: "The Octopus service never gets from stopping to stopped."},
		{Name: "service-wont-start", Help: "The Octopus service does not start after the reboot, until the host is reverted."},
		{Name: "watchdog-bites", Help: "A scheduled task of another name starts the stopped service once."},
		{Name: "hyperv-denied", Help: "The account may not manage Hyper-V."},
		{Name: "checkpoint-fails", Help: "Windows in the virtual machine cannot be brought to rest for a production checkpoint."},
		{Name: "ping-dead", Help: "The node's own listen prefix never answers."},
	}
	for _, script := range writes {
		list = append(list,
			fault.Fault{Name: "lost-" + script, Help: "The first " + script + " on the host is applied and its reply is lost."},
			fault.Fault{Name: "unapplied-" + script, Help: "The first " + script + " is cut off before the host has done anything."})
	}
	for _, write := range checkpointWrites {
		words := strings.Replace(write, "-", " ", 1)
		list = append(list,
			fault.Fault{Name: "lost-" + write, Help: "The first " + words + " on the Hyper-V host is applied and its reply is lost."},
			fault.Fault{Name: "unapplied-" + write, Help: "The first " + words + " is cut off before the Hyper-V host has done anything."})
	}
	return list
}

// checkpointWrites are what changes a virtual machine, on its Hyper-V host.
var checkpointWrites = []string{"checkpoint-take", "checkpoint-revert", "checkpoint-remove"}

// writes are the scripts that change a host.
var writes = []string{"stop", "start", "reboot", "record", "work", "clear"}

// Fate is what a test can do to a script.
type Fate int

// The fates of a script.
const (
	Unapplied Fate = iota + 1 // cut off before anything is done
	Lost                      // applied, and the reply is lost
	Failed                    // answered with an error, nothing done
)

type injection struct {
	script string
	nth    int
	fate   Fate
}

// Inject gives the nth start (from 1, counted from the machine's beginning) of a script its fate.
func (m *Machine) Inject(script string, nth int, fate Fate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.injected = append(m.injected, injection{script, nth, fate})
}

// fate counts a start of the script and says what becomes of it; 0: nothing unusual.
func (m *Machine) fate(script string) Fate {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.started[script]++
	for _, i := range m.injected {
		if i.script == script && i.nth == m.started[script] {
			return i.fate
		}
	}
	switch {
	case m.take("unapplied-"+script, 1):
		return Unapplied
	case m.take("lost-"+script, 1):
		return Lost
	}
	return 0
}

// applyFaults sets up the faults that are there from the beginning.
func (m *Machine) applyFaults() {
	if m.has("foreign-folder") {
		_ = m.makeDirectory(m.ours(), "O:S-1-5-21-1004336348-1177238915-682003330-1001G:DUD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1301bf;;;BU)")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.has("no-updates") {
		for _, u := range m.updates {
			u.installed = true
		}
	}
	if m.has("reboot-pending-before") {
		m.wantReboot()
		m.setValue(keyCBS+`\Interface`, "ServicingInProgress", 1)
		m.agent.blocked = true
	}
	if m.has("shutdown-scheduled") {
		m.schedule(12 * time.Hour)
	}
}

// skew is how far the machine's clock is ahead.
func (m *Machine) skew() time.Duration {
	if m.has("clock-skew") {
		return -7 * time.Minute
	}
	return 0
}

// ours is the folder that the client keeps on a host.
func (m *Machine) ours() string { return filepath.Join(m.folder, "octopatch") }

// freeBytes is the free space on the system drive.
func (m *Machine) freeBytes() int64 {
	switch {
	case m.has("disk-full"):
		return 180 << 20
	case m.has("low-disk"):
		return 6 << 30
	}
	return 61 << 30
}
