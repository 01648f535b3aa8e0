package winhost

import "github.com/octopatch/octopatch/internal/procedure"

// meaning is what an error code says to an administrator, what to do about it, and what helps by itself.
type meaning struct {
	words, next string
	helps       procedure.Helps
}

// Short names for the table below.
const (
	byTime    = procedure.HelpsTime
	byReboot  = procedure.HelpsReboot
	byRestart = procedure.HelpsRestart
	byNobody  = procedure.HelpsNobody
	notNeeded = procedure.HelpsNotNeeded
)

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
	"0x00240005": {"installed, and a reboot completes it", "nothing: the reboot follows", notNeeded},
	"0x00240006": {"is installed already", "nothing", notNeeded},
	"0x00240008": {"is downloaded already", "nothing", notNeeded},
	"0x80240017": {"does not apply to this host", "nothing, unless it is offered again: then " + nextExclude, notNeeded},
	"0x80240024": {"there was nothing to do", "nothing", notNeeded},

	// Pass by themselves.
	"0x80240009": {"another installation was at work", nextAgain, byTime},
	"0x8024001B": {"the update agent was renewing itself", nextAgain, byTime},
	"0x8024001E": {"the update service was stopping", nextAgain, byTime},
	"0x8024001F": {"the host had no network connection", nextNetwork, byTime},
	"0x80240438": {"the update source could not be reached", nextNetwork, byTime},
	"0x80248007": {"the update agent's data store lacks something", "run again; if it stays, stop wuauserv and rename SoftwareDistribution on the host", byTime},
	"0x8024401C": {"the update server did not answer in time (HTTP 408)", nextServer, byTime},
	"0x8024401F": {"the update server failed (HTTP 500)", nextServer, byTime},
	"0x80244020": {"the update server cannot do that (HTTP 501)", nextServer, byTime},
	"0x80244021": {"a gateway before the update server failed (HTTP 502)", nextServer, byTime},
	"0x80244022": {"the update server is overloaded (HTTP 503)", nextServer, byTime},
	"0x80244023": {"a gateway before the update server timed out (HTTP 504)", nextServer, byTime},
	"0x80244010": {"the update server asked for too many round trips", "run again: a first scan against WSUS needs several", byTime},
	"0x8024402C": {"the name of the update server is not known", nextNetwork, byTime},
	"0x80072EE2": {"the update source did not answer in time", nextNetwork, byTime},
	"0x80072EE7": {"the name of the update source is not known", nextNetwork, byTime},
	"0x80072EFD": {"no connection to the update source", nextNetwork, byTime},
	"0x80072EFE": {"the connection to the update source broke", nextNetwork, byTime},
	"0x80D02002": {"a download made no progress (Delivery Optimization)", nextNetwork, byTime},
	"0x8024200D": {"has to be downloaded once more", nextAgain, byTime},
	"0x800706BA": {"a service did not answer (RPC)", nextAgain, byTime},

	// A reboot comes first.
	"0x80240016": {"Windows installs nothing before a reboot or while another installation runs", nextReboot, byReboot},
	"0x80070BC9": {"Windows wants a reboot before it installs this", nextReboot, byReboot},
	"0x8024A204": {"the installation did not finish", nextReboot, byReboot},
	"0x80242014": {"was installed and waits for a reboot", nextReboot, byReboot},
	"0x8007045B": {"Windows was shutting down", "wait for the restart to end, then run again; look at who restarts this host", byRestart},

	// Somebody has to act.
	accessDenied: {"access denied", "check that SYSTEM may use Windows Update on this host and that no security product forbids it", byNobody},
	"0x8024002E": {"access to the managed update server is switched off", nextPolicy, byNobody},
	"0x80240025": {"a policy forbids access to Windows Update", nextPolicy, byNobody},
	"0x8024002F": {"a policy switches off this call", nextPolicy, byNobody},
	"0x80070422": {"the Windows Update service is disabled", "set the service wuauserv to manual start", byNobody},
	"0x80240032": {"the search was not understood", "report it: this is an error of octopatch", byNobody},
	"0x80240044": {"only an administrator may do that", "check that the worker's task runs as SYSTEM", byNobody},
	"0x80070070": {"the disk is full", nextDisk, byNobody},
	"0xC8000710": {"the disk is full", nextDisk, byNobody},
	"0x80073712": {"the component store is damaged", nextStore, byNobody},
	"0x800F081F": {"the component store lacks the source files", nextStore, byNobody},
	"0x800F0831": {"the component store lacks an earlier update", nextStore, byNobody},
	"0x800F0922": {"a system or recovery partition is too small, or .NET components could not be set up", "enlarge the recovery and the system reserved partition, see Microsoft KB5028997", byNobody},
	"0x80240020": {"needs somebody who is logged on", nextExclude, byNobody},
	"0x80240019": {"must be installed alone", "report it: octopatch installs such updates alone", byNobody},
	"0x80240007": {"the update is no longer on offer", nextAgain, byNobody},
	"0x80240028": {"cannot be uninstalled: only WSUS can allow that", "use wusa /uninstall or DISM /Remove-Package on the host", byNobody},
	"0x80240040": {"needs a part of Windows that Server Core does not have", nextExclude, byNobody},
	"0x80240043": {"needs the desktop, which Server Core does not have", nextExclude, byNobody},
	"0x80240023": {"its licence terms were declined", nextExclude, byNobody},
	"0x80240022": {"every update failed", nextLog, byNobody},
	"0x8024000B": {"was cancelled", nextLog, byNobody},
	"0x80070643": {"its installer failed", "look at the log of that installer; for KB5034439 and KB5034441 the recovery partition is too small", byNobody},
	"0x80070002": {"a file is missing", nextStore, byNobody},
	"0x80070003": {"a folder is missing", nextStore, byNobody},
	"0x80070490": {"the component store lacks an element", nextStore, byNobody},
	"0x80246007": {"was not downloaded", nextAgain, byNobody},
	"0x80246008": {"the download service (BITS) does not work", "check the service BITS on the host", byNobody},
	"0x80240FFF": {"the agent failed for a reason of its own", nextLog, byNobody},
	"0x8024FFFF": {"the agent failed for a reason of its own", nextLog, byNobody},
	"0x800B0109": {"its signature is not trusted", "check the host's root certificates, and that WSUS signs with one that the host trusts", byNobody},
	"0x80244017": {"the update server or a proxy asks for a login (HTTP 401)", nextNetwork, byNobody},
	"0x80244018": {"the update server or a proxy forbids it (HTTP 403)", nextNetwork, byNobody},
	"0x80244019": {"the update server does not have the file (HTTP 404)", nextServer, byNobody},
	"0x8024401B": {"a proxy asks for a login (HTTP 407)", "SYSTEM has no login for a proxy: let the host through, or point it to a WSUS", byNobody},
	"0x80072F8F": {"the update source's certificate is not valid here", "check the host's clock and its root certificates", byNobody},
	"0x80040154": {"the Windows Update Agent is not registered", nextStore, byNobody},
	"0x800F0823": {"needs a newer servicing stack", "install the servicing stack update of that Windows first", byNobody},
	"0x80248014": {"the update source is not set up on this host", "set OCTOPATCH_UPDATE_SOURCE=default, or have the host's administrator set that source up", byNobody},
	"0x80240042": {"the update source is not registered any more", "set OCTOPATCH_UPDATE_SOURCE=default, or have the host's administrator register that source again", byNobody},
	"0x8024500C": {"the update source is not allowed", nextPolicy, byNobody},

	// The scheduled task itself.
	"0x00000001": {"the worker ended with an error", "look at the host's antivirus and application control logs, and at the free space on the system drive", byNobody},
	"0x00041301": {"the worker's task still runs", "wait for it to end; octopatch status shows the host's state", byNobody},
	"0x80070065": {"the worker ended with 101", "look at who ends tasks on this host", byNobody},
	"0x80070520": {"a policy forbids to store the password of a task", "report it: octopatch's tasks run as SYSTEM and have none", byNobody},
	"0x80070569": {"the account may not log on as a batch job", "report it: octopatch's tasks run as SYSTEM", byNobody},
	"0x00041306": {"the worker's task was ended by somebody", "find out who ends tasks on this host", byNobody},
	"0x00041303": {"the worker's task did not run", `look at the history of the task \octopatch\worker`, byNobody},
	"0x00041325": {"the worker's task is queued", "wait for the host to have room, or look at what it is busy with", byNobody},
	"0x00000103": {"the worker was cut off by a restart", "look at who restarts this host", byNobody},
	"0x40010004": {"the worker was cut off by a shutdown", "look at who restarts this host", byNobody},
	"0xC000013A": {"the worker was ended from outside", "look at security products and at who logs people off", byNobody},
}

// explain finds words for any code.
func explain(code string) meaning {
	if m, ok := hresults[code]; ok {
		return m
	}
	if code == "" {
		return meaning{"ended badly and gave no code", nextLog, byNobody}
	}
	return meaning{"failed with a code that octopatch does not know", "look the code up in Microsoft's Windows Update error reference; " + nextLog, byNobody}
}
