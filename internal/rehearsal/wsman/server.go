// Package wsman is the WS-Management listener of a simulated Windows host: shells, commands and their streams
// over HTTPS with Basic and NTLM, written from the protocol's documents and not from our own client.
package wsman

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
)

// Command is one process that a client starts on the host.
type Command struct {
	Line           string
	Stdin          io.Reader // what Send brings; EOF after the piece that is marked as the end
	Stdout, Stderr io.Writer
	User           string
}

// Runner executes commands. Its context ends when the client signals, the shell goes, or the host goes down.
type Runner interface {
	Run(ctx context.Context, c Command) (exit int, err error)
}

// What a Runner may return to play a fault of the network.
var (
	ErrLost  = errors.New("the answer is lost")  // what was done stays done; the connection is cut
	ErrReset = errors.New("the request is lost") // nothing was done; the connection is cut
)

// Options make up a listener.
type Options struct {
	Clock       clock.Clock
	User        string
	Password    string
	Certificate *tls.Certificate // nil: plain HTTP
	Basic       bool
	NTLM        bool
	Runner      Runner
}

// maxShells is MaxShellsPerUser of a Windows Server.
const maxShells = 30

// Server is the listener of one host.
type Server struct {
	o       Options
	address string

	mu      sync.Mutex
	http    *http.Server
	conns   map[net.Conn]*session
	shells  map[string]*shell
	faults  Faults
	refused int // logins that were refused
	served  sync.WaitGroup
}

// Faults are what a test or a rehearsal can switch on.
type Faults struct {
	BlackHole    bool   // requests are read and never answered
	Resets       int    // the next requests are answered by cutting the connection
	Unauthorized bool   // every login is refused
	Status       int    // every request is answered with this HTTP status and no body
	SOAP         string // every Create is answered with this fault: "denied", "quota", "unknown"
}

// session is what the server knows of one connection.
type session struct {
	mu        sync.Mutex
	challenge []byte
	user      string // set once the connection is authenticated
}

type sessionKey struct{}

// Listen starts a listener on the address, "127.0.0.1:0" for any port.
func Listen(address string, o Options) (*Server, error) {
	s := &Server{o: o, address: address, conns: map[net.Conn]*session{}, shells: map[string]*shell{}}
	return s, s.Up()
}

// Addr is host:port; it stays the same over Down and Up.
func (s *Server) Addr() string { return s.address }

// SetFaults replaces the faults.
func (s *Server) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Refused is how many logins were refused so far.
func (s *Server) Refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// Up opens the listener.
func (s *Server) Up() error {
	var listener net.Listener
	var err error
	for range 50 { // the port may still be in the hands of the kernel right after Down
		listener, err = net.Listen("tcp", s.address) //nolint:noctx // it does not wait
		if err == nil {
			break
		}
		_ = clock.Clock{}.Sleep(context.Background(), 20*time.Millisecond)
	}
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Minute, ErrorLog: silent(),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			session := &session{}
			s.mu.Lock()
			s.conns[c] = session
			s.mu.Unlock()
			return context.WithValue(ctx, sessionKey{}, session)
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			}
		},
	}
	s.mu.Lock()
	s.http, s.address = server, listener.Addr().String()
	s.mu.Unlock()
	if s.o.Certificate != nil {
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{*s.o.Certificate}, MinVersion: tls.VersionTLS12})
	}
	s.served.Go(func() { _ = server.Serve(listener) })
	return nil
}

// Down closes the listener, cuts every connection and forgets every shell, as a reboot does.
func (s *Server) Down() {
	s.mu.Lock()
	server, shells := s.http, s.shells
	s.http, s.shells = nil, map[string]*shell{}
	s.mu.Unlock()
	if server != nil {
		server.Close()
	}
	for _, sh := range shells {
		sh.end()
	}
}

// Close ends the server for good.
func (s *Server) Close() {
	s.Down()
	s.served.Wait()
}

// cut ends the connection without an answer.
func cut(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			if t, ok := conn.(*tls.Conn); ok {
				conn = t.NetConn()
			}
			if t, ok := conn.(*net.TCPConn); ok {
				_ = t.SetLinger(0) // a reset, and no orderly end
			}
			conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}

// serve answers one request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		return
	}
	s.mu.Lock()
	f := s.faults
	if f.Resets > 0 {
		s.faults.Resets--
	}
	s.mu.Unlock()
	switch {
	case f.BlackHole:
		<-r.Context().Done()
		return
	case f.Resets > 0:
		cut(w)
		return
	case f.Status != 0:
		w.WriteHeader(f.Status)
		return
	case r.URL.Path != "/wsman" || r.Method != http.MethodPost:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if isIdentify(body) { // the one message that needs no login
		identify(w)
		return
	}
	user, ok := s.authenticate(w, r, f.Unauthorized)
	if !ok {
		return
	}
	if len(body) == 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	message, err := parse(body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.dispatch(w, r, user, message, f)
}

// Port is the port of Addr.
func (s *Server) Port() int {
	_, text, err := net.SplitHostPort(s.Addr())
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return port
}
