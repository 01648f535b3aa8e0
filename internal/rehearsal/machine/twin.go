package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// object is a JSON object whose unknown fields survive.
type object = map[string]any

// process is one run of a twin: what a script sees.
type process struct {
	m       *Machine
	ctx     context.Context
	nonce   string
	out     io.Writer
	system  bool
	folder  string
	request object
}

// twins lists the functions that stand for the scripts of the same name. The conformance suite holds each to PowerShell's answers.
func twins() map[string]func(*process) error {
	return map[string]func(*process) error{
		"probe": twinProbe, "health": twinHealth, "record": twinRecord, "stop": twinStop, "start": twinStart, "undrain": twinUndrain,
		"work": twinWork, "follow": twinFollow, "worker": twinWorker, "reboot": twinReboot, "ready": twinReady, "clear": twinClear,
	}
}

// stop is an error line of a script.
type stop struct{ kind, message, code string }

func (s *stop) Error() string { return s.message }

func (p *process) line(kind string, value any) {
	text, err := json.Marshal(value)
	if err == nil { // the nonce comes first, as PowerShell's ordered table writes it
		fmt.Fprintf(p.out, "{\"nonce\":%q,%q:%s}\r\n", p.nonce, kind, text)
	}
}

func (p *process) answer(value any) error {
	p.line("answer", value)
	return nil
}

// fail writes the error line; the exit code is 1.
func (p *process) fail(err error) int {
	var s *stop
	var w *winError
	switch {
	case errors.As(err, &s):
		p.line("error", object{"kind": s.kind, "message": s.message, "code": s.code})
	case errors.As(err, &w):
		p.line("error", object{"kind": "script", "message": w.Message, "code": fmt.Sprintf("0x%08X", w.Code)})
	default:
		p.line("error", object{"kind": "script", "message": err.Error(), "code": "0x80131501"})
	}
	return 1
}

func (p *process) sleep(d time.Duration) error { return p.m.clock.Sleep(p.ctx, d) }

func (p *process) text(name string) string {
	s, _ := p.request[name].(string)
	return s
}

func (p *process) seconds(name string) time.Duration {
	n, _ := p.request[name].(float64)
	return time.Duration(n * float64(time.Second))
}

func (p *process) list(name string) []string { return texts(p.request[name]) }

func texts(v any) []string {
	list := []string{}
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if s, ok := item.(string); ok {
				list = append(list, s)
			}
		}
	case string:
		list = append(list, v)
	}
	return list
}

func objects(v any) []object {
	var list []object
	if items, ok := v.([]any); ok {
		for _, item := range items {
			if o, ok := item.(object); ok {
				list = append(list, o)
			}
		}
	}
	return list
}

// ---- the folder ----

const folderSecurity = "O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"

func (p *process) folderState() string {
	if _, err := os.Stat(p.folder); err != nil {
		return "absent"
	}
	p.m.mu.Lock()
	sddl := p.m.acl[p.folder]
	p.m.mu.Unlock()
	owner, _, _ := strings.Cut(strings.TrimPrefix(sddl, "O:"), "G:")
	switch {
	case sddl == folderSecurity:
		return "ours"
	case owner != "BA" && owner != "SY":
		return "is owned by " + owner
	}
	return "has an access list that cannot be read: " + sddl
}

func (p *process) openFolder() error {
	if p.folderState() == "absent" {
		if err := os.MkdirAll(p.folder, 0o755); err != nil {
			return err
		}
		p.m.mu.Lock()
		p.m.acl[p.folder] = folderSecurity
		p.m.mu.Unlock()
	}
	if state := p.folderState(); state != "ours" {
		return &stop{"folder", p.folder + " " + state, ""}
	}
	return nil
}

func (p *process) removeFolder() error {
	switch state := p.folderState(); state {
	case "absent":
		return nil
	case "ours":
		p.m.mu.Lock()
		delete(p.m.acl, p.folder)
		p.m.mu.Unlock()
		return os.RemoveAll(p.folder)
	default:
		return &stop{"folder", p.folder + " " + state, ""}
	}
}

func (p *process) file(name string) string { return filepath.Join(p.folder, name) }

func readText(name string) (string, error) {
	text, err := os.ReadFile(name)
	return string(text), err
}

func writeText(name, text string) error {
	if err := os.WriteFile(name+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// readWork reads one of the worker's files, nil when it is absent or not whole.
func (p *process) readWork(name string) object {
	text, err := readText(p.file(name))
	if err != nil {
		return nil
	}
	var o object
	if json.Unmarshal([]byte(text), &o) != nil {
		return nil
	}
	return o
}

// ---- the journal ----

func (p *process) journalPath() string { return p.file("run.json") }

func (p *process) readJournal() (object, error) {
	text, err := readText(p.journalPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var j object
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return nil, &stop{"journal", p.journalPath() + " cannot be read: " + err.Error(), ""}
	}
	if format, _ := j["format"].(float64); format != 1 {
		return nil, &stop{"journal", p.journalPath() + " is not a journal of format 1", ""}
	}
	if run, _ := j["run"].(string); run == "" {
		return nil, &stop{"journal", p.journalPath() + " names no run", ""}
	}
	return j, nil
}

func (p *process) testChange(j, change object) error {
	run, _ := change["run"].(string)
	if run == "" {
		return &stop{"journal", "a change without a run id", ""}
	}
	if j == nil {
		return nil
	}
	if j["run"] != run {
		return &stop{"journal", fmt.Sprintf("%s belongs to run %v", p.journalPath(), j["run"]), ""}
	}
	had, _ := j["counter"].(float64)
	have, _ := change["counter"].(float64)
	if have < had {
		return &stop{"journal", fmt.Sprintf("the journal is at %v, the change at %v: another process has gone on with this run", had, have), ""}
	}
	return nil
}

func (p *process) change() object {
	c, _ := p.request["change"].(object)
	return c
}

// updateJournal merges the change, and the host's prior state where it is not nil.
func (p *process) updateJournal(host object) (object, error) {
	if err := p.openFolder(); err != nil {
		return nil, err
	}
	j, err := p.readJournal()
	if err != nil {
		return nil, err
	}
	change := p.change()
	if err := p.testChange(j, change); err != nil {
		return nil, err
	}
	if j == nil {
		j = object{"format": 1.0}
	}
	for _, name := range []string{"run", "counter", "node", "owner", "topology"} {
		j[name] = change[name]
	}
	j["updated"] = change["at"]
	if intent := change["intent"]; intent != nil {
		j["intent"] = intent
	}
	for _, part := range []string{"phases", "octopus"} {
		merge(j, part, change[part])
	}
	if host != nil {
		j["host"] = host
	}
	return j, p.writeJournal(j)
}

func merge(j object, part string, value any) {
	from, ok := value.(object)
	if !ok {
		return
	}
	into, ok := j[part].(object)
	if !ok {
		j[part] = from
		return
	}
	for k, v := range from {
		into[k] = v
	}
}

func (p *process) writeJournal(j object) error {
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return writeText(p.journalPath(), string(text))
}
