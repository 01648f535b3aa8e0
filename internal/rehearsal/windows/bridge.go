package windows

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
)

// process is a PowerShell that may talk to the machine.
type process struct {
	ctx    context.Context
	system bool // runs as SYSTEM, not with the network logon of a remote shell
}

// request is one line from the shim; the first one of a connection carries the token.
type request struct {
	Token string          `json:"token"`
	Call  string          `json:"call"`
	With  json.RawMessage `json:"with"`
}

// reply is the line that answers it.
type reply struct {
	Value any    `json:"value"`
	Error *wrong `json:"error,omitempty"`
}

type wrong struct {
	Kind    string `json:"kind"`
	Code    int32  `json:"code"` // as COM's and .NET's signed numbers
	Message string `json:"message"`
}

// admit lets a process in and says how to take the permission back.
func (m *Machine) admit(ctx context.Context, system bool) (token string, leave func()) {
	b := make([]byte, 16)
	rand.Read(b) //nolint:errcheck // crypto/rand.Read never fails since Go 1.24
	token = hex.EncodeToString(b)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.processes[token] = process{ctx: ctx, system: system}
	return token, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.processes, token)
	}
}

// serve answers the shims: one connection per process, one line per call. Plain lines, because PowerShell
// needs a tenth of a second for its first HTTP request and a millisecond for a line.
func (m *Machine) serve() {
	for {
		conn, err := m.listener.Accept()
		if err != nil {
			return
		}
		m.spawn(func() { m.converse(conn) })
	}
}

func (m *Machine) converse(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // nothing follows
	stop := context.AfterFunc(m.life, func() { _ = conn.Close() })
	defer stop()
	lines := bufio.NewReader(conn)
	var caller process
	known := false
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var ask request
		if json.Unmarshal(line, &ask) != nil {
			return
		}
		if !known {
			m.mu.Lock()
			caller, known = m.processes[ask.Token]
			m.mu.Unlock()
			if !known {
				return
			}
		}
		answer, err := json.Marshal(m.answer(caller, ask))
		if err != nil {
			return
		}
		if _, err := conn.Write(append(answer, '\n')); err != nil {
			return
		}
	}
}

func (m *Machine) answer(caller process, ask request) reply {
	handler, ok := calls[ask.Call]
	if !ok {
		return reply{Error: &wrong{Kind: "shim", Message: "there is no call " + ask.Call}}
	}
	value, err := handler(m, caller, ask.With)
	if err == nil {
		return reply{Value: value}
	}
	var windows *Error
	if errors.As(err, &windows) {
		return reply{Error: &wrong{Kind: windows.Kind, Code: int32(windows.Code), Message: windows.Message}}
	}
	return reply{Error: &wrong{Kind: "shim", Message: err.Error()}}
}
