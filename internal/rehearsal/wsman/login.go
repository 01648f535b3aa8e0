package wsman

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //nolint:staticcheck // NTLM is built on it
)

// authenticate lets a request in whose connection or header proves the account; otherwise it answers 401.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request, refuse bool) (string, bool) {
	sess, _ := r.Context().Value(sessionKey{}).(*session)
	sess.mu.Lock()
	defer sess.mu.Unlock()
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case refuse:
	case scheme == "" && sess.user != "":
		return sess.user, true
	case strings.EqualFold(scheme, "Basic") && s.o.Basic:
		if user, pass, ok := r.BasicAuth(); ok && s.known(user) && subtle.ConstantTimeCompare([]byte(pass), []byte(s.o.Password)) == 1 {
			return user, true
		}
	case (strings.EqualFold(scheme, "NTLM") || strings.EqualFold(scheme, "Negotiate")) && s.o.NTLM:
		raw, err := base64.StdEncoding.DecodeString(value)
		if err == nil && ntlmType(raw) == 1 {
			sess.challenge = make([]byte, 8)
			rand.Read(sess.challenge) //nolint:errcheck // crypto/rand.Read never fails since Go 1.24
			w.Header().Set("WWW-Authenticate", scheme+" "+base64.StdEncoding.EncodeToString(challengeMessage(sess.challenge, s.o.Clock.Now())))
			w.WriteHeader(http.StatusUnauthorized)
			return "", false
		}
		if user, err := s.proven(raw, sess.challenge); err == nil {
			sess.user, sess.challenge = user, nil
			return user, true
		}
	}
	if scheme != "" {
		s.mu.Lock()
		s.refused++
		s.mu.Unlock()
	}
	if s.o.NTLM {
		w.Header().Add("WWW-Authenticate", "Negotiate")
	}
	if s.o.Basic {
		w.Header().Add("WWW-Authenticate", `Basic realm="WSMAN"`)
	}
	w.WriteHeader(http.StatusUnauthorized)
	return "", false
}

// known compares the account's name without its domain.
func (s *Server) known(user string) bool {
	if _, name, ok := strings.Cut(user, `\`); ok {
		user = name
	}
	user, _, _ = strings.Cut(user, "@")
	return strings.EqualFold(user, s.o.User)
}

var signature = []byte("NTLMSSP\x00")

func ntlmType(raw []byte) uint32 {
	if len(raw) < 12 || string(raw[:8]) != string(signature) {
		return 0
	}
	return binary.LittleEndian.Uint32(raw[8:])
}

func wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// challengeMessage is the CHALLENGE_MESSAGE of MS-NLMP with a target and its information.
func challengeMessage(challenge []byte, now time.Time) []byte {
	const flags = 0x00000001 | 0x00000004 | 0x00000200 | 0x00008000 | 0x00020000 | 0x00080000 | 0x00800000 | 0x02000000 | 0x20000000 | 0x80000000
	target := wide("HOST")
	var info []byte
	pair := func(id uint16, value []byte) {
		info = binary.LittleEndian.AppendUint16(info, id)
		info = binary.LittleEndian.AppendUint16(info, uint16(len(value)))
		info = append(info, value...)
	}
	for _, id := range []uint16{2, 1, 4, 3} { // domain and computer, NetBIOS and DNS
		pair(id, target)
	}
	const fileTimeOfUnixEpoch = 116444736000000000
	pair(7, binary.LittleEndian.AppendUint64(nil, uint64(now.UnixNano()/100+fileTimeOfUnixEpoch)))
	pair(0, nil)
	b := append([]byte{}, signature...)
	b = binary.LittleEndian.AppendUint32(b, 2)
	const header = 56
	field := func(length, offset int) {
		b = binary.LittleEndian.AppendUint16(b, uint16(length))
		b = binary.LittleEndian.AppendUint16(b, uint16(length))
		b = binary.LittleEndian.AppendUint32(b, uint32(offset))
	}
	field(len(target), header)
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = append(b, challenge...)
	b = append(b, make([]byte, 8)...)
	field(len(info), header+len(target))
	b = append(b, 10, 0, 0x7c, 0x4f, 0, 0, 0, 15) // version of Windows Server 2022
	return append(append(b, target...), info...)
}

var errProof = errors.New("no valid proof")

// proven checks the AUTHENTICATE_MESSAGE: NTProofStr must come from the password and our challenge.
func (s *Server) proven(raw, challenge []byte) (string, error) {
	if ntlmType(raw) != 3 || challenge == nil || len(raw) < 64 {
		return "", errProof
	}
	field := func(at int) []byte {
		length, offset := int(binary.LittleEndian.Uint16(raw[at:])), int(binary.LittleEndian.Uint32(raw[at+4:]))
		if offset+length > len(raw) || offset < 0 {
			return nil
		}
		return raw[offset : offset+length]
	}
	response, domain, user := field(20), field(28), field(36)
	if len(response) < 24 {
		return "", errProof
	}
	name := narrow(user)
	if !s.known(name) {
		return "", errProof
	}
	hash := md4.New()
	hash.Write(wide(s.o.Password))
	key := hmacMD5(hash.Sum(nil), wide(strings.ToUpper(name)), domain)
	if !hmac.Equal(hmacMD5(key, challenge, response[16:]), response[:16]) {
		return "", errProof
	}
	return name, nil
}

func narrow(b []byte) string {
	var units []uint16
	for i := 0; i+1 < len(b); i += 2 {
		units = append(units, binary.LittleEndian.Uint16(b[i:]))
	}
	return string(utf16.Decode(units))
}

func hmacMD5(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
