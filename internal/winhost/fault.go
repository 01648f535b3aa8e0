package winhost

import "github.com/octopatch/octopatch/internal/procedure"

// kinds says what an error of a script means to the run, by the kind that the script gave it.
var kinds = map[string]struct {
	kind    error
	problem string
	remedy  string
}{
	"language": {procedure.ErrRefused, "PowerShell runs in a restricted language mode, in which Windows Update cannot be driven",
		"exempt the account or the scripts (octopatch's README lists their hashes) from application control"},
	"folder": {procedure.ErrRefused, "our folder on the host cannot be trusted",
		"find out who made it, then delete it; octopatch makes it anew for SYSTEM and Administrators only"},
	"journal": {procedure.ErrRefused, "the journal on the host does not allow it",
		"run octopatch status to see whose run it is and where it stands; a file that cannot be read has to be looked at and removed by hand, once the node is seen to be as it should"},
	"newer": {procedure.ErrRefused, "a newer version of octopatch has an unfinished run on the host",
		"go on with that version or a newer one"},
	"lease":      {procedure.ErrTaken, "another process works on this host", "octopatch status shows whose run it is; this process changes nothing more there"},
	"busy":       {nil, "the host is still at work", "wait for it to end; octopatch status shows the host's state"},
	"service":    {nil, "a service is not as it should be", "look at the Windows event log System and at Octopus' own server log"},
	"task":       {nil, "the worker's scheduled task does not start", `look at the history of the task \octopatch\worker in the Task Scheduler`},
	"reboot":     {nil, "Windows refuses to restart", "the account needs the right to shut down the system from a remote computer"},
	"unfit":      {procedure.ErrRefused, "the precaution cannot be taken there", "put that right, or choose another OCTOPATCH_PRECAUTION"},
	"machine":    {procedure.ErrRefused, "it is not the virtual machine of the node", "correct OCTOPATCH_HYPERV_HOST or OCTOPATCH_HYPERV_VMS"},
	"rights":     {procedure.ErrDenied, "the account may not manage Hyper-V", "add it to the group Hyper-V Administrators of the Hyper-V host, or name another in OCTOPATCH_HYPERV_USERNAME"},
	"checkpoint": {nil, "Hyper-V failed", "look at the event logs Hyper-V-VMMS and Hyper-V-Worker of the Hyper-V host"},
	"restore":    {nil, "System Restore has failed", "look at the host's event log Application"},
	"octopus":    {nil, "Octopus.Server.exe failed", "run the same command on the host by hand to see its words"},
}

// fault turns a script's error line into what an operator reads.
func (h *Host) fault(script string, e scriptError) error {
	f := &procedure.Fault{Subject: h.name, Problem: e.Message}
	known, ok := kinds[e.Kind]
	if ok {
		f.Kind, f.Remedy = known.kind, known.remedy
		f.Problem = known.problem + ": " + e.Message
	} else {
		// Something that the script did not foresee: how far it came is unknown.
		f.Kind, f.Problem = procedure.ErrUnreadable, "the script "+script+" failed: "+e.Message
		f.Remedy = "run octopatch preflight, and look at the host"
	}
	if e.Code != "" {
		f.Problem += " (" + e.Code + ")"
		if m, ok := hresults[e.Code]; ok {
			f.Problem += ", " + m.words
			if e.Kind != "reboot" { // there the right is missing, whatever the code says elsewhere
				f.Remedy = m.next
			}
		}
		if e.Code == accessDenied && !ok {
			f.Kind = procedure.ErrDenied
			f.Remedy = "the account must be a local administrator of the host, with an unfiltered token (LocalAccountTokenFilterPolicy)"
		}
	}
	return f
}
