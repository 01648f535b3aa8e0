package winrm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/types"
)

// wrapper seals with Kerberos: the wrap tokens of RFC 4121 with confidentiality, which the library does not make.
type wrapper struct {
	key            types.EncryptionKey
	subkey         bool // the key is one that the host chose
	sent, received uint64
}

// A wrap token is a header of 16 bytes and E(confounder | message | filler | header) | checksum, rotated to the
// right so that all that is not message stands in front of it: that part is WinRM's encryption header.
const (
	tokenHeader  = 16
	fromAcceptor = 1
	isSealed     = 2
	bySubkey     = 4
)

func (w *wrapper) flags() byte {
	if w.subkey {
		return isSealed | bySubkey
	}
	return isSealed
}

func (w *wrapper) seal(message []byte) (header, sealed []byte, err error) {
	etype, err := crypto.GetEtype(w.key.KeyType)
	if err != nil {
		return nil, nil, err
	}
	head := []byte{5, 4, w.flags(), 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint64(head[8:], w.sent)
	w.sent++
	_, text, err := etype.EncryptMessage(w.key.KeyValue, append(bytes.Clone(message), head...), keyusage.GSSAPI_INITIATOR_SEAL)
	if err != nil {
		return nil, nil, err
	}
	rotation := tokenHeader + etype.GetHMACBitLength()/8
	binary.BigEndian.PutUint16(head[6:], uint16(rotation))
	token := append(append(head, text[len(text)-rotation:]...), text[:len(text)-rotation]...)
	front := tokenHeader + rotation + etype.GetConfounderByteSize()
	return token[:front], token[front:], nil
}

func (w *wrapper) open(header, sealed []byte) ([]byte, error) {
	etype, err := crypto.GetEtype(w.key.KeyType)
	if err != nil {
		return nil, err
	}
	token := append(bytes.Clone(header), sealed...)
	if len(token) < tokenHeader+etype.GetConfounderByteSize()+tokenHeader+etype.GetHMACBitLength()/8 {
		return nil, errors.New("the token is too short")
	}
	head, text := bytes.Clone(token[:tokenHeader]), token[tokenHeader:]
	if head[0] != 5 || head[1] != 4 || head[2] != w.flags()|fromAcceptor || head[3] != 0xFF {
		return nil, fmt.Errorf("%x is no sealed token of the host", head[:4])
	}
	filler, rotation := int(binary.BigEndian.Uint16(head[4:])), int(binary.BigEndian.Uint16(head[6:]))%len(text)
	text = append(bytes.Clone(text[rotation:]), text[:rotation]...)
	plain, err := etype.DecryptMessage(w.key.KeyValue, text, keyusage.GSSAPI_ACCEPTOR_SEAL)
	if err != nil {
		return nil, err
	}
	clear(head[6:8]) // the copy that is sealed knows of no rotation
	end := len(plain) - tokenHeader
	if end < filler || !bytes.Equal(plain[end:], head) {
		return nil, errors.New("the token's header was changed")
	}
	if n := binary.BigEndian.Uint64(head[8:]); n != w.received {
		return nil, fmt.Errorf("message %d was expected and %d came", w.received, n)
	}
	w.received++
	return plain[:end-filler], nil
}
