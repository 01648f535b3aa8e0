package wsman

import (
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits of a Windows Server, as winrm/config/winrs has them.
const (
	maxShells    = 30            // MaxShellsPerUser
	maxProcesses = 25            // MaxProcessesPerShell
	idleTimeout  = 2 * time.Hour // IdleTimeout
)

// shell is an open shell with its commands.
type shell struct {
	id   string
	user string

	mu        sync.Mutex
	processes map[string]*process
	used      time.Time
	lost      bool // a command's answer is lost: whatever asks for this shell is cut off
	ended     bool
}

// end stops the commands, and those that were just about to begin.
func (sh *shell) end() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.ended = true
	for _, p := range sh.processes {
		p.stop()
	}
}

func (sh *shell) lose() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.lost = true
	for _, p := range sh.processes {
		p.news()
	}
}

func (sh *shell) isLost() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.lost
}

func (sh *shell) process(id string) *process {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.processes[id]
}

func (sh *shell) idle(now time.Time) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return now.Sub(sh.used) > idleTimeout
}

// dispatch hands a message of a user to the operation that it names.
func (s *Server) dispatch(w *writer, r *http.Request, user string, m *message) {
	if m.Header.ResourceURI != resourceCmd {
		w.fault(m, faultResource)
		return
	}
	if m.Header.Action == transferURI+"/Create" {
		s.create(w, m, user)
		return
	}
	s.mu.Lock()
	sh := s.shells[m.shellID()]
	s.mu.Unlock()
	if sh == nil || sh.user != user {
		w.fault(m, faultNoShell)
		return
	}
	if sh.isLost() {
		w.cut()
		return
	}
	sh.mu.Lock()
	sh.used = s.o.Clock.Now()
	sh.mu.Unlock()
	switch m.Header.Action {
	case shellURI + "/Command":
		s.command(w, m, sh)
	case shellURI + "/Send":
		s.send(w, r, m, sh)
	case shellURI + "/Receive":
		s.receive(w, r, m, sh)
	case shellURI + "/Signal":
		if p := sh.process(m.Body.Signal.CommandID); p != nil {
			p.stop()
		}
		w.reply(m, shellURI+"/SignalResponse", "<rsp:SignalResponse/>")
	case transferURI + "/Delete":
		s.mu.Lock()
		delete(s.shells, sh.id)
		s.mu.Unlock()
		sh.end()
		w.reply(m, transferURI+"/DeleteResponse", "")
	default:
		w.fault(m, faultAction)
	}
}

func (s *Server) create(w *writer, m *message, user string) {
	now := s.o.Clock.Now()
	sh := &shell{id: uuid(), user: user, processes: map[string]*process{}, used: now}
	var idle []*shell
	s.mu.Lock()
	for id, old := range s.shells {
		if old.idle(now) {
			idle = append(idle, old)
			delete(s.shells, id)
		}
	}
	full := len(s.shells) >= maxShells
	if !full {
		s.shells[sh.id] = sh
	}
	s.mu.Unlock()
	for _, old := range idle {
		old.end()
	}
	if full {
		w.fault(m, faultQuota)
		return
	}
	w.reply(m, transferURI+"/CreateResponse", `<x:ResourceCreated><a:Address>http://host/wsman</a:Address><a:ReferenceParameters><w:ResourceURI>`+resourceCmd+
		`</w:ResourceURI><w:SelectorSet><w:Selector Name="ShellId">`+sh.id+`</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>`+
		`<rsp:Shell><rsp:ShellId>`+sh.id+`</rsp:ShellId><rsp:ResourceUri>`+resourceCmd+`</rsp:ResourceUri><rsp:Owner>`+text(user)+
		`</rsp:Owner><rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>`)
}

func (s *Server) command(w *writer, m *message, sh *shell) {
	line := strings.Join(append([]string{m.Body.Command.Line}, m.Body.Command.Args...), " ")
	sh.mu.Lock()
	if sh.ended || len(sh.processes) >= maxProcesses {
		kind := faultNoShell
		if !sh.ended {
			kind = faultOperations
		}
		sh.mu.Unlock()
		w.fault(m, kind)
		return
	}
	s.runs.Add(1)
	p := start(s.o.Runner, line, sh.user, func(err error) {
		defer s.runs.Done()
		if isLoss(err) {
			sh.lose()
		}
	})
	sh.processes[p.id] = p
	sh.mu.Unlock()
	w.reply(m, shellURI+"/CommandResponse", `<rsp:CommandResponse><rsp:CommandId>`+p.id+`</rsp:CommandId></rsp:CommandResponse>`)
}

// send hands stdin to the process; it waits for one that does not read, up to the operation time-out.
func (s *Server) send(w *writer, r *http.Request, m *message, sh *shell) {
	ctx, cancel := s.o.Clock.WithTimeout(r.Context(), m.timeout())
	defer cancel()
	for _, st := range m.Body.Send.Streams {
		p := sh.process(st.CommandID)
		data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(st.Text))
		if p == nil || err != nil || st.Name != "stdin" {
			w.fault(m, faultUnknown)
			return
		}
		// A process that has ended reads no more, and Windows does not mind.
		if err := p.stdin.put(ctx, data); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			w.fault(m, faultTimedOut)
			return
		}
		if end := strings.TrimSpace(st.End); strings.EqualFold(end, "true") || end == "1" {
			p.stdin.close(io.EOF)
		}
	}
	w.reply(m, shellURI+"/SendResponse", "<rsp:SendResponse/>")
}

// receive waits until there is output, the process has ended, or the operation time-out is over.
func (s *Server) receive(w *writer, r *http.Request, m *message, sh *shell) {
	p := sh.process(m.Body.Receive.Desired.CommandID)
	if p == nil {
		w.fault(m, faultUnknown)
		return
	}
	ctx, cancel := s.o.Clock.WithTimeout(r.Context(), m.timeout())
	defer cancel()
	for {
		body, more := p.receive(m.payload())
		switch {
		case sh.isLost():
			w.cut()
			return
		case body != "":
			w.reply(m, shellURI+"/ReceiveResponse", body)
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			if r.Context().Err() != nil {
				return // the client is gone
			}
			w.fault(m, faultTimedOut)
			return
		}
	}
}

// Shells is how many shells are open.
func (s *Server) Shells() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.shells)
}

func (s *Server) endShells() {
	s.mu.Lock()
	shells := slices.Collect(maps.Values(s.shells))
	s.shells = map[string]*shell{}
	s.mu.Unlock()
	for _, sh := range shells {
		sh.end()
	}
}
