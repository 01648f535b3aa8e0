package windows

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
)

// command runs a line of cmd.exe on the machine.
func command(t *testing.T, m *Machine, line string) (string, int) {
	t.Helper()
	var out, errs bytes.Buffer
	exit, err := m.Run(t.Context(), wsman.Command{Line: line, Stdout: &out, Stderr: &errs})
	if err != nil {
		t.Fatal(err)
	}
	return out.String() + errs.String(), exit
}

// TestSchtasks: schtasks.exe shows and changes the tasks that everybody else sees.
func TestSchtasks(t *testing.T) {
	t.Parallel()
	m := newMachine(t, state{}, 100, nil)
	withTask(taskReady, taskNeverRan, nil)(t, m)
	var names []string
	for _, one := range m.allTasks().([]any) {
		names = append(names, one.(map[string]any)["path"].(string)+one.(map[string]any)["name"].(string))
	}
	out, exit := command(t, m, "schtasks.exe /Query /FO CSV /NH")
	var shown []string
	for line := range strings.Lines(out) {
		shown = append(shown, strings.Trim(strings.Split(line, ",")[0], `"`))
	}
	slices.Sort(names)
	slices.Sort(shown)
	if diff := cmp.Diff(names, shown); diff != "" || exit != 0 {
		t.Errorf("%d, (-the scheduler, +schtasks.exe):\n%s", exit, diff)
	}
	for _, c := range []struct {
		line string
		exit int
		says string
	}{
		{`schtasks /query /tn \octopatch\worker`, 0, "worker "},
		{`schtasks.exe /query /tn octopatch\worker /fo list`, 0, `TaskName:      \octopatch\worker`},
		{`schtasks.exe /query /tn "\Octopus Watchdog OctopusServer"`, 0, "Ready"},
		{`schtasks.exe /query /tn \octopatch\nothing`, 1, "cannot find the file"},
		{`schtasks.exe /change /tn "Octopus Watchdog OctopusServer" /disable`, 0, "SUCCESS"},
		{`schtasks.exe /query /tn "Octopus Watchdog OctopusServer"`, 0, "Disabled"},
		{`schtasks.exe /run /tn "Octopus Watchdog OctopusServer"`, 1, "0x80041326"},
		{`schtasks.exe /change /tn "Octopus Watchdog OctopusServer" /enable`, 0, "SUCCESS"},
		{`schtasks.exe /end /tn \octopatch\worker`, 0, "SUCCESS"},
		{`schtasks.exe /delete /tn \octopatch\worker`, 1, "Invalid syntax"},
		{`schtasks.exe /delete /tn \octopatch\worker /f`, 0, "SUCCESS"},
		{`schtasks.exe /query /tn \octopatch\worker`, 1, "cannot find the file"},
		{`schtasks.exe /frob`, 1, "Invalid argument"},
	} {
		if out, exit := command(t, m, c.line); exit != c.exit || !strings.Contains(out, c.says) {
			t.Errorf("%s: %d, %q; want %d and %q", c.line, exit, out, c.exit, c.says)
		}
	}
}

func TestIcacls(t *testing.T) {
	t.Parallel()
	m := newMachine(t, state{}, 100, nil)
	if out, exit := command(t, m, `icacls.exe %ProgramData%\octopatch`); exit == 0 {
		t.Errorf("without a folder: %q", out)
	}
	withFolder(folderSecurity)(t, m)
	out, exit := command(t, m, `icacls.exe %PROGRAMDATA%\octopatch`)
	if exit != 0 || !strings.Contains(out, `NT AUTHORITY\SYSTEM:(OI)(CI)(F)`) || !strings.Contains(out, `BUILTIN\Administrators:(OI)(CI)(F)`) || strings.Contains(out, `\Users`) {
		t.Errorf("%d, %q", exit, out)
	}
}

// TestPowerShellSchtasks: in a script, schtasks.exe, the cmdlets and the COM objects show the same tasks.
func TestPowerShellSchtasks(t *testing.T) {
	needPowerShell(t)
	t.Parallel()
	m := newMachine(t, state{}, 40, startShell)
	const script = `$folder = { param($at) foreach ($one in $at.GetTasks(1)) { $one.Path } }
$service = New-Object -ComObject Schedule.Service; $service.Connect()
schtasks.exe /change /tn 'Octopus Watchdog OctopusServer' /disable | Out-Null
$com = @(& $folder $service.GetFolder('\')) + @(& $folder $service.GetFolder('\Microsoft\Windows\UpdateOrchestrator'))
$cmdlet = @(Get-ScheduledTask | ForEach-Object { $_.URI }); $state = [string](Get-ScheduledTask -TaskName 'Octopus Watchdog OctopusServer').State
$program = @(schtasks.exe /query /fo csv /nh | ForEach-Object { ($_ -split ',')[0].Trim([char]34) })
schtasks.exe /query /tn '\nothing' | Out-Null
'{0}|{1}|{2}|{3}|{4}' -f (($com | Sort-Object) -join ' '), (($cmdlet | Sort-Object) -join ' '), (($program | Sort-Object) -join ' '), $state, $LASTEXITCODE`
	out, exit := command(t, m, `powershell.exe -NoProfile -NonInteractive -Command "`+script+`"`)
	part := strings.Split(strings.TrimSpace(out), "|")
	if exit != 0 && exit != 1 || len(part) != 5 || part[0] != part[1] || part[0] != part[2] || part[3] != "Disabled" || part[4] != "1" || !strings.Contains(part[0], "Watchdog") {
		t.Errorf("%d, %q", exit, out)
	}
}
