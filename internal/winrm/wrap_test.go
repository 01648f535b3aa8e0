package winrm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/types"
)

// hostSeals makes a token as the host does, with everything in it to be chosen.
func hostSeals(t testing.TB, key types.EncryptionKey, plain []byte, flags byte, number uint64, filler, rotation int, change func(inner []byte)) []byte {
	t.Helper()
	etype, err := crypto.GetEtype(key.KeyType)
	if err != nil {
		t.Fatal(err)
	}
	head := binary.BigEndian.AppendUint64([]byte{5, 4, flags, 0xff, 0, byte(filler), 0, 0}, number)
	inner := bytes.Clone(head)
	if change != nil {
		change(inner)
	}
	_, text, err := etype.EncryptMessage(key.KeyValue, append(append(bytes.Clone(plain), make([]byte, filler)...), inner...), keyusage.GSSAPI_ACCEPTOR_SEAL)
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint16(head[6:], uint16(rotation))
	cut := len(text) - rotation%len(text)
	return append(append(head, text[cut:]...), text[:cut]...)
}

// TestSealedForms: each form of a token that RFC 4121 allows is read, and each that it forbids is refused.
func TestSealedForms(t *testing.T) {
	t.Parallel()
	plain := []byte("the answer")
	for _, kind := range aes {
		key := types.EncryptionKey{KeyType: kind, KeyValue: bytes.Repeat([]byte{7}, map[int32]int{17: 16, 18: 32, 19: 16, 20: 32}[kind])}
		ours := byte(fromAcceptor | isSealed | bySubkey)
		for _, c := range []struct {
			name             string
			flags            byte
			number           uint64
			filler, rotation int
			change           func([]byte)
			ok               bool
		}{
			{"as Windows", ours, 7, 0, 28, nil, true},
			{"as MIT", ours, 7, 0, 0, nil, true},
			{"with filler", ours, 7, 16, 28, nil, true},
			{"turned right round", ours, 7, 0, 1000, nil, true},
			{"from a client", ours &^ fromAcceptor, 7, 0, 0, nil, false},
			{"only signed", ours &^ isSealed, 7, 0, 0, nil, false},
			{"by another key", ours &^ bySubkey, 7, 0, 0, nil, false},
			{"again", ours, 6, 0, 0, nil, false},
			{"too early", ours, 8, 0, 0, nil, false},
			{"with another header inside", ours, 7, 0, 0, func(b []byte) { b[15]++ }, false},
		} {
			w := &wrapper{key: key, subkey: true, received: 7}
			token := hostSeals(t, key, plain, c.flags, c.number, c.filler, c.rotation, c.change)
			got, err := w.open(token[:16], token[16:])
			if (err == nil) != c.ok || c.ok && !bytes.Equal(got, plain) {
				t.Errorf("%d, %s: %q, %v", kind, c.name, got, err)
			}
			if c.ok {
				if _, err := w.open(token[:16], token[16:]); err == nil {
					t.Errorf("%d, %s: taken twice", kind, c.name)
				}
			}
		}
		for n := range 60 {
			if _, err := (&wrapper{key: key}).open(make([]byte, n), nil); err == nil {
				t.Errorf("%d bytes are taken for a token", n)
			}
		}
		s := &wrapper{key: key, subkey: true, received: 7}
		token := hostSeals(t, key, plain, ours, 7, 0, 28, nil)
		for said, ok := range map[int]bool{len(plain): true, len(plain) - 1: false} {
			body := fmt.Appendf(nil, "%s\r\n\tContent-Type: x\r\n\tOriginalContent: type=y;Length=%d\r\n%s\r\n\tContent-Type: %s\r\n", boundary, said, boundary, octetStream)
			body = append(append(binary.LittleEndian.AppendUint32(body, 40), token...), boundary+"--\r\n"...)
			s.received = 7
			if got, err := openMessage(s, body); (err == nil) != ok || !ok && !errors.Is(err, errSealed) {
				t.Errorf("length %d: %q, %v", said, got, err)
			}
		}
	}
}

// echoSealer opens everything, so that the fuzzer gets behind the keys.
type echoSealer struct{}

func (echoSealer) seal(message []byte) (header, sealed []byte, err error) { return nil, message, nil }
func (echoSealer) open(_, sealed []byte) ([]byte, error)                  { return sealed, nil }

func FuzzSealed(f *testing.F) {
	good, err := sealMessage(echoSealer{}, protocolFor("Negotiate"), []byte("<x/>"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(bytes.TrimSuffix(good, []byte("--\r\n")))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got, err := openMessage(echoSealer{}, body); err == nil && len(got) > len(body) {
			t.Errorf("%q of %q", got, body)
		}
		key := types.EncryptionKey{KeyType: aes[0], KeyValue: make([]byte, 32)}
		if got, err := (&wrapper{key: key}).open(body, nil); err == nil {
			t.Errorf("%q is sealed", got)
		}
		k := &kerberosLogin{scheme: "Negotiate", ticket: ticket{key: key}}
		if _, err := k.confirm(body); err == nil {
			t.Errorf("%q proves a host", body)
		}
	})
}
