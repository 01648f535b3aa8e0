package wsman

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Realm is where the simulated hosts and their account live. There is no KDC: the account's tickets are made
// here, and handed out as a credential cache.
const Realm = "REHEARSAL.EXAMPLE.COM"

// Kerberos is a host's computer account.
type Kerberos struct {
	spn   string
	table *keytab.Keytab
}

// NewKerberos makes the account of the host with that full name, and its key.
func NewKerberos(host, key string) (*Kerberos, error) {
	k := &Kerberos{spn: "HTTP/" + host, table: keytab.New()}
	return k, k.table.AddEntry(k.spn, Realm, key, time.Now(), 1, etypeID.AES256_CTS_HMAC_SHA1_96)
}

// Ticket makes a user's ticket for the host, valid until ends, as an entry of a credential cache.
func (k *Kerberos) Ticket(user string, ends time.Time) ([]byte, error) {
	client := types.NewPrincipalName(1, user)
	server := types.NewPrincipalName(2, k.spn)
	now := time.Now().UTC().Truncate(time.Second)
	flags := types.NewKrbFlags()
	ticket, key, err := messages.NewTicket(client, Realm, server, Realm, flags, k.table, etypeID.AES256_CTS_HMAC_SHA1_96, 1, now, now, ends.UTC(), ends.UTC())
	if err != nil {
		return nil, err
	}
	raw, err := ticket.Marshal()
	if err != nil {
		return nil, err
	}
	var b cacheWriter
	b.principal(client)
	b.principal(server)
	b.number(2, uint32(key.KeyType))
	b.data(key.KeyValue)
	for _, t := range []time.Time{now, now, ends, ends} {
		b.number(4, uint32(t.Unix()))
	}
	b.number(1, 0) // no session key of another
	b.number(4, 0) // flags
	b.number(4, 0) // addresses
	b.number(4, 0) // authorization data
	b.data(raw)
	b.data(nil)
	return b.Bytes(), nil
}

// Cache is a credential cache file (version 4) of the user with these entries.
func Cache(user string, entries ...[]byte) []byte {
	b := cacheWriter{*bytes.NewBuffer([]byte{5, 4, 0, 0})}
	b.principal(types.NewPrincipalName(1, user))
	for _, e := range entries {
		b.Write(e)
	}
	return b.Bytes()
}

// cacheWriter writes what a credential cache is made of, big end first.
type cacheWriter struct{ bytes.Buffer }

func (b *cacheWriter) number(size int, n uint32) {
	b.Write(binary.BigEndian.AppendUint32(nil, n)[4-size:])
}

func (b *cacheWriter) data(raw []byte) {
	b.number(4, uint32(len(raw)))
	b.Write(raw)
}

func (b *cacheWriter) principal(p types.PrincipalName) {
	b.number(4, uint32(p.NameType))
	b.number(4, uint32(len(p.NameString)))
	b.data([]byte(Realm))
	for _, n := range p.NameString {
		b.data([]byte(n))
	}
}

// accept checks a token that proves an account, and makes the one that proves the host, with a key that the
// host chooses, as Windows does.
func (k *Kerberos) accept(raw []byte, negotiate bool, binding []byte) (user string, reply []byte, keys sealing, err error) {
	inner := raw
	if negotiate = negotiate && !bareKerberos(raw); negotiate {
		var outer spnego.SPNEGOToken
		if err := outer.Unmarshal(raw); err != nil {
			return "", nil, nil, err
		}
		inner = outer.NegTokenInit.MechTokenBytes
	}
	var token spnego.KRB5Token
	if err := token.Unmarshal(inner); err != nil {
		return "", nil, nil, err
	}
	if !token.IsAPReq() {
		return "", nil, nil, errProof
	}
	request := &token.APReq
	// The library's own acceptor would also keep a cache of what it has seen, with a goroutine that never ends.
	if ok, err := request.Verify(k.table, 5*time.Minute, types.HostAddress{}, nil); err != nil || !ok {
		return "", nil, nil, errors.Join(errProof, err)
	}
	sum := request.Authenticator.Cksum.Checksum
	if len(sum) < 24 || binding != nil && strings.Trim(string(sum[4:20]), "\x00") != "" && !bytes.Equal(sum[4:20], bindingHash(binding)) {
		return "", nil, nil, errProof
	}
	reply, w, err := k.reply(request)
	if err != nil {
		return "", nil, nil, err
	}
	if negotiate {
		response := spnego.NegTokenResp{NegState: asn1.Enumerated(spnego.NegStateAcceptCompleted), SupportedMech: gssapi.OIDKRB5.OID(), ResponseToken: reply}
		if reply, err = response.Marshal(); err != nil {
			return "", nil, nil, err
		}
	}
	return request.Authenticator.CName.PrincipalNameString(), reply, w, nil
}

// bareKerberos: clients on MIT Kerberos say Negotiate and leave SPNEGO out.
func bareKerberos(raw []byte) bool {
	oid, err := asn1.Marshal(gssapi.OIDKRB5.OID())
	at := bytes.Index(raw, oid)
	return err == nil && at > 0 && at <= 6
}

// reply is the AP-REP and the keys that come with it.
func (k *Kerberos) reply(request *messages.APReq) ([]byte, *wrapKeys, error) {
	session := request.Ticket.DecryptedEncPart.Key
	etype, err := crypto.GetEtype(session.KeyType)
	if err != nil {
		return nil, nil, err
	}
	own, err := types.GenerateEncryptionKey(etype)
	if err != nil {
		return nil, nil, err
	}
	const first = 4711
	part, err := asn1.Marshal(messages.EncAPRepPart{CTime: request.Authenticator.CTime, Cusec: request.Authenticator.Cusec, Subkey: own, SequenceNumber: first})
	if err != nil {
		return nil, nil, err
	}
	sealed, err := crypto.GetEncryptedData(asn1tools.AddASNAppTag(part, asnAppTag.EncAPRepPart), session, keyusage.AP_REP_ENCPART, 0)
	if err != nil {
		return nil, nil, err
	}
	raw, err := asn1.Marshal(messages.APRep{PVNO: 5, MsgType: 15, EncPart: sealed})
	if err != nil {
		return nil, nil, err
	}
	oid, err := asn1.Marshal(gssapi.OIDKRB5.OID())
	if err != nil {
		return nil, nil, err
	}
	token := append(append(oid, 2, 0), asn1tools.AddASNAppTag(raw, asnAppTag.APREP)...)
	return asn1tools.AddASNAppTag(token, 0), &wrapKeys{key: own, in: uint64(request.Authenticator.SeqNumber), out: first}, nil
}

// wrapKeys seal with the wrap tokens of RFC 4121 4.2.6.2.
type wrapKeys struct {
	key     types.EncryptionKey
	in, out uint64
}

func (k *wrapKeys) seal(plain []byte) (header, sealed []byte) {
	etype, err := crypto.GetEtype(k.key.KeyType)
	if err != nil {
		return nil, nil // reply has asked the same
	}
	head := binary.BigEndian.AppendUint64([]byte{5, 4, 7, 0xff, 0, 0, 0, 0}, k.out)
	k.out++
	_, text, err := etype.EncryptMessage(k.key.KeyValue, append(append([]byte{}, plain...), head...), keyusage.GSSAPI_ACCEPTOR_SEAL)
	if err != nil {
		return nil, nil
	}
	const rotation = 28 // the header's copy and the checksum of AES with SHA-1
	head[7] = rotation
	cut := len(text) - rotation
	token := append(append(head, text[cut:]...), text[:cut]...)
	return token[:16+rotation+16], token[16+rotation+16:]
}

func (k *wrapKeys) open(header, sealed []byte) ([]byte, error) {
	etype, err := crypto.GetEtype(k.key.KeyType)
	if err != nil {
		return nil, err
	}
	token := append(append([]byte{}, header...), sealed...)
	if len(token) < 16+16+16+12 || !bytes.Equal(token[:4], []byte{5, 4, 6, 0xff}) || binary.BigEndian.Uint64(token[8:]) != k.in {
		return nil, errBroken
	}
	k.in++
	head, text := append([]byte{}, token[:16]...), token[16:]
	turn := int(binary.BigEndian.Uint16(head[6:])) % len(text)
	plain, err := etype.DecryptMessage(k.key.KeyValue, append(append([]byte{}, text[turn:]...), text[:turn]...), keyusage.GSSAPI_INITIATOR_SEAL)
	head[6], head[7] = 0, 0
	if err != nil || !bytes.HasSuffix(plain, head) {
		return nil, errBroken
	}
	return plain[:len(plain)-16], nil
}
