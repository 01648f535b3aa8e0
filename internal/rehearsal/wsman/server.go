// Package wsman is the WS-Management listener of a simulated Windows host: shells, commands and their streams
// over HTTPS, or sealed over HTTP, with Basic, NTLM and Kerberos, written from the protocols' documents and not
// from our own client.
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
	Certificate *tls.Certificate // nil: plain HTTP, and then only sealed messages
	Basic       bool             // over HTTPS only
	NTLM        bool
	Kerberos    *Kerberos // nil: none
	Runner      Runner
	Wire        Wire        // nil: nobody looks
	Closed      func() bool // while it is true every request is cut off; nil: never
}

// Wire is told each message that comes or goes, in clear: the SOAP action, whether the client sent it, its header
// and its body.
type Wire func(action string, sent bool, header http.Header, body []byte)

// Server is the listener of one host.
type Server struct {
	o       Options
	address string

	mu      sync.Mutex
	http    *http.Server
	shells  map[string]*shell
	faults  Faults
	refused int // logins that were refused
	served  sync.WaitGroup
	runs    sync.WaitGroup // of the Runner
}

// session is what the server knows of one connection.
type session struct {
	mu    sync.Mutex
	login *ntlmLogin
	user  string  // set once the connection is authenticated
	keys  sealing // then, too
}

type sessionKey struct{}

func sessionOf(r *http.Request) *session {
	sess, _ := r.Context().Value(sessionKey{}).(*session) // Up puts it there
	return sess
}

// Listen starts a listener on the address, "127.0.0.1:0" for any port.
func Listen(address string, o Options) (*Server, error) {
	s := &Server{o: o, address: address, shells: map[string]*shell{}}
	if err := s.Up(); err != nil {
		return nil, err
	}
	return s, nil
}

// Addr is host:port; it stays the same over Down and Up.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// Refused is how many logins were refused so far.
func (s *Server) Refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// Up opens the listener, at the port that it had before.
func (s *Server) Up() error {
	s.mu.Lock()
	up, address := s.http != nil, s.address
	s.mu.Unlock()
	if up {
		return nil
	}
	var listener net.Listener
	var err error
	for range 50 { // the port may still be in the hands of the kernel right after Down
		listener, err = net.Listen("tcp", address) //nolint:noctx // it does not wait
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
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, sessionKey{}, &session{})
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

// Down closes the listener, cuts every connection and forgets every shell, as a reboot does. A command that is
// on its way may call it: nothing is waited for.
func (s *Server) Down() {
	s.mu.Lock()
	server := s.http
	s.http = nil
	s.mu.Unlock()
	if server != nil {
		_ = server.Close() // it is on its way down anyhow
	}
	s.endShells()
}

// Close ends the server for good, and waits for its commands.
func (s *Server) Close() {
	s.Down()
	s.served.Wait()
	s.runs.Wait()
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
