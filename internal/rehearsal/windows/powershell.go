package windows

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

//go:embed shim/*.ps1
var shimFiles embed.FS

// shim is the text that makes PowerShell find this machine's Windows.
var shim = sync.OnceValue(func() string {
	entries, err := shimFiles.ReadDir("shim")
	if err != nil {
		panic(err)
	}
	var all []string
	for _, entry := range entries {
		text, err := shimFiles.ReadFile("shim/" + entry.Name())
		if err != nil {
			panic(err)
		}
		all = append(all, string(text))
	}
	return strings.Join(all, "\n")
})

// ErrNoPowerShell says that no PowerShell is on PATH.
var ErrNoPowerShell = errors.New("PowerShell is not on PATH: looked for pwsh and, on Windows, powershell.exe")

// FindPowerShell is the path of the PowerShell that executes scripts.
func FindPowerShell() (string, error) {
	names := []string{"pwsh"}
	if runtime.GOOS == "windows" {
		names = []string{"powershell.exe", "pwsh.exe"}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoPowerShell
}

// writeShim puts the shim where the processes of this machine read it.
func (m *Machine) writeShim() error {
	return os.WriteFile(m.shimPath(), []byte(shim()), 0o600)
}

func (m *Machine) shimPath() string { return filepath.Join(m.o.Dir, "shim.ps1") }

// shell executes a command text in PowerShell, with these variables in its environment.
type shell func(ctx context.Context, command string, variables []string, stdin []byte, stdout, stderr io.Writer) (int, error)

// startShell starts a process for the command.
func startShell(ctx context.Context, command string, variables []string, stdin []byte, stdout, stderr io.Writer) (int, error) {
	program, err := FindPowerShell()
	if err != nil {
		return 1, err
	}
	cmd := exec.CommandContext(ctx, program, "-NoProfile", "-NonInteractive", "-Command", command)
	cmd.Env = append(os.Environ(), append(variables, "POWERSHELL_TELEMETRY_OPTOUT=1")...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), stdout, stderr
	cmd.WaitDelay = 2 * time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 1, context.Cause(ctx)
	case errors.As(err, &exit):
		return exit.ExitCode(), nil
	}
	return 0, err
}

// powershell executes a command text in a real PowerShell that finds this machine's Windows. The shim is
// brought in by a prefix; read as text, because a policy may forbid script files.
func (m *Machine) powershell(ctx context.Context, text string, stdin []byte, stdout, stderr io.Writer, system bool) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	token, leave := m.admit(ctx, system)
	defer leave()
	prefix := "New-Module -Name Windows -ScriptBlock ([ScriptBlock]::Create([IO.File]::ReadAllText('" + strings.ReplaceAll(m.shimPath(), "'", "''") + "'))) | Import-Module -DisableNameChecking -Force; "
	if !system && m.has("constrained-language") {
		prefix += "$ExecutionContext.SessionState.LanguageMode = 'ConstrainedLanguage'; "
	}
	return m.shell(ctx, prefix+text, []string{"MACHINE_ADDRESS=" + m.listener.Addr().String(), "MACHINE_TOKEN=" + token}, stdin, stdout, stderr)
}

// execute runs what a scheduled task was registered to run.
func (m *Machine) execute(ctx context.Context, d definition) (int, error) {
	text, ok := commandText(d.Arguments)
	name := strings.ToLower(d.Command[strings.LastIndexAny(d.Command, `\/`)+1:])
	if name != "powershell.exe" || !ok {
		return 2, nil // the file is not there
	}
	if m.o.PowerShell {
		return m.powershell(ctx, text, nil, io.Discard, io.Discard, d.User == "S-1-5-18")
	}
	return m.taskTwin(ctx, text, d.User == "S-1-5-18")
}
