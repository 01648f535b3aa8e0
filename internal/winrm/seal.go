package winrm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// sealer is the security context of one connection: it encrypts and signs what goes out, and opens what comes
// in. A context is used for messages in their order, each of them once.
type sealer interface {
	// seal returns the encryption header (for NTLM the signature) and the encrypted message.
	seal(message []byte) (header, sealed []byte, err error)
	// open reverses it, and refuses what was not sealed by the host for this very place in the order.
	open(header, sealed []byte) ([]byte, error)
}

// errSealed: an answer is in clear, was changed on its way, or the host allows no sealing. Nothing is ever sent
// in clear instead.
var errSealed = errors.New("not sealed as it must be")

// The encrypted message of MS-WSMV 2.2.9.1: two parts with a fixed boundary and headers that begin with a tab,
// which is why no MIME reader reads it.
const (
	boundary     = "--Encrypted Boundary"
	octetStream  = "application/octet-stream"
	soapType     = "application/soap+xml;charset=UTF-8"
	mostHeader   = 1 << 10 // bytes of an encryption header: 16 for NTLM, 60 to 72 for Kerberos
	protocolBase = "application/HTTP-"
)

// protocolFor names the encryption after the scheme of the login.
func protocolFor(scheme string) string {
	if scheme == "Kerberos" {
		return protocolBase + "Kerberos-session-encrypted"
	}
	return protocolBase + "SPNEGO-session-encrypted" // Negotiate, and NTLM by its own name
}

func sealedType(protocol string) string {
	return `multipart/encrypted;protocol="` + protocol + `";boundary="Encrypted Boundary"`
}

// sealMessage puts a message into its sealed form.
func sealMessage(s sealer, protocol string, message []byte) ([]byte, error) {
	header, sealed, err := s.seal(message)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSealed, err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\r\n\tContent-Type: %s\r\n\tOriginalContent: type=%s;Length=%d\r\n%s\r\n\tContent-Type: %s\r\n", boundary, protocol, soapType, len(message), boundary, octetStream)
	_ = binary.Write(&b, binary.LittleEndian, uint32(len(header))) // a bytes.Buffer takes everything
	b.Write(header)
	b.Write(sealed)
	b.WriteString(boundary + "--\r\n")
	return b.Bytes(), nil
}

// openMessage opens a sealed answer and holds its length against what its first part says.
func openMessage(s sealer, body []byte) ([]byte, error) {
	length, header, sealed, err := splitSealed(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSealed, err)
	}
	message, err := s.open(header, sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSealed, err)
	}
	if len(message) != length {
		return nil, fmt.Errorf("%w: it says that it has %d bytes, and has %d", errSealed, length, len(message))
	}
	return message, nil
}

// splitSealed takes the two parts apart.
func splitSealed(body []byte) (length int, header, sealed []byte, err error) {
	length = -1
	rest, ok := bytes.CutPrefix(body, []byte(boundary+"\r\n"))
	if !ok {
		return 0, nil, nil, errors.New("there is no first part")
	}
	for {
		var line []byte
		if line, rest, ok = bytes.Cut(rest, []byte("\r\n")); !ok {
			return 0, nil, nil, errors.New("there is no second part")
		}
		if string(line) == boundary {
			break
		}
		if _, digits, found := bytes.Cut(line, []byte("Length=")); found {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(digits))); err != nil || length < 0 {
				return 0, nil, nil, fmt.Errorf("%q is no length", digits)
			}
		}
	}
	kind, rest, ok := bytes.Cut(rest, []byte("\r\n"))
	if !ok || length < 0 || !bytes.Contains(kind, []byte(octetStream)) || len(rest) < 4 {
		return 0, nil, nil, errors.New("the second part is no encrypted message")
	}
	rest = bytes.TrimSuffix(bytes.TrimSuffix(rest, []byte("\r\n")), []byte("--"))
	rest, ok = bytes.CutSuffix(rest, []byte(boundary))
	if !ok || len(rest) < 4 {
		return 0, nil, nil, errors.New("it breaks off")
	}
	size := binary.LittleEndian.Uint32(rest)
	if size > mostHeader || int(size) > len(rest)-4 {
		return 0, nil, nil, fmt.Errorf("an encryption header of %d bytes does not fit", size)
	}
	return length, rest[4 : 4+size], rest[4+size:], nil
}
