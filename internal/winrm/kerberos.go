package winrm

import (
	"context"
	"crypto/md5" //nolint:gosec // RFC 4121 has no other hash for channel bindings
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

// kerberosLogin proves the account with a ticket for the host, and has the host prove itself. One value serves
// one connection.
type kerberosLogin struct {
	tickets *tickets
	scheme  string
	ticket  ticket
	auth    types.Authenticator
}

func (k *kerberosLogin) schemes() []string { return []string{"Negotiate", "Kerberos"} }

func (k *kerberosLogin) hello() ([]byte, error) { return nil, nil }

// prove makes the AP-REQ of RFC 4121 4.1, inside SPNEGO where the scheme is Negotiate.
func (k *kerberosLogin) prove(ctx context.Context, scheme string, _, binding []byte) ([]byte, error) {
	k.scheme = scheme
	var err error
	if k.ticket, err = k.tickets.forHost(ctx); err != nil {
		return nil, err
	}
	if k.auth, err = types.NewAuthenticator(k.ticket.realm, k.ticket.client); err != nil {
		return nil, err
	}
	// As long as the ticket's key: the library's own maker is wrong about the length for SHA-384.
	k.auth.SubKey = types.EncryptionKey{KeyType: k.ticket.key.KeyType, KeyValue: make([]byte, len(k.ticket.key.KeyValue))}
	rand.Read(k.auth.SubKey.KeyValue) //nolint:errcheck // crypto/rand.Read never fails since Go 1.24
	k.auth.Cksum = types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: gssChecksum(binding)}
	request, err := messages.NewAPReq(k.ticket.ticket, k.ticket.key, k.auth)
	if err != nil {
		return nil, err
	}
	types.SetFlag(&request.APOptions, flags.APOptionMutualRequired)
	raw, err := request.Marshal()
	if err != nil {
		return nil, err
	}
	oid, err := asn1.Marshal(gssapi.OIDKRB5.OID())
	if err != nil {
		return nil, err
	}
	token := asn1tools.AddASNAppTag(append(append(oid, 1, 0), raw...), 0)
	if scheme == "Kerberos" {
		return token, nil
	}
	outer := spnego.SPNEGOToken{Init: true, NegTokenInit: spnego.NegTokenInit{MechTypes: []asn1.ObjectIdentifier{gssapi.OIDKRB5.OID()}, MechTokenBytes: token}}
	return outer.Marshal()
}

// gssChecksum carries what the context is for, and the MD5 of the channel bindings (RFC 4121 4.1.1).
func gssChecksum(binding []byte) []byte {
	const hash = 16
	b := make([]byte, 4+hash+4)
	binary.LittleEndian.PutUint32(b, hash)
	if binding != nil {
		channel := make([]byte, 16, 20+len(binding)) // no addresses
		channel = binary.LittleEndian.AppendUint32(channel, uint32(len(binding)))
		sum := md5.Sum(append(channel, binding...)) //nolint:gosec // as above
		copy(b[4:], sum[:])
	}
	binary.LittleEndian.PutUint32(b[4+hash:], gssapi.ContextFlagMutual|gssapi.ContextFlagReplay|gssapi.ContextFlagSequence|gssapi.ContextFlagConf|gssapi.ContextFlagInteg)
	return b
}

// confirm reads the host's AP-REP: it shows that the host could read the ticket, and brings the key.
func (k *kerberosLogin) confirm(token []byte) (sealer, error) {
	if token == nil {
		return nil, fmt.Errorf("%w: the host does not prove itself", errSealed)
	}
	var w *wrapper
	err := guarded(func() (err error) {
		w, err = k.reply(token)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: the host's Kerberos answer: %w", errSealed, err)
	}
	return w, nil
}

func (k *kerberosLogin) reply(token []byte) (*wrapper, error) {
	if k.scheme != "Kerberos" {
		_, any, err := spnego.UnmarshalNegToken(token)
		if err != nil {
			return nil, err
		}
		response, ok := any.(spnego.NegTokenResp)
		if !ok || response.State() != spnego.NegStateAcceptCompleted {
			return nil, errors.New("SPNEGO is not completed")
		}
		token = response.ResponseToken
	}
	var inner spnego.KRB5Token
	if err := inner.Unmarshal(token); err != nil {
		return nil, err
	}
	if inner.IsKRBError() {
		return nil, inner.KRBError
	}
	if !inner.IsAPRep() {
		return nil, errors.New("it is no AP-REP")
	}
	raw, err := crypto.DecryptEncPart(inner.APRep.EncPart, k.ticket.key, keyusage.AP_REP_ENCPART)
	if err != nil {
		return nil, err
	}
	var part messages.EncAPRepPart
	if err := part.Unmarshal(raw); err != nil {
		return nil, err
	}
	if part.CTime.Unix() != k.auth.CTime.Unix() || part.Cusec != k.auth.Cusec {
		return nil, errors.New("it answers another login")
	}
	w := &wrapper{key: k.auth.SubKey, sent: uint64(k.auth.SeqNumber), received: uint64(uint32(part.SequenceNumber))}
	if len(part.Subkey.KeyValue) > 0 {
		w.key, w.subkey = part.Subkey, true
	}
	if !sealable(w.key.KeyType) {
		return nil, fmt.Errorf("the host chose a key of type %d, and only AES seals", w.key.KeyType)
	}
	return w, nil
}
