package wsman

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
)

// Faults are what a test or a rehearsal can switch on. All but Unauthorized strike only the action in On.
type Faults struct {
	On           string        // Create, Command, Send, Receive, Signal or Delete; empty: every request, and for SOAP Create
	BlackHole    bool          // requests are read and never answered
	Resets       int           // the next requests are answered by cutting the connection
	Unauthorized bool          // every login is refused
	Status       int           // requests are answered with this HTTP status and no SOAP
	Text         string        // the body of such an answer
	SOAP         string        // requests are answered with this fault, by the name in faultKinds
	Times        int           // how often SOAP strikes; 0: always
	Drip         time.Duration // each quarter of an answer takes that long
	Unsealed     bool          // sealed requests are answered in clear
	Flip         bool          // one byte of each sealed answer is another one
}

// SetFaults replaces the faults. It panics for a fault that there is not.
func (s *Server) SetFaults(f Faults) {
	if _, ok := faultKinds[f.SOAP]; !ok && f.SOAP != "" {
		panic("there is no SOAP fault " + f.SOAP)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// strike is what strikes this action, counted.
func (s *Server) strike(action string) Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.faults
	if f.On != "" && f.On != action {
		return Faults{Unauthorized: f.Unauthorized}
	}
	if f.SOAP != "" && f.On == "" && action != "Create" {
		f.SOAP = ""
	}
	if f.Resets > 0 {
		s.faults.Resets--
	}
	if f.SOAP != "" && f.Times > 0 {
		if s.faults.Times--; s.faults.Times == 0 {
			s.faults.SOAP = ""
		}
	}
	return f
}

// maxRequest is MaxEnvelopeSizekb of Windows Server 2012 and later.
const maxRequest = 500 << 10

// serve answers one request.
func (s *Server) serve(rw http.ResponseWriter, r *http.Request) {
	if s.o.Closed != nil && s.o.Closed() {
		panic(http.ErrAbortHandler) // net/http cuts the connection
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return
	}
	m, bad := &message{}, error(nil)
	sealed := isSealed(r)
	if sealed {
		if body, err = sessionOf(r).open(body); err != nil {
			s.turnAway(rw)
			return
		}
	}
	if len(body) > 0 { // a login may come without a message
		m, bad = parse(body)
	}
	action := ""
	if bad == nil && m.Header.Action != "" {
		action = path.Base(m.Header.Action)
	}
	f := s.strike(action)
	w := &writer{rw, r.Context(), s.o.Clock, f.Drip, nil, func([]byte) {}}
	if s.o.Wire != nil {
		s.o.Wire(action, true, r.Header, body)
		w.wire = func(body []byte) { s.o.Wire(action, false, rw.Header(), body) }
	}
	if sealed && !f.Unsealed {
		w.seal = func(plain string) (string, string) { return sessionOf(r).seal(r, plain, f.Flip) }
	}
	switch {
	case f.BlackHole:
		<-r.Context().Done()
	case f.Resets > 0:
		w.cut()
	case f.Status != 0:
		rw.WriteHeader(f.Status)
		_, _ = io.WriteString(rw, f.Text) // the client may be gone
	case r.URL.Path != "/wsman":
		rw.WriteHeader(http.StatusNotFound)
	case r.Method != http.MethodPost:
		rw.WriteHeader(http.StatusMethodNotAllowed)
	case bad == nil && m.Body.Identify != nil && r.Header.Get("WSMANIDENTIFY") == "unauthenticated":
		w.put(http.StatusOK, identified)
	default:
		s.admit(w, r, len(body), m, bad, f, sealed)
	}
}

// admit asks who is there before it looks at what they want.
func (s *Server) admit(w *writer, r *http.Request, size int, m *message, bad error, f Faults, sealed bool) {
	user, ok := s.authenticate(w, r, f.Unauthorized)
	switch {
	case !ok:
	case size == 0: // a login by itself, as clients make it before they seal
		w.WriteHeader(http.StatusOK)
	case s.o.Certificate == nil && !sealed: // AllowUnencrypted=false
		s.turnAway(w)
	case size > maxRequest:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case bad != nil:
		w.WriteHeader(http.StatusBadRequest)
	case m.Body.Identify != nil:
		w.put(http.StatusOK, identified)
	case f.SOAP != "":
		w.fault(m, faultKinds[f.SOAP])
	default:
		s.dispatch(w, r, user, m)
	}
}

// writer answers one request.
type writer struct {
	http.ResponseWriter
	ctx   context.Context
	clock clock.Clock
	drip  time.Duration
	seal  func(plain string) (body, kind string) // nil: in clear
	wire  func(plain []byte)
}

func (w *writer) reply(m *message, action, body string) {
	w.put(http.StatusOK, envelope(action, m.Header.MessageID, body))
}

func (w *writer) fault(m *message, f faultKind) {
	w.put(http.StatusInternalServerError, envelope("http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", m.Header.MessageID, f.body()))
}

func (w *writer) put(status int, body string) {
	kind := soapType
	w.wire([]byte(body))
	if w.seal != nil {
		body, kind = w.seal(body)
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	for quarter := len(body)/4 + 1; len(body) > 0; {
		n := min(len(body), quarter)
		if w.drip > 0 {
			_ = http.NewResponseController(w.ResponseWriter).Flush()
			if w.clock.Sleep(w.ctx, w.drip) != nil {
				panic(http.ErrAbortHandler) // or the answer would end as if it were whole
			}
		}
		_, _ = io.WriteString(w, body[:n]) // the client may be gone
		body = body[n:]
	}
}

// cut ends the connection without an answer.
func (w *writer) cut() {
	conn, _, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // a reset, and no orderly end
	}
	conn.Close()
}
