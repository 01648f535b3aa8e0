package machine

import "github.com/octopatch/octopatch/internal/rehearsal/fault"

// Faults lists what can be broken on a host.
func Faults() []fault.Fault {
	return []fault.Fault{
		{Name: "host-unreachable", Help: "The host accepts connections and never answers a command."},
		{Name: "black-hole", Help: "The host stops answering from its second command on."},
		{Name: "connection-reset", Help: "The first three commands are cut off before anything is done."},
		{Name: "lost-record", Help: "The first write of the journal is done, and its answer is lost."},
		{Name: "lost-stop", Help: "The services are stopped, and the answer is lost."},
		{Name: "lost-work", Help: "The worker is started, and the answer is lost."},
		{Name: "lost-reboot", Help: "The reboot is asked for, and the answer is lost."},
		{Name: "lost-start", Help: "The services are started, and the answer is lost."},
		{Name: "lost-clear", Help: "The folder is removed, and the answer is lost."},
		{Name: "unapplied-record", Help: "The first write of the journal is cut off before it is done."},
		{Name: "unapplied-stop", Help: "The first stop is cut off before it is done."},
		{Name: "unapplied-work", Help: "The first start of the worker is cut off before it is done."},
		{Name: "unapplied-reboot", Help: "The first reboot request is cut off before it is done."},
		{Name: "unapplied-start", Help: "The first start is cut off before it is done."},
		{Name: "unapplied-clear", Help: "The first removal of the folder is cut off before it is done."},
		{Name: "constrained-language", Help: "PowerShell on the host is in constrained language mode."},
		{Name: "foreign-folder", Help: "Our folder exists on the host and belongs to somebody else."},
		{Name: "wrong-machine", Help: "The address of the node leads to another machine."},
		{Name: "second-instance", Help: "The host runs a second Octopus Server instance."},
		{Name: "no-updates", Help: "There is nothing to install."},
		{Name: "update-fails", Help: "One update fails with 0x80070643 each time."},
		{Name: "update-loops", Help: "One update is reported as installed and offered again."},
		{Name: "search-fails", Help: "Windows Update cannot resolve its server's name, for ever."},
		{Name: "install-slow", Help: "Downloads and installations take four times as long."},
		{Name: "install-stuck", Help: "An installation never ends and shows no progress."},
		{Name: "disk-full", Help: "Downloads fail with 0x80070070."},
		{Name: "installer-busy", Help: "Another installation is at work for three minutes."},
		{Name: "reboot-pending-before", Help: "A reboot is pending before the run."},
		{Name: "reboot-hangs", Help: "The host never comes back from its reboot."},
		{Name: "reboot-slow", Help: "A reboot takes 25 minutes."},
		{Name: "second-reboot", Help: "The host reboots again by itself a minute after coming back."},
		{Name: "shutdown-scheduled", Help: "Somebody else's shutdown is scheduled already (1190)."},
		{Name: "service-stuck-stopping", Help: "The Octopus service stays in Stop Pending."},
		{Name: "service-wont-start", Help: "The Octopus service does not start after the reboot."},
		{Name: "watchdog-bites", Help: "A second watchdog, under another name, starts the service every minute."},
		{Name: "ping-dead", Help: "The node does not answer at its own listen prefix."},
	}
}
