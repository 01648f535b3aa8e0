package wsman

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"
)

// authenticate lets a request in whose connection or header proves the account; otherwise it answers 401.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request, refuse bool) (string, bool) {
	sess := sessionOf(r)
	sess.mu.Lock()
	defer sess.mu.Unlock()
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	negotiate := strings.EqualFold(scheme, "Negotiate")
	raw, err := base64.StdEncoding.DecodeString(value)
	switch {
	case refuse:
	case scheme == "" && sess.user != "":
		return sess.user, true
	case strings.EqualFold(scheme, "Basic") && s.basic():
		if user, pass, ok := r.BasicAuth(); ok && s.known(user) && subtle.ConstantTimeCompare([]byte(pass), []byte(s.o.Password)) == 1 {
			return user, true
		}
	case err != nil || len(raw) == 0:
	case ntlmType(raw) == 0 && (negotiate || strings.EqualFold(scheme, "Kerberos")) && s.o.Kerberos != nil:
		if user, reply, keys, err := s.o.Kerberos.accept(raw, negotiate, s.binding()); err == nil && s.known(user) {
			w.Header().Set("WWW-Authenticate", scheme+" "+base64.StdEncoding.EncodeToString(reply))
			sess.user, sess.keys = user, keys
			return user, true
		}
	case (negotiate || strings.EqualFold(scheme, "NTLM")) && s.o.NTLM:
		if ntlmType(raw) == 1 {
			sess.login = &ntlmLogin{hello: raw, challenge: make([]byte, 8)}
			rand.Read(sess.login.challenge) //nolint:errcheck // crypto/rand.Read never fails since Go 1.24
			sess.login.offer = challengeMessage(sess.login.challenge, s.o.Clock.Now(), raw)
			w.Header().Set("WWW-Authenticate", scheme+" "+base64.StdEncoding.EncodeToString(sess.login.offer))
			w.WriteHeader(http.StatusUnauthorized)
			return "", false
		}
		if user, keys, err := s.proven(raw, sess.login); err == nil {
			sess.user, sess.keys, sess.login = user, keys, nil
			return user, true
		}
	}
	if scheme != "" {
		s.mu.Lock()
		s.refused++
		s.mu.Unlock()
	}
	s.turnAway(w)
	return "", false
}

// turnAway is 401 with all that is offered.
func (s *Server) turnAway(w http.ResponseWriter) {
	if s.o.NTLM || s.o.Kerberos != nil {
		w.Header().Add("WWW-Authenticate", "Negotiate")
	}
	if s.o.Kerberos != nil {
		w.Header().Add("WWW-Authenticate", "Kerberos")
	}
	if s.basic() {
		w.Header().Add("WWW-Authenticate", `Basic realm="WSMAN"`)
	}
	w.WriteHeader(http.StatusUnauthorized)
}

// basic is never offered in clear, as AllowUnencrypted=false has it.
func (s *Server) basic() bool { return s.o.Basic && s.o.Certificate != nil }

// known compares the account's name without its domain.
func (s *Server) known(user string) bool {
	if _, name, ok := strings.Cut(user, `\`); ok {
		user = name
	}
	user, _, _ = strings.Cut(user, "@")
	return strings.EqualFold(user, s.o.User)
}
