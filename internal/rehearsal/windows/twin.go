package windows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	_ "embed"

	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// twins are the functions that stand for the scripts of the same name where there is no PowerShell. Each does
// with the machine what its script does, through the same doors as the shim; the conformance suite holds both
// to the same answers and the same machine afterwards.
func twins() map[string]func(*twin) error {
	return map[string]func(*twin) error{
		"probe": twinProbe, "health": twinHealth, "ready": twinReady,
		"copy": twinCopy, "record": twinRecord, "stop": twinStop, "start": twinStart, "undrain": twinUndrain, "reboot": twinReboot, "clear": twinClear,
		"work": twinWork, "follow": twinFollow, "worker": twinWorker, "lease": twinLease, "deadman": twinDeadman,
		"hyperv":  twinHyperV,
		"restore": twinRestorePoint,
		"image":   twinImage, "imager": twinImager,
	}
}

//go:embed twins.json
var recorded []byte

// trusted replaces the embedded record while the conformance suite proves a new one.
var trusted map[string]string

// Trust lets the twins stand for other texts than the record says. Only the conformance suite may do so, before
// any machine is made.
func Trust(record map[string]string) { trusted = record }

// Recorded is, by script, the SHA-256 of the text for which PowerShell and the twin were seen to agree.
func Recorded() map[string]string {
	if trusted != nil {
		return trusted
	}
	list := map[string]string{}
	_ = json.Unmarshal(recorded, &list) // an unreadable record stands for no text at all
	return list
}

// object is a JSON object whose unknown fields survive.
type object = map[string]any

// twin is one run of a function that stands for a script: what the script would see.
type twin struct {
	m       *Machine
	ctx     context.Context
	nonce   string
	out     io.Writer
	system  bool
	folder  string
	request object
}

// twin runs the function that stands for a script, if it stands for exactly this text.
func (m *Machine) twin(ctx context.Context, one call, text string, stdout, stderr io.Writer) int {
	if text != scripts.Bootstrap {
		fmt.Fprintln(stderr, "only octopatch's own command line has a twin here; OCTOPATCH_REHEARSAL_POWERSHELL=1 runs any")
		return 1
	}
	return m.runTwin(&twin{m: m, ctx: ctx, nonce: one.nonce, out: stdout, folder: m.ours()}, one, stderr)
}

// fileAction is the one kind of scheduled action that has a twin: a script file below ProgramData, read as text.
var fileAction = regexp.MustCompile(`^& \(\[ScriptBlock\]::Create\(\[IO\.File\]::ReadAllText\(\[IO\.Path\]::Combine\(\$env:ProgramData, '([^']+)', '([^']+)'\)\)\)\)$`)

// taskTwin runs the function that stands for the script of a scheduled task.
func (m *Machine) taskTwin(ctx context.Context, command string, system bool) (int, error) {
	found := fileAction.FindStringSubmatch(command)
	if found == nil {
		return 1, nil
	}
	text, err := os.ReadFile(filepath.Join(m.folder, found[1], found[2]))
	if err != nil {
		return 1, nil //nolint:nilerr // PowerShell without its script ends with 1
	}
	exit := m.runTwin(&twin{m: m, ctx: ctx, out: io.Discard, system: system, folder: m.ours()}, call{text: string(text), script: scriptOf(string(text))}, io.Discard)
	return exit, context.Cause(ctx)
}

// scriptOf is the name of the script whose text this is, or empty.
func scriptOf(text string) string {
	for _, name := range scripts.Names() {
		if scripts.Text(name) == text {
			return name
		}
	}
	return ""
}

func (m *Machine) runTwin(t *twin, one call, stderr io.Writer) int {
	if m.has("constrained-language") && !t.system {
		t.line("error", object{"kind": "language", "message": "ConstrainedLanguage"})
		return 1
	}
	run, ok := twins()[one.script]
	if !ok || Recorded()[one.script] != scripts.SHA256(one.script) {
		fmt.Fprintf(stderr, "%s.ps1: the rehearsal's twin does not stand for this text; run the conformance suite with PowerShell on PATH (go test ./internal/rehearsal/windows -run Conformance -update)\n", one.script)
		return 1
	}
	if len(one.json) > 0 {
		if err := json.Unmarshal(one.json, &t.request); err != nil {
			return t.fail(err)
		}
	}
	if err := t.updateLease(); err != nil {
		return t.fail(err)
	}
	err := run(t)
	switch {
	case err == nil:
		return 0
	case t.ctx.Err() != nil: // a process that was ended says nothing any more
		return 1
	}
	return t.fail(err)
}

// stop is what a script says before it gives up by itself.
type stop struct{ kind, message, code string }

func (s *stop) Error() string { return s.message }

func (t *twin) line(kind string, value any) {
	text, err := json.Marshal(value)
	if err == nil { // the nonce comes first, as PowerShell's ordered table writes it
		fmt.Fprintf(t.out, "{\"nonce\":%q,%q:%s}\r\n", t.nonce, kind, text)
	}
}

func (t *twin) answer(value any) error {
	t.line("answer", value)
	return nil
}

// fail writes the error line; the exit code is 1.
func (t *twin) fail(err error) int {
	var own *stop
	if errors.As(err, &own) {
		t.line("error", object{"kind": own.kind, "message": own.message, "code": own.code})
		return 1
	}
	t.line("error", object{"kind": "script", "message": err.Error(), "code": errorCode(err)})
	return 1
}

// errorCode is the HRESULT that PowerShell sees on an error, COR_E_EXCEPTION for one that is not Windows' own.
func errorCode(err error) string {
	var windows *Error
	if errors.As(err, &windows) {
		return hresult(windows.HRESULT())
	}
	return "0x80131500"
}

func hresult(code uint32) string { return fmt.Sprintf("0x%08X", code) }

func (t *twin) sleep(d time.Duration) error { return t.m.clock.Sleep(t.ctx, d) }
