package wsman

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// shell is an open shell with its commands.
type shell struct {
	mu       sync.Mutex
	id       string
	commands map[string]*process
	lost     bool // a command's answer is lost: whatever asks for this shell is cut off
}

// process is a running or ended command.
type process struct {
	cancel context.CancelFunc
	stdin  *io.PipeWriter
	mu     sync.Mutex
	out    map[string]*bytes.Buffer // by stream
	done   bool
	exit   int
	err    error
	more   chan struct{} // replaced and closed at each news
}

func (sh *shell) end() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, p := range sh.commands {
		p.stop()
	}
}

func (p *process) stop() {
	p.cancel()
	p.stdin.CloseWithError(io.ErrUnexpectedEOF)
}

func (p *process) news() {
	close(p.more)
	p.more = make(chan struct{})
}

// stream is a Writer into one of the process's output streams.
type stream struct {
	p    *process
	name string
}

func (s stream) Write(b []byte) (int, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.out[s.name].Write(b)
	s.p.news()
	return len(b), nil
}

func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, user string, m *message, f Faults) {
	if m.Header.ResourceURI != "" && m.Header.ResourceURI != resourceCmd {
		fault(w, m, faultResource)
		return
	}
	if m.Header.Action == transferURI+"/Create" {
		s.create(w, m, f)
		return
	}
	s.mu.Lock()
	sh := s.shells[m.shellID()]
	s.mu.Unlock()
	if sh == nil {
		fault(w, m, faultNoShell)
		return
	}
	if sh.isLost() {
		cut(w)
		return
	}
	switch m.Header.Action {
	case shellURI + "/Command":
		s.command(w, m, sh, user)
	case shellURI + "/Send":
		s.send(w, m, sh)
	case shellURI + "/Receive":
		s.receive(w, r, m, sh)
	case shellURI + "/Signal":
		if p := sh.process(m.Body.Signal.CommandID); p != nil {
			p.stop()
		}
		reply(w, m, shellURI+"/SignalResponse", "<rsp:SignalResponse/>")
	case transferURI + "/Delete":
		s.mu.Lock()
		delete(s.shells, sh.id)
		s.mu.Unlock()
		sh.end()
		reply(w, m, transferURI+"/DeleteResponse", "")
	default:
		fault(w, m, faultAction)
	}
}

func (s *Server) create(w http.ResponseWriter, m *message, f Faults) {
	if kind, ok := map[string]faultKind{"denied": faultDenied, "quota": faultQuota, "unknown": faultUnknown}[f.SOAP]; ok {
		fault(w, m, kind)
		return
	}
	sh := &shell{id: uuid(), commands: map[string]*process{}}
	s.mu.Lock()
	full := len(s.shells) >= maxShells
	if !full {
		s.shells[sh.id] = sh
	}
	s.mu.Unlock()
	if full {
		fault(w, m, faultQuota)
		return
	}
	reply(w, m, transferURI+"/CreateResponse", `<x:ResourceCreated><a:Address>http://host/wsman</a:Address><a:ReferenceParameters><w:ResourceURI>`+resourceCmd+
		`</w:ResourceURI><w:SelectorSet><w:Selector Name="ShellId">`+sh.id+`</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>`+
		`<rsp:Shell><rsp:ShellId>`+sh.id+`</rsp:ShellId><rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>`)
}

func (s *Server) command(w http.ResponseWriter, m *message, sh *shell, user string) {
	line := strings.Join(append([]string{m.Body.Command.Line}, m.Body.Command.Args...), " ")
	ctx, cancel := context.WithCancel(context.Background())
	in, feed := io.Pipe()
	p := &process{cancel: cancel, stdin: feed, out: map[string]*bytes.Buffer{"stdout": {}, "stderr": {}}, more: make(chan struct{})}
	id := uuid()
	sh.mu.Lock()
	sh.commands[id] = p
	sh.mu.Unlock()
	go func() {
		exit, err := s.o.Runner.Run(ctx, Command{Line: line, Stdin: in, Stdout: stream{p, "stdout"}, Stderr: stream{p, "stderr"}, User: user})
		in.Close() // what was not read has no reader any more
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.done, p.exit, p.err = true, exit, err
		if errors.Is(err, ErrLost) || errors.Is(err, ErrReset) {
			sh.lose()
		}
		p.news()
	}()
	reply(w, m, shellURI+"/CommandResponse", `<rsp:CommandResponse><rsp:CommandId>`+id+`</rsp:CommandId></rsp:CommandResponse>`)
}

func (sh *shell) lose() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.lost = true
}

func (sh *shell) isLost() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.lost
}

func (sh *shell) process(id string) *process {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.commands[id]
}

func (s *Server) send(w http.ResponseWriter, m *message, sh *shell) {
	for _, st := range m.Body.Send.Streams {
		p := sh.process(st.CommandID)
		data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(st.Text))
		if p == nil || err != nil || st.Name != "stdin" {
			fault(w, m, faultUnknown)
			return
		}
		_, _ = p.stdin.Write(data) // a process that has ended reads no more
		if strings.EqualFold(st.End, "true") {
			p.stdin.Close()
		}
	}
	reply(w, m, shellURI+"/SendResponse", "<rsp:SendResponse/>")
}

// receive waits until there is output, the process has ended, or the operation time-out is over.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, m *message, sh *shell) {
	p := sh.process(m.Body.Receive.Desired.CommandID)
	if p == nil {
		fault(w, m, faultUnknown)
		return
	}
	timer := time.NewTimer(s.o.Clock.Wall(m.timeout()))
	defer timer.Stop()
	for {
		if sh.isLost() {
			cut(w)
			return
		}
		body, more := p.take(m.Body.Receive.Desired.CommandID, m.payload())
		if body != "" {
			reply(w, m, shellURI+"/ReceiveResponse", body)
			return
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		case <-timer.C:
			fault(w, m, faultTimedOut)
			return
		}
	}
}

// take is the body of a ReceiveResponse with what is there, "" when that is nothing.
func (p *process) take(id string, most int) (string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	left := 0
	for _, name := range []string{"stdout", "stderr"} {
		if data := p.out[name].Next(most); len(data) > 0 {
			fmt.Fprintf(&b, `<rsp:Stream Name="%s" CommandId="%s">%s</rsp:Stream>`, name, id, base64.StdEncoding.EncodeToString(data))
			most -= len(data)
		}
		left += p.out[name].Len()
	}
	if !p.done || left > 0 {
		if b.Len() == 0 {
			return "", p.more
		}
		return `<rsp:ReceiveResponse>` + b.String() + `</rsp:ReceiveResponse>`, p.more
	}
	for _, name := range []string{"stdout", "stderr"} {
		fmt.Fprintf(&b, `<rsp:Stream Name="%s" CommandId="%s" End="true"></rsp:Stream>`, name, id)
	}
	fmt.Fprintf(&b, `<rsp:CommandState CommandId="%s" State="%s/CommandState/Done"><rsp:ExitCode>%d</rsp:ExitCode></rsp:CommandState>`, id, shellURI, p.exit)
	return `<rsp:ReceiveResponse>` + b.String() + `</rsp:ReceiveResponse>`, p.more
}
