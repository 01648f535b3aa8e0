package winhost

// meaning is what an error code says to an administrator, and what to do about it.
type meaning struct{ words, next string }

const accessDenied = "0x80070005"

// What helps with many codes.
const (
	nextAgain   = "run again; it passes by itself as a rule"
	nextNetwork = "check the host's way to its update source: name resolution, WinHTTP proxy (netsh winhttp show proxy), firewall"
	nextServer  = "check the update server (WSUS: its IIS application pool and database), then run again"
	nextReboot  = "reboot the host, then run again"
	nextPolicy  = "a policy switches Windows Update off here: ask whoever keeps the group policies"
	nextStore   = "repair the component store on the host: DISM /Online /Cleanup-Image /RestoreHealth, then run again"
	nextDisk    = "free space on the system drive, then run again"
	nextExclude = "exclude it with OCTOPATCH_EXCLUDE_KBS, or install it by hand"
	nextLog     = "look at the host's CBS.log and at the log of Get-WindowsUpdateLog"
)

// hresults explains the codes that administrators meet. The numbers are Microsoft's (wuerror.h, winerror.h
// and "Windows Update error codes by component"); the words are ours.
var hresults = map[string]meaning{
	// Not errors.
	"0x00240005": {"installed, and a reboot completes it", "nothing: the reboot follows"},
	"0x00240006": {"is installed already", "nothing"},
	"0x00240008": {"is downloaded already", "nothing"},
	"0x80240017": {"does not apply to this host", "nothing, unless it is offered again: then " + nextExclude},
	"0x80240024": {"there was nothing to do", "nothing"},

	// Pass by themselves.
	"0x80240009": {"another installation was at work", nextAgain},
	"0x8024001B": {"the update agent was renewing itself", nextAgain},
	"0x8024001E": {"the update service was stopping", nextAgain},
	"0x8024001F": {"the host had no network connection", nextNetwork},
	"0x80240438": {"the update source could not be reached", nextNetwork},
	"0x80248007": {"the update agent's data store lacks something", "run again; if it stays, stop wuauserv and rename SoftwareDistribution on the host"},
	"0x8024401C": {"the update server did not answer in time (HTTP 408)", nextServer},
	"0x8024401F": {"the update server failed (HTTP 500)", nextServer},
	"0x80244020": {"the update server cannot do that (HTTP 501)", nextServer},
	"0x80244021": {"a gateway before the update server failed (HTTP 502)", nextServer},
	"0x80244022": {"the update server is overloaded (HTTP 503)", nextServer},
	"0x80244023": {"a gateway before the update server timed out (HTTP 504)", nextServer},
	"0x80244010": {"the update server asked for too many round trips", "run again: a first scan against WSUS needs several"},
	"0x8024402C": {"the name of the update server is not known", nextNetwork},
	"0x80072EE2": {"the update source did not answer in time", nextNetwork},
	"0x80072EE7": {"the name of the update source is not known", nextNetwork},
	"0x80072EFD": {"no connection to the update source", nextNetwork},
	"0x80072EFE": {"the connection to the update source broke", nextNetwork},
	"0x80D02002": {"a download made no progress (Delivery Optimization)", nextNetwork},

	// A reboot comes first.
	"0x80240016": {"Windows installs nothing before a reboot or while another installation runs", nextReboot},
	"0x80070BC9": {"Windows wants a reboot before it installs this", nextReboot},
	"0x8024A204": {"the installation did not finish", nextReboot},
	"0x8007045B": {"Windows was shutting down", "wait for the restart to end, then run again; look at who restarts this host"},

	// Somebody has to act.
	accessDenied: {"access denied", "check that SYSTEM may use Windows Update on this host and that no security product forbids it"},
	"0x8024002E": {"access to the managed update server is switched off", nextPolicy},
	"0x80240025": {"a policy forbids access to Windows Update", nextPolicy},
	"0x8024002F": {"a policy switches off this call", nextPolicy},
	"0x80070422": {"the Windows Update service is disabled", "set the service wuauserv to manual start"},
	"0x80240032": {"the search was not understood", "report it: this is an error of octopatch"},
	"0x80240044": {"only an administrator may do that", "check that the worker's task runs as SYSTEM"},
	"0x80070070": {"the disk is full", nextDisk},
	"0xC8000710": {"the disk is full", nextDisk},
	"0x80073712": {"the component store is damaged", nextStore},
	"0x800F081F": {"the component store lacks the source files", nextStore},
	"0x800F0831": {"the component store lacks an earlier update", nextStore},
	"0x800F0922": {"a system or recovery partition is too small, or .NET components could not be set up", "enlarge the recovery and the system reserved partition, see Microsoft KB5028997"},
	"0x80240020": {"needs somebody who is logged on", nextExclude},
	"0x80240019": {"must be installed alone", "report it: octopatch installs such updates alone"},
	"0x80240023": {"its licence terms were declined", nextExclude},
	"0x80240022": {"every update failed", nextLog},
	"0x8024000B": {"was cancelled", nextLog},
	"0x80070643": {"its installer failed", "look at the log of that installer; for KB5034439 and KB5034441 the recovery partition is too small"},
	"0x80070002": {"a file is missing", nextStore},
	"0x80070003": {"a folder is missing", nextStore},
	"0x80070490": {"the component store lacks an element", nextStore},
	"0x80242014": {"was installed and waits for a reboot", nextReboot},
	"0x80246007": {"was not downloaded", nextAgain},
	"0x80246008": {"the download service (BITS) does not work", "check the service BITS on the host"},
	"0x80240FFF": {"the agent failed for a reason of its own", nextLog},
	"0x8024FFFF": {"the agent failed for a reason of its own", nextLog},
	"0x800B0109": {"its signature is not trusted", "check the host's root certificates, and that WSUS signs with one that the host trusts"},
	"0x8024500C": {"the update source is not allowed", nextPolicy},
	"0x800706BA": {"a service did not answer (RPC)", nextAgain},

	// The scheduled task itself.
	"0x00041306": {"the worker's task was ended by somebody", "find out who ends tasks on this host"},
	"0x00041303": {"the worker's task did not run", `look at the history of the task \octopatch\worker`},
	"0x00041325": {"the worker's task is queued", "wait for the host to have room, or look at what it is busy with"},
	"0x00000103": {"the worker was cut off by a restart", "look at who restarts this host"},
	"0x40010004": {"the worker was cut off by a shutdown", "look at who restarts this host"},
	"0xC000013A": {"the worker was ended from outside", "look at security products and at who logs people off"},
}

// explain finds words for any code.
func explain(code string) meaning {
	if m, ok := hresults[code]; ok {
		return m
	}
	if code == "" {
		return meaning{"ended badly and gave no code", nextLog}
	}
	return meaning{"failed with a code that octopatch does not know", "look the code up in Microsoft's Windows Update error reference; " + nextLog}
}
