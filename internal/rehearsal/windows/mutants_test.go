package windows

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// mutant is a fault that somebody could make in a script. The state and the column are where it shows.
type mutant struct {
	name, script, from, to string
	state, column          string
}

// mutants are faults of every kind that a review might miss: a comparison turned round, a missing
// -ErrorAction, a wrong property, a code left out.
func mutants() []mutant {
	return []mutant{
		{"the owner of the folder: -cnotcontains becomes -ccontains", "probe", "$trusted -cnotcontains $owner", "$trusted -ccontains $owner", "foreign folder", "probe"},
		{"an access entry: -or becomes -and", "record", "$field[0] -cne 'A' -or ", "$field[0] -cne 'A' -and ", "wider access list", "record"},
		{"inherited access is not looked for", "record", "'^(?:AI|AR)*P'", "'^(?:AI|AR)*'", "inherited access list", "record"},
		{"reparse points are not looked for", "probe", "[IO.FileAttributes]::ReparsePoint", "[IO.FileAttributes]::Offline", "reparse point", "probe"},
		{"the journal's run: -cne becomes -ceq", "record", "[string]$Journal.run -cne", "[string]$Journal.run -ceq", "journal of another run", "record"},
		{"the journal's counter: -lt becomes -gt", "record", "[int64]$Change.counter -lt", "[int64]$Change.counter -gt", "journal further on", "record"},
		{"a newer journal is taken for ours", "record", "if ($journal.format -ne 1)", "if ($journal.format -eq 1)", "journal newer", "record"},
		{"a live lease: -lt becomes -gt", "record", "-lt 3 * [int64]$Lease.every", "-gt 3 * [int64]$Lease.every", "lease of another", "record"},
		{"a lease that was taken over: -cne becomes -ceq", "record", "[string]$lease.nonce -cne [string]$Mine.nonce", "[string]$lease.nonce -ceq [string]$Mine.nonce", "lease taken over", "record"},
		{"a lease of another clock lives for ever", "record", "$age -ge -300 -and ", "", "lease of another clock", "record"},
		{"the copy of another node is written over: -cne becomes -ceq", "copy", "'node' '') -cne", "'node' '') -ceq", "copy of another node", "copy"},
		{"a copy goes with the folder", "clear", "@('lock', 'copy.json')", "@('lock')", "copy of that node", "clear"},
		{"the switch waits for another clock", "deadman", "Set-Property $armed 'since' $now", "Set-Property $armed 'since' $latest", "switch of another clock", "deadman"},
		{"the switch fires too early: -lt becomes -gt", "deadman", "-lt [int64]$armed.after", "-gt [int64]$armed.after", "switch armed", "deadman"},
		{"the switch never fires: the hour", "deadman", "$now -lt [int64]$armed.until", "$now -gt [int64]$armed.until", "switch set for an hour", "deadman"},
		{"the delayed start: a wrong property", "probe", "'DelayedAutoStart'", "'DelayedStart'", "healthy", "probe"},
		{"the delayed start is forgotten", "start", "start= delayed-auto | Out-Null", "start= auto | Out-Null", "held by this run", "start"},
		{"watchdogs: -not is missing", "start", "if (-not $watchdog.enabled)", "if ($watchdog.enabled)", "held by this run", "start"},
		{"a service that is gone keeps the others down", "deadman", "else { $faults += 'service {0} is gone' -f $service.name }", "else { Stop-WithError -Kind 'service' -Message 'gone' }", "switch overdue, dependent gone", "deadman"},
		{"what Windows Installer left behind counts as work", "deadman", "@(Get-Process -Name 'msiexec' -ErrorAction SilentlyContinue).Count", "$true", "switch overdue, Windows Installer was cut off", "deadman"},
		{"what ran before: -notin becomes -in", "start", "[string]$was.state -notin", "[string]$was.state -in", "held by this run", "start"},
		{"watchdogs are not held: -ne becomes -eq", "stop", "-ne 'Disabled') { Disable-ScheduledTask", "-eq 'Disabled') { Disable-ScheduledTask", "healthy", "stop"},
		{"start types are not held: -eq becomes -ne", "stop", "StartMode -eq 'Auto') { Set-StartType", "StartMode -ne 'Auto') { Set-StartType", "healthy", "stop"},
		{"a service that fell over is not started again", "stop", "if ($ran)", "if ($false)", "fallen over since it was restored", "stop"},
		{"a service that fell over while tasks were awaited is not started again", "stop", "@($Request.ran) -contains $one", "$false", "service stopped", "stop"},
		{"a dependent that fell over is forgotten", "stop", "$dependents += @(Get-Lost $before $name $dependents $All)", "", "fallen over since it was restored", "stop"},
		{"a revert is measured by what it takes back", "stop", "'state') -eq 'taken'", "'state') -ne 'taken'", "restored by this run", "stop"},
		{"a pending reboot: a wrong key", "probe", `$ComponentServicing\RebootPending`, `$ComponentServicing\RebootRequired`, "reboot pending", "probe"},
		{"a computer rename: -ne becomes -eq", "probe", "$active -ne $wanted", "$active -eq $wanted", "reboot pending softly", "probe"},
		{"servicing at work counts as idle", "ready", "-notin 0, 1)", "-notin 0, 1, 2)", "servicing at work", "ready"},
		{"somebody's shutdown: 1190 is not known", "reboot", "$code -eq 1190", "$code -eq 1191", "shutdown scheduled", "reboot"},
		{"a shutdown in progress: 1115 is not known", "reboot", "$code -in 1115, 1717", "$code -in 1717", "shutdown in progress", "reboot"},
		{"-ErrorAction is missing", "follow", " -ErrorAction SilentlyContinue", "", "worker done", "follow"},
		{"an installation is cut short", "clear", "'mode' 'install') -eq 'install'", "'mode' 'install') -eq 'none'", "worker installing", "clear"},
		{"a queued worker does not count: 2, 4 becomes 4", "clear", "$TaskRuns = 2, 4", "$TaskRuns = 4, 4", "worker queued", "clear"},
		{"somebody's journal is cleared: -cne becomes -ceq", "clear", "[string]$journal.run -cne", "[string]$journal.run -ceq", "journal of another run", "clear"},
		{"the number of instances: -ne becomes -eq", "undrain", "$service.Count -ne 1", "$service.Count -eq 1", "healthy", "undrain"},
		{"the worker runs as NETWORK SERVICE", "work", "<UserId>S-1-5-18</UserId>", "<UserId>S-1-5-20</UserId>", "healthy", "work"},
		{"drivers: 2 becomes 1", "worker", "'Type' 1) -eq 2", "'Type' 1) -eq 1", "healthy", "worker"},
		{"user input: a wrong property", "worker", "'CanRequestUserInput'", "'CanRequestInput'", "user input", "worker"},
		{"an update without InstallationBehavior counts as broken", "worker", "'Identity', 'Title', 'Categories'", "'Identity', 'Title', 'Categories', 'InstallationBehavior'", "no InstallationBehavior", "worker"},
		{"classifications: -notcontains becomes -contains", "worker", "-notcontains $Facts.classification", "-contains $Facts.classification", "healthy", "worker"},
		{"what could not be downloaded is installed", "worker", "if ($outcome.succeeded) { $ready += $one }", "$ready += $one", "disk fills", "worker"},
		{"nothing is downloaded before it is installed", "worker", "$agent.Download()", "$agent.Updates", "healthy", "worker"},
		{"too little room: -lt becomes -gt", "worker", "$work.free -lt $work.need", "$work.free -gt $work.need", "disk low", "worker"},
		{"hidden updates: a wrong property", "worker", "'IsHidden'", "'Hidden'", "hidden update", "worker"},
		{"feature upgrades: -eq becomes -ne", "worker", "-eq $FeatureUpgrades", "-ne $FeatureUpgrades", "feature upgrade", "worker"},
		{"the reboot that an update wants: a wrong property", "worker", "$result.RebootRequired", "$result.Reboot", "healthy", "worker"},
		{"an update that waits for a reboot is installed again", "worker", "if ([bool](Read-Property $Update 'RebootRequired' $false))", "if ($false)", "exclusive with reboot", "worker"},
		{"the boot before counts as the boot after: -eq becomes -ne", "ready", "$Boot -eq $Request.bootBefore", "$Boot -ne $Request.bootBefore", "healthy", "ready"},
		{"a pending reboot of Windows Update: a wrong key", "probe", `Auto Update\RebootRequired`, `Auto Update\RebootPending`, "reboot pending", "probe"},
		{"the licence is not accepted", "worker", "$Update.AcceptEula()", "$null = $Update", "healthy", "worker"},
		{"what is searched: 0 becomes 1", "worker", "IsInstalled=0", "IsInstalled=1", "healthy", "worker"},
		{"a reboot first: a wrong property", "worker", "'RebootRequiredBeforeInstallation'", "'RebootRequiredBefore'", "reboot pending", "worker"},
		{"the code of a failure: -ne becomes -eq", "worker", "$result.HResult -ne 0", "$result.HResult -eq 0", "update fails", "worker"},
		{"an error that passes is not known", "worker", "'0x8024402C', ", "", "search fails", "worker"},
		{"a server counts as a client: -ne becomes -eq", "restore", "ProductType -ne 1", "ProductType -eq 1", "Windows Server", "restore check"},
		{"a young restore point is not seen: -lt becomes -gt", "restore", "-lt 60 * [int64]$minutes", "-gt 60 * [int64]$minutes", "another one is too young", "restore check"},
		{"the name of a restore point: -ceq becomes -eq", "restore", "-ceq [string]$Request.name", "-eq [string]$Request.name", "name in other letters", "restore find"},
		{"a refusal of System Restore is not seen", "restore", "if ($code -ne 0) { Stop-WithError -Kind 'restore'", "if ($code -lt 0) { Stop-WithError -Kind 'restore'", "protection off", "restore take"},
		{"a backup at work is not seen: a wrong word", "imager", "-eq 'Running'", "-eq 'Runs'", "backup at work", "imager check"},
		{"the room at the target: -lt becomes -gt", "imager", "$free -lt $need", "$free -gt $need", "too little room", "imager check"},
		{"half an image counts: -ne becomes -eq", "imager", "-ne 'complete'", "-eq 'complete'", "image begun", "imager find"},
		{"a vanished version counts: -gt becomes -ge", "imager", "-eq $work.versionId }).Count -gt 0", "-eq $work.versionId }).Count -ge 0", "version vanished", "imager find"},
		{"an image of files counts: a wrong word", "imager", "'BareMetalRecovery'", "'Files'", "version of files only", "imager find"},
		{"somebody's folder is removed: -ne becomes -eq", "imager", "-ne $env:COMPUTERNAME) { return $null }", "-eq '') { return $null }", "image of another computer", "imager remove"},
		{"what fails is left at the target", "imager", "        Remove-Folder\n        throw", "        throw", "image fails", "imager take"},
		{"an exclusive update: 2 becomes 1", "worker", "'Impact' 0) -eq 2", "'Impact' 0) -eq 1", "exclusive update", "worker"},
		{"a checkpoint with the memory would do", "hyperv", "-CheckpointType ProductionOnly", "-CheckpointType Production", "not at rest", "hyperv take"},
		{"the type is not put back", "hyperv", "-CheckpointType $Matches['type']", "-CheckpointType ProductionOnly", "standard checkpoints", "hyperv take"},
		{"the guest's name: -ne becomes -eq", "hyperv", "$short -ne [string]$Request.computer", "$short -eq [string]$Request.computer", "another computer in it", "hyperv revert"},
		{"a name that begins like ours", "hyperv", ".StartsWith($name + ', expires ')", ".StartsWith($name)", "checkpoints of others", "hyperv remove"},
		{"a name with wildcards", "hyperv", "[string]$_.Name -eq [string]$Request.vm", "[string]$_.Name -like [string]$Request.vm", "wildcards in the name", "hyperv take"},
		{"it is reverted twice", "hyperv", "if ($before -eq $after) { ", "if ($true) { ", "reverted already", "hyperv revert"},
		{"it is left off", "hyperv", "-ne 'Running') { Start-VM", "-eq 'Running') { Start-VM", "checkpoint there", "hyperv revert"},
		{"Hyper-V's work is not awaited", "hyperv", "if (-not $work.Count) { return }", "return", "merging", "hyperv take"},
	}
}

// mutate is the script's text with the fault in it.
func (m mutant) mutate(t *testing.T) string {
	t.Helper()
	text := scripts.Text(m.script)
	if !strings.Contains(text, m.from) {
		t.Fatalf("%s.ps1 holds no %q any more: the mutant is to follow the script", m.script, m.from)
	}
	return strings.ReplaceAll(text, m.from, m.to)
}

// place finds the state and the column of a mutant in the suites.
func (m mutant) place() (state, cell, bool) {
	for _, part := range suites() {
		for _, s := range part.states {
			for _, c := range part.cells(s) {
				if s.name == m.state && c.name == m.column {
					return s, c, true
				}
			}
		}
	}
	return state{}, cell{}, false
}

// TestMutantsAreOfTheScripts needs no PowerShell: each fault on the list can still be made, and has its place.
func TestMutantsAreOfTheScripts(t *testing.T) {
	t.Parallel()
	for _, m := range mutants() {
		if _, _, ok := m.place(); !ok {
			t.Errorf("%s: there is no state %q or no column %q", m.name, m.state, m.column)
		}
		if m.mutate(t) == scripts.Text(m.script) {
			t.Errorf("%s: nothing is changed", m.name)
		}
	}
}

// TestPowerShellMutants: the conformance suite turns red for every fault on the list.
func TestPowerShellMutants(t *testing.T) {
	needPowerShell(t)
	var mu sync.Mutex
	marks := map[string]string{}
	t.Run("all", func(t *testing.T) {
		for i, m := range mutants() {
			t.Run(fmt.Sprintf("%02d", i+1), func(t *testing.T) {
				t.Parallel()
				s, c, _ := m.place()
				text := m.mutate(t)
				if m.script == "worker" || m.script == "imager" { // tasks run them
					c = withWorker(c, text)
					text = scripts.Text(c.script)
				}
				mark := "caught"
				if compare(t, s, c, text, warmShell, 1) == "" {
					mark = "SURVIVES"
					t.Errorf("%s.ps1, %s: nobody notices", m.script, m.name)
				}
				mu.Lock()
				defer mu.Unlock()
				marks[m.name] = mark
			})
		}
	})
	var b strings.Builder
	for _, m := range mutants() {
		fmt.Fprintf(&b, "\n| %-8s | %-7s | %-52s | %s, %s |", marks[m.name], m.script, m.name, m.state, m.column)
	}
	t.Log(b.String())
}

// withWorker asks for the same with another worker.
func withWorker(c cell, text string) cell {
	request := map[string]any{}
	for k, v := range c.request {
		request[k] = v
	}
	request["worker"] = text
	return cell{c.name, step{c.script, request}}
}
