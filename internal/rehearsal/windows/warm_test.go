package windows

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"sync"
)

// A new PowerShell costs most of a second of processor time before it does anything. The matrix asks hundreds of
// times, so its commands run in PowerShells that stay: each command in a runspace of its own, which shares
// nothing with the one before but the compiled engine. Stories, transport faults and rehearsals start processes.
const warmLoop = `
$plain = [Text.UTF8Encoding]::new($false)
$real = [Console]::Out
while ($null -ne ($line = [Console]::In.ReadLine())) {
    $ask = ConvertFrom-Json -InputObject $plain.GetString([Convert]::FromBase64String($line))
    foreach ($variable in @($ask.variables)) { $name, $value = $variable -split '=', 2; [Environment]::SetEnvironmentVariable($name, $value) }
    $written = [IO.StringWriter]::new()
    [Console]::SetOut($written)
    $space = $null; $failed = ''
    try {
        $state = [System.Management.Automation.Runspaces.Runspace]::DefaultRunspace.InitialSessionState.Clone()
        $run = [PowerShell]::Create($state)
        $null = $run.AddScript([string]$ask.command)
        $input0 = [System.Management.Automation.PSDataCollection[object]]::new()
        foreach ($one in @($ask.stdin)) { if ($null -ne $one) { $input0.Add($one) } }
        $input0.Complete()
        foreach ($one in $run.Invoke($input0)) { $written.WriteLine([string]$one) }
        $failed = [string](@($run.Streams.Error) -join [char]10)
        $run.Dispose()
    } catch { $failed = [string]$_ }
    [Console]::SetOut($real)
    $reply = ConvertTo-Json -Compress -InputObject @{ out = $written.ToString(); err = $failed }
    $real.WriteLine([Convert]::ToBase64String($plain.GetBytes($reply)))
    $real.Flush()
}
`

// warm is a PowerShell that stays.
type warm struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	said bytes.Buffer
}

var pool struct {
	mu   sync.Mutex
	free []*warm
}

func takeWarm() (*warm, error) {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	if n := len(pool.free); n > 0 {
		w := pool.free[n-1]
		pool.free = pool.free[:n-1]
		return w, nil
	}
	program, err := FindPowerShell()
	if err != nil {
		return nil, err
	}
	w := &warm{cmd: exec.Command(program, "-NoProfile", "-NonInteractive", "-Command", warmLoop)}
	w.cmd.Stderr = &w.said
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out = bufio.NewReaderSize(out, 1<<20)
	return w, w.cmd.Start()
}

func (w *warm) end() {
	w.in.Close()
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}

// endWarm ends those that nobody uses.
func endWarm() {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	for _, w := range pool.free {
		w.end()
	}
	pool.free = nil
}

// warmShell is a shell in a PowerShell that stays. Its exit code is 1 where the script said why it failed.
func warmShell(ctx context.Context, command string, variables []string, stdin []byte, stdout, stderr io.Writer) (int, error) {
	w, err := takeWarm()
	if err != nil {
		return 1, err
	}
	lines := strings.Split(strings.TrimRight(string(stdin), "\n"), "\n")
	if len(stdin) == 0 {
		lines = nil
	}
	ask, err := json.Marshal(map[string]any{"command": command, "variables": variables, "stdin": lines})
	if err != nil {
		return 1, err
	}
	unhook := context.AfterFunc(ctx, func() { _ = w.cmd.Process.Kill() })
	_, err1 := io.WriteString(w.in, base64.StdEncoding.EncodeToString(ask)+"\n")
	line, err2 := w.out.ReadString('\n')
	if !unhook() || errors.Join(err1, err2) != nil {
		w.end()
		if ctx.Err() != nil {
			return 1, context.Cause(ctx)
		}
		return 1, errors.Join(err1, err2, errors.New(w.said.String()))
	}
	pool.mu.Lock()
	pool.free = append(pool.free, w)
	pool.mu.Unlock()
	var reply struct{ Out, Err string }
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
	if err := errors.Join(err, json.Unmarshal(text, &reply)); err != nil {
		return 1, err
	}
	_, _ = io.WriteString(stdout, reply.Out)
	_, _ = io.WriteString(stderr, reply.Err)
	if strings.Contains(reply.Out, `"error":{"kind":`) || reply.Err != "" {
		return 1, nil
	}
	return 0, nil
}
