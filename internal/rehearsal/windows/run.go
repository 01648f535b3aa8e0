package windows

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal/record"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
)

// Run executes a command line as cmd.exe would for a remote shell.
func (m *Machine) Run(ctx context.Context, c wsman.Command) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.mu.Lock()
	m.commands++
	count, session := m.commands, m.session
	m.mu.Unlock()
	defer context.AfterFunc(session, cancel)()

	if m.has("host-unreachable") || m.has("black-hole") && count > 2 {
		<-ctx.Done()
		return 0, wsman.ErrReset
	}
	if m.take("connection-reset", 3) {
		return 0, wsman.ErrReset
	}
	program, rest := splitCommand(c.Line)
	encoded, isEncoded := encodedText(rest)
	if isEncoded = isEncoded && strings.HasPrefix(program, "powershell"); isEncoded && isProgram(encoded) {
		program = strings.ToLower(encoded)
	}
	switch program {
	case "hostname", "hostname.exe":
		fmt.Fprintf(c.Stdout, "%s\r\n", m.computer)
		return 0, nil
	case "ver":
		fmt.Fprintf(c.Stdout, "\r\nMicrosoft Windows [Version 10.0.%s.%v]\r\n", build, m.readValue(keyVersion, "UBR"))
		return 0, nil
	case "echo":
		fmt.Fprintf(c.Stdout, "%s\r\n", rest)
		return 0, nil
	case "schtasks.exe", "schtasks", "icacls.exe", "icacls":
		return m.runProgram(c, strings.TrimSuffix(program, ".exe"), arguments(rest, m.folder)), nil
	case "powershell.exe", "powershell":
		if isEncoded {
			return m.runCommand(ctx, c, encoded)
		}
		if text, ok := commandText(rest); ok {
			return m.runCommand(ctx, c, text)
		}
	}
	fmt.Fprintf(c.Stderr, "'%s' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n", program)
	return 1, nil
}

// runProgram runs one of Windows' own programs that say the same with PowerShell and without.
func (m *Machine) runProgram(c wsman.Command, program string, args []string) int {
	run := m.schtasks
	if program == "icacls" {
		run = m.icacls
	}
	output, exit := run(args)
	to := c.Stdout
	if exit != 0 {
		to = c.Stderr
	}
	fmt.Fprint(to, output)
	return exit
}

var (
	argumentOf  = regexp.MustCompile(`"([^"]*)"|(\S+)`)
	programData = regexp.MustCompile(`(?i)%ProgramData%`)
)

// arguments splits a command line as a program does, after cmd.exe has put in the one variable that is known here.
func arguments(line, folder string) []string {
	var list []string
	for _, found := range argumentOf.FindAllStringSubmatch(programData.ReplaceAllLiteralString(line, folder), -1) {
		list = append(list, found[1]+found[2])
	}
	return list
}

// splitCommand separates the program, in lower case, from the rest of a command line.
func splitCommand(line string) (program, rest string) {
	program, rest, _ = strings.Cut(strings.TrimSpace(line), " ")
	return strings.ToLower(program), strings.TrimSpace(rest)
}

// commandText is what follows -Command in PowerShell's arguments, without the quotes around it.
func commandText(arguments string) (string, bool) {
	at := strings.Index(strings.ToLower(arguments), "-command ")
	if at < 0 {
		return "", false
	}
	text := strings.TrimSpace(arguments[at+len("-command "):])
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1]
	}
	return text, true
}

// call is one script as it came in.
type call struct {
	nonce  string
	script string // its name, or empty for a text that is no script of ours
	text   string
	json   []byte
}

// runCommand runs the text behind -Command, with the fate that a fault gives to its script.
func (m *Machine) runCommand(ctx context.Context, c wsman.Command, text string) (int, error) {
	stdin, err := readAll(ctx, c.Stdin)
	if err != nil {
		return 0, wsman.ErrReset
	}
	one := decode(stdin)
	fate := Fate(0)
	if one.script != "" {
		fate = m.fate(one.write())
	}
	what := m.name(one)
	if what != "" && fate == 0 {
		fate = map[record.Fate]Fate{record.Unapplied: Unapplied, record.Lost: Lost}[m.o.Log.FateOf(record.Write{Time: m.clock.Now(), Node: m.o.Name, What: what, Detail: detail(one)})]
	}
	switch fate {
	case Unapplied:
		m.logWrite(what, one, "unapplied")
		return 0, wsman.ErrReset
	case Failed:
		m.logWrite(what, one, "unapplied")
		fmt.Fprintf(c.Stdout, `{"nonce":%q,"error":{"kind":"script","message":"injected fault","code":"0x80004005"}}`+"\n", one.nonce)
		return 1, nil
	}
	out := &tail{to: c.Stdout}
	if fate == Lost {
		out.to = io.Discard
		if one.script == "work" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			defer cancel()
			m.spawn(func() { m.cutOnceStarted(ctx, cancel) })
		}
	}
	var exit int
	if m.o.PowerShell {
		exit, err = m.powershell(ctx, text, stdin, out, c.Stderr, false)
	} else {
		exit = m.twin(ctx, one, text, out, c.Stderr)
	}
	switch {
	case fate == Lost:
		m.logWrite(what, one, "lost reply")
		return 0, wsman.ErrLost
	case ctx.Err() != nil && !out.answered():
		m.logWrite(what, one, "lost reply")
	case exit != 0 || err != nil:
		m.logWrite(what, one, "refused")
	default:
		m.logWrite(what, one, "applied")
	}
	return exit, err
}

// cutOnceStarted cuts a command some seconds after its worker has begun.
func (m *Machine) cutOnceStarted(ctx context.Context, cut context.CancelFunc) {
	for {
		m.mu.Lock()
		t := m.findTask(`\octopatch`, "worker")
		runs := t != nil && t.state == taskRunning
		m.mu.Unlock()
		if m.clock.Sleep(ctx, 5*time.Second) != nil {
			return
		}
		if runs {
			cut()
			return
		}
	}
}

// readAll reads stdin to its end, but not beyond the end of the command.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(r)
		done <- result{data, err}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case got := <-done:
		return got.data, got.err
	}
}

// decode reads what the bootstrap would read; what is not of that form is a call without a script.
func decode(stdin []byte) call {
	var parts [2][]byte
	lines := bytes.Split(stdin, []byte("\n"))
	one := call{nonce: strings.TrimSpace(string(lines[0]))}
	part := 0
	for _, line := range lines[1:] {
		line = bytes.TrimSpace(line)
		switch {
		case string(line) == ".":
			part++
		case part < len(parts):
			parts[part] = append(parts[part], line...)
		}
	}
	text, err1 := base64.StdEncoding.DecodeString(string(parts[0]))
	request, err2 := base64.StdEncoding.DecodeString(string(parts[1]))
	if errors.Join(err1, err2) != nil || part != 2 {
		return call{}
	}
	one.text, one.json, one.script = string(text), request, scriptOf(string(text))
	return one
}

// write is what tests and faults know a script by: its name, and that of a Hyper-V host by what it is asked.
func (c call) write() string {
	if c.script != "hyperv" {
		return c.script
	}
	var request struct{ Action string }
	_ = json.Unmarshal(c.json, &request) // one that cannot be read asks for nothing
	return "checkpoint-" + request.Action
}

// tail passes output on and remembers whether an answer line was in it.
type tail struct {
	to   io.Writer
	seen []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.seen = append(t.seen, p...)
	if at := bytes.LastIndexByte(t.seen, '\n'); at >= 0 && !bytes.Contains(t.seen, []byte(`"answer":`)) {
		t.seen = t.seen[at+1:]
	}
	return t.to.Write(p)
}

func (t *tail) answered() bool { return bytes.Contains(t.seen, []byte(`"answer":`)) }
