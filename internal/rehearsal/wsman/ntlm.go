package wsman

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"
	"errors"
	"strings"
	"time"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //nolint:staticcheck // NTLM is built on it
)

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

// ntlmLogin is a login that has begun: what both sides said so far.
type ntlmLogin struct{ hello, offer, challenge []byte }

// Flags of NTLM (MS-NLMP 2.2.2.5).
const (
	always      = 0x00000001 | 0x00000004 | 0x00000200 | 0x00008000 | 0x00020000 | 0x00080000 | 0x00800000 | 0x02000000 | 0x20000000 | 0x80000000
	asked       = 0x00000010 | 0x00000020 | keyExchange // what is granted to those who ask: sign, seal and a key of the session's own
	keyExchange = 0x40000000
)

// challengeMessage is the CHALLENGE_MESSAGE of MS-NLMP with a target and its information.
func challengeMessage(challenge []byte, now time.Time, hello []byte) []byte {
	flags := uint32(always)
	if len(hello) >= 16 {
		flags |= binary.LittleEndian.Uint32(hello[12:]) & asked
	}
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

// proven checks the AUTHENTICATE_MESSAGE: NTProofStr must come from the password and our challenge, the MIC from
// all three messages where there is one, and the channel binding, if given, from our own certificate.
func (s *Server) proven(raw []byte, login *ntlmLogin) (string, sealing, error) {
	if ntlmType(raw) != 3 || login == nil || len(raw) < 64 {
		return "", nil, errProof
	}
	field := func(at int) []byte {
		length, offset := int(binary.LittleEndian.Uint16(raw[at:])), int(binary.LittleEndian.Uint32(raw[at+4:]))
		if offset+length > len(raw) || offset < 0 {
			return nil
		}
		return raw[offset : offset+length]
	}
	response, domain, user, exchanged := field(20), field(28), field(36), field(52)
	const info = 44 // where in the response the client's copy of the target information begins
	if len(response) < info {
		return "", nil, errProof
	}
	name := narrow(user)
	if !s.known(name) {
		return "", nil, errProof
	}
	hash := md4.New()
	hash.Write(wide(s.o.Password))
	key := hmacMD5(hash.Sum(nil), wide(strings.ToUpper(name)), domain)
	if !hmac.Equal(hmacMD5(key, login.challenge, response[16:]), response[:16]) {
		return "", nil, errProof
	}
	session := hmacMD5(key, response[:16])
	flags := binary.LittleEndian.Uint32(raw[60:])
	if flags&keyExchange != 0 && len(exchanged) == 16 {
		session = newStream(session).text(exchanged)
	}
	pairs := avPairs(response[info:])
	if v := pairs[6]; len(v) == 4 && v[0]&2 != 0 {
		if len(raw) < 88 {
			return "", nil, errProof
		}
		whole := append(append(append([]byte{}, login.hello...), login.offer...), raw...)
		mic := whole[len(whole)-len(raw)+72:][:16]
		sent := append([]byte{}, mic...)
		clear(mic)
		if !hmac.Equal(hmacMD5(session, whole), sent) {
			return "", nil, errProof
		}
	}
	if v := pairs[10]; s.o.Certificate != nil && len(v) == 16 && strings.Trim(string(v), "\x00") != "" && !hmac.Equal(v, bindingHash(s.binding())) {
		return "", nil, errProof
	}
	return name, newNTLMKeys(session), nil
}

// avPairs reads the AV_PAIRs of MS-NLMP 2.2.2.1.
func avPairs(b []byte) map[uint16][]byte {
	pairs := map[uint16][]byte{}
	for len(b) >= 4 {
		id, length := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if id == 0 || len(b) < 4+length {
			break
		}
		pairs[id] = b[4 : 4+length]
		b = b[4+length:]
	}
	return pairs
}

// rc4Stream is RC4 as a stream that goes on from message to message.
type rc4Stream struct{ *rc4.Cipher }

func newStream(key []byte) rc4Stream {
	c, _ := rc4.NewCipher(key) // only a wrong length is an error, and all of ours are MD5
	return rc4Stream{c}
}

func (c rc4Stream) text(in []byte) []byte {
	out := make([]byte, len(in))
	c.XORKeyStream(out, in)
	return out
}

// ntlmKeys seal with NTLM (MS-NLMP 3.4): each direction has a key to sign, a stream to encrypt and a count.
type ntlmKeys struct{ in, out ntlmDirection }

type ntlmDirection struct {
	sign   []byte
	stream rc4Stream
	count  uint32
}

func newNTLMKeys(session []byte) *ntlmKeys {
	direction := func(name string) ntlmDirection {
		derive := func(kind string) []byte {
			sum := md5.Sum(append(append([]byte{}, session...), "session key to "+name+" "+kind+" key magic constant\x00"...))
			return sum[:]
		}
		return ntlmDirection{sign: derive("signing"), stream: newStream(derive("sealing"))}
	}
	return &ntlmKeys{in: direction("client-to-server"), out: direction("server-to-client")}
}

// signature comes after the message in the stream.
func (d *ntlmDirection) signature(plain []byte) []byte {
	count := binary.LittleEndian.AppendUint32(nil, d.count)
	d.count++
	sum := d.stream.text(hmacMD5(d.sign, count, plain)[:8])
	return append(append([]byte{1, 0, 0, 0}, sum...), count...)
}

func (k *ntlmKeys) seal(plain []byte) (header, sealed []byte) {
	sealed = k.out.stream.text(plain)
	return k.out.signature(plain), sealed
}

func (k *ntlmKeys) open(header, sealed []byte) ([]byte, error) {
	plain := k.in.stream.text(sealed)
	if !hmac.Equal(k.in.signature(plain), header) {
		return nil, errBroken
	}
	return plain, nil
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
