package machine

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	_ "embed"

	"github.com/octopatch/octopatch/internal/rehearsal/record"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// How an injected fault strikes.
const (
	Unapplied = "unapplied" // nothing is done, and the connection is cut
	Lost      = "lost reply"
)

// Injection lets the nth command that runs a script fail once.
type Injection struct {
	Script string
	Nth    int
	Mode   string
}

// Inject adds an injection.
func (m *Machine) Inject(i Injection) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inject = append(m.inject, &i)
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

// written names the scripts that change the host, for its log.
var written = map[string]bool{"record": true, "stop": true, "start": true, "reboot": true, "work": true, "clear": true, "undrain": true}

// Run executes a command of a WinRM shell.
func (m *Machine) Run(ctx context.Context, c wsman.Command) (int, error) {
	if m.blocked(ctx) {
		<-ctx.Done()
		return 1, nil
	}
	line := strings.TrimSpace(c.Line)
	if !strings.HasPrefix(strings.ToLower(line), "powershell") {
		return m.builtin(line, c)
	}
	if m.o.Faults.Take("connection-reset", m.o.Name, 3) {
		return 0, wsman.ErrReset
	}
	if line != scripts.CommandLine {
		fmt.Fprintln(c.Stderr, "only octopatch's own command line has a twin here; OCTOPATCH_REHEARSAL_POWERSHELL=1 runs any")
		return 1, nil
	}
	in, err := readInput(c.Stdin)
	if err != nil {
		fmt.Fprintln(c.Stderr, err)
		return 1, nil
	}
	return m.script(ctx, c, in)
}

// blocked: a host that stops answering from its second command on.
func (m *Machine) blocked(context.Context) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls[""]++
	return m.has("black-hole") && m.calls[""] > 1 || m.has("host-unreachable")
}

// script runs one of our scripts and plays the faults that strike it.
func (m *Machine) script(ctx context.Context, c wsman.Command, in input) (int, error) {
	name := in.name()
	mode := m.fate(name)
	what := "host " + name
	if mode == Unapplied {
		m.log(what, in, "unapplied")
		return 0, wsman.ErrReset
	}
	out := c.Stdout
	if mode == Lost {
		out = io.Discard
	}
	exit := m.twin(ctx, in, out, c.Stderr, false)
	if written[name] {
		fate := "applied"
		if exit != 0 {
			fate = "refused"
		}
		if mode == Lost {
			fate = Lost
		}
		m.log(what, in, fate)
	}
	if mode == Lost {
		return exit, wsman.ErrLost
	}
	return exit, nil
}

// fate is "" or how an injected fault strikes this call of the script.
func (m *Machine) fate(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls[name]++
	for _, i := range m.inject {
		if i.Script == name && i.Nth == m.calls[name] {
			return i.Mode
		}
	}
	switch {
	case m.o.Faults.Take("lost-"+name, m.o.Name, 1):
		return Lost
	case m.o.Faults.Take("unapplied-"+name, m.o.Name, 1):
		return Unapplied
	}
	return ""
}

func (m *Machine) log(what string, in input, fate string) {
	if m.o.Log == nil {
		return
	}
	detail := ""
	var request struct {
		Mode   string
		Change struct{ Intent struct{ What string } }
	}
	if json.Unmarshal(in.request, &request) == nil {
		detail = strings.TrimSpace(request.Mode + " " + request.Change.Intent.What)
	}
	m.o.Log.Add(record.Write{Time: m.clock.Now(), Node: m.o.Name, What: what, Detail: detail, Fate: fate})
}

// input is what the bootstrap reads from stdin.
type input struct {
	raw     []byte
	nonce   string
	text    string
	request []byte
}

// name is the script whose text this is, or its first line where no script has it.
func (in input) name() string {
	for _, n := range scripts.Names() {
		if scripts.Text(n) == in.text {
			return n
		}
	}
	first, _, _ := strings.Cut(in.text, "\n")
	return first
}

func readInput(r io.Reader) (input, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return input{}, err
	}
	in := input{raw: raw}
	parts := make([]strings.Builder, 3)
	at := 0
	lines := bufio.NewScanner(strings.NewReader(string(raw)))
	for first := true; lines.Scan(); first = false {
		line := strings.TrimSpace(lines.Text())
		switch {
		case first:
			in.nonce = line
		case line == ".":
			at++
		case at < 2:
			parts[at].WriteString(line)
		}
	}
	if at != 2 {
		return input{}, errors.New("stdin ended too early")
	}
	text, err1 := base64.StdEncoding.DecodeString(parts[0].String())
	request, err2 := base64.StdEncoding.DecodeString(parts[1].String())
	in.text, in.request = string(text), request
	return in, errors.Join(err1, err2)
}

// builtin is what a few commands of cmd.exe say.
func (m *Machine) builtin(line string, c wsman.Command) (int, error) {
	word, rest, _ := strings.Cut(line, " ")
	switch strings.ToLower(word) {
	case "hostname", "hostname.exe":
		fmt.Fprint(c.Stdout, m.computer()+"\r\n")
	case "echo":
		fmt.Fprint(c.Stdout, rest+"\r\n")
	case "ver":
		fmt.Fprintf(c.Stdout, "\r\nMicrosoft Windows [Version 10.0.%s.%d]\r\n", m.build, m.ubr)
	default:
		fmt.Fprintf(c.Stderr, "'%s' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n", word)
		return 1, nil
	}
	return 0, nil
}

// twin runs the Go function that stands for the text.
func (m *Machine) twin(ctx context.Context, in input, stdout, stderr io.Writer, system bool) int {
	sum := sha256.Sum256([]byte(in.text))
	name := in.name()
	run, ok := twins()[name]
	if !ok || Recorded()[name] != hex.EncodeToString(sum[:]) {
		fmt.Fprintf(stderr, "%s.ps1: the rehearsal's twin does not stand for this text; run the conformance suite with PowerShell on PATH (go test ./internal/rehearsal/machine -update)\n", name)
		return 1
	}
	p := &process{m: m, ctx: ctx, nonce: in.nonce, out: stdout, system: system, folder: filepath.Join(m.programData(), "octopatch")}
	if m.has("constrained-language") && !system {
		p.line("error", map[string]any{"kind": "language", "message": "ConstrainedLanguage"})
		return 1
	}
	if len(in.request) > 0 {
		if err := json.Unmarshal(in.request, &p.request); err != nil {
			return p.fail(err)
		}
	}
	if err := run(p); err != nil {
		return p.fail(err)
	}
	return 0
}

// runTaskAction executes a scheduled task's program as SYSTEM; its exit code.
func (m *Machine) runTaskAction(ctx context.Context, program string) int {
	if !strings.HasSuffix(strings.ToLower(program), "powershell.exe") {
		return 2
	}
	text, err := readText(filepath.Join(m.programData(), "octopatch", "worker.ps1"))
	if err != nil {
		return 1
	}
	return m.twin(ctx, input{text: text}, io.Discard, io.Discard, true)
}
