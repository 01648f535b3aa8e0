package wsman

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
)

// sealing is the keys of one connection.
type sealing interface {
	seal(plain []byte) (header, sealed []byte)
	open(header, sealed []byte) ([]byte, error)
}

var errBroken = errors.New("not what was sealed")

const (
	soapType = "application/soap+xml;charset=UTF-8"
	divider  = "--Encrypted Boundary"
	octets   = "\tContent-Type: application/octet-stream\r\n"
)

func isSealed(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "multipart/encrypted"
}

// open opens a sealed request (MS-WSMV 2.2.9.1). A connection over which something else came is no longer
// believed.
func (sess *session) open(body []byte) ([]byte, error) {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	if sess.keys == nil {
		return nil, errBroken
	}
	parts := bytes.SplitN(body, []byte(divider+"\r\n"), 3)
	if len(parts) == 3 && len(parts[0]) == 0 {
		var length int
		_, text, _ := strings.Cut(string(parts[1]), "Length=")
		_, err := fmt.Sscanf(text, "%d", &length)
		data, ours := bytes.CutPrefix(parts[2], []byte(octets))
		data, whole := bytes.CutSuffix(data, []byte(divider+"--\r\n"))
		if err == nil && ours && whole && len(data) >= 4 {
			if n := int(binary.LittleEndian.Uint32(data)); n <= len(data)-4 {
				if plain, err := sess.keys.open(data[4:4+n], data[4+n:]); err == nil && len(plain) == length {
					return plain, nil
				}
			}
		}
	}
	sess.user, sess.keys = "", nil
	return nil, errBroken
}

// seal makes the sealed answer and its type, with one byte changed where that is asked for.
func (sess *session) seal(r *http.Request, plain string, flip bool) (body, kind string) {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	if sess.keys == nil {
		return plain, soapType
	}
	_, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // isSealed has read it
	header, sealed := sess.keys.seal([]byte(plain))
	if flip {
		sealed[len(sealed)/2] ^= 1
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\r\n\tContent-Type: %s\r\n\tOriginalContent: type=%s;Length=%d\r\n%s\r\n%s", divider, params["protocol"], soapType, len(plain), divider, octets)
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(header))))
	b.Write(header)
	b.Write(sealed)
	b.WriteString(divider + "--\r\n")
	return b.String(), `multipart/encrypted;protocol="` + params["protocol"] + `";boundary="Encrypted Boundary"`
}

// binding is the tls-server-end-point of our certificate (RFC 5929); its signature is ECDSA with SHA-256.
func (s *Server) binding() []byte {
	if s.o.Certificate == nil {
		return nil
	}
	sum := sha256.Sum256(s.o.Certificate.Certificate[0])
	return append([]byte("tls-server-end-point:"), sum[:]...)
}

// bindingHash is the MD5 that stands for the binding in a login: addresses are empty (RFC 4121 4.1.1.2).
func bindingHash(binding []byte) []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 16), uint32(len(binding)))
	sum := md5.Sum(append(b, binding...))
	return sum[:]
}
