package winrm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/octopatch/octopatch/internal/procedure"
)

const (
	kdcLimit     = 10 * time.Second // of the wall, for one KDC to answer
	mostKDC      = 1 << 20          // bytes of an answer
	mostReferred = 5                // realms on the way to the host's
)

// logOn is the AS exchange: the account's ticket-granting ticket, by password or keytab.
func (t *tickets) logOn(ctx context.Context) (ticket, error) {
	realm, cname := t.creds.Realm(), t.creds.CName()
	request, err := messages.NewASReqForTGT(realm, t.conf, cname)
	if err != nil {
		return ticket{}, err
	}
	send := func() ([]byte, error) {
		raw, err := request.Marshal()
		if err != nil {
			return nil, err
		}
		return t.ask(ctx, realm, raw)
	}
	raw, err := send()
	var refusal messages.KRBError
	if errors.As(err, &refusal) && refusal.ErrorCode == errorcode.KDC_ERR_PREAUTH_REQUIRED {
		var proof types.PAData
		if proof, err = t.timestamp(refusal); err != nil {
			return ticket{}, t.explain(err)
		}
		request.PAData = append(request.PAData, proof)
		raw, err = send()
	}
	if err != nil {
		return ticket{}, t.explain(err)
	}
	var reply messages.ASRep
	err = guarded(func() error {
		if err := reply.Unmarshal(raw); err != nil {
			return err
		}
		_, err := reply.Verify(t.conf, t.creds, request)
		return err
	})
	if err != nil {
		return ticket{}, t.explain(err)
	}
	return ticket{ticket: reply.Ticket, key: reply.DecryptedEncPart.Key, ends: reply.DecryptedEncPart.EndTime, client: cname, realm: realm}, nil
}

// timestamp proves to the KDC that we know the key, with the first of its kinds of key that we have.
func (t *tickets) timestamp(refusal messages.KRBError) (proof types.PAData, err error) {
	err = guarded(func() error {
		var offered types.PADataSequence
		if err := offered.Unmarshal(refusal.EData); err != nil {
			return err
		}
		var key types.EncryptionKey
		version, missing := 0, errors.New("the KDC names no kind of key")
		for _, data := range offered {
			if data.PADataType != patype.PA_ETYPE_INFO2 || len(key.KeyValue) > 0 {
				continue
			}
			kinds, err := data.GetETypeInfo2()
			if err != nil {
				return err
			}
			for _, kind := range kinds {
				if len(key.KeyValue) > 0 {
					break
				}
				if t.creds.HasKeytab() {
					key, version, missing = t.creds.Keytab().GetEncryptionKey(t.creds.CName(), t.creds.Realm(), 0, kind.EType)
				} else {
					key, _, missing = crypto.GetKeyFromPassword(t.creds.Password(), t.creds.CName(), t.creds.Realm(), kind.EType, offered)
				}
			}
		}
		if len(key.KeyValue) == 0 {
			return missing
		}
		now, err := types.GetPAEncTSEncAsnMarshalled()
		if err != nil {
			return err
		}
		sealed, err := crypto.GetEncryptedData(now, key, keyusage.AS_REQ_PA_ENC_TIMESTAMP, version)
		if err != nil {
			return err
		}
		proof.PADataType = patype.PA_ENC_TIMESTAMP
		proof.PADataValue, err = sealed.Marshal()
		return err
	})
	return proof, err
}

// exchange is the TGS exchange: the ticket for the host, over other realms where the KDC refers us there.
func (t *tickets) exchange(ctx context.Context, granting ticket) (ticket, error) {
	conf := *t.conf
	conf.LibDefaults.Canonicalize = true // without it a KDC of Windows refers to no other realm
	realm, wanted := granting.realm, t.spn()
	if other := t.conf.ResolveRealm(strings.ToLower(t.host)); other != "" && other != realm {
		wanted = types.PrincipalName{NameType: nametype.KRB_NT_SRV_INST, NameString: []string{"krbtgt", other}}
	}
	for range mostReferred + 1 {
		request, err := messages.NewTGSReq(granting.client, realm, &conf, granting.ticket, granting.key, wanted, false)
		if err != nil {
			return ticket{}, err
		}
		raw, err := request.Marshal()
		if err != nil {
			return ticket{}, err
		}
		if raw, err = t.ask(ctx, realm, raw); err != nil {
			return ticket{}, t.explain(err)
		}
		var reply messages.TGSRep
		err = guarded(func() error {
			if err := reply.Unmarshal(raw); err != nil {
				return err
			}
			if err := reply.DecryptEncPart(granting.key); err != nil {
				return err
			}
			_, err := reply.Verify(&conf, request)
			return err
		})
		if err != nil {
			return ticket{}, t.explain(err)
		}
		granting.ticket, granting.key, granting.ends = reply.Ticket, reply.DecryptedEncPart.Key, reply.DecryptedEncPart.EndTime
		name := reply.Ticket.SName.NameString
		if len(name) != 2 || name[0] != "krbtgt" {
			return granting, nil
		}
		realm, wanted = name[1], t.spn()
	}
	return ticket{}, procedure.Refuse("OCTOPATCH_WINRM_KRB5_CONF", fmt.Sprintf("leads over more than %d realms to %s", mostReferred, t.host), "name the host's realm in [domain_realm]")
}

// errKDC: no KDC could be asked.
var errKDC = errors.New("no KDC answers")

// ask sends one message to the realm's KDCs in turn, until one answers. A refusal is a messages.KRBError.
func (t *tickets) ask(ctx context.Context, realm string, message []byte) ([]byte, error) {
	addresses, err := t.kdcs(ctx, realm)
	if err != nil {
		return nil, fmt.Errorf("%w for realm %s: %w", errKDC, realm, err)
	}
	var faults []error
	for _, address := range addresses {
		raw, err := askOne(ctx, address, message)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		var refusal messages.KRBError
		if guarded(func() error { return refusal.Unmarshal(raw) }) == nil {
			return nil, refusal
		}
		return raw, nil
	}
	return nil, fmt.Errorf("%w for realm %s: %w", errKDC, realm, errors.Join(faults...))
}

// kdcs are those of krb5.conf, or those that DNS knows.
func (t *tickets) kdcs(ctx context.Context, realm string) ([]string, error) {
	for _, r := range t.conf.Realms {
		if r.Realm == realm && len(r.KDC) > 0 {
			return r.KDC, nil
		}
	}
	if !t.conf.LibDefaults.DNSLookupKDC {
		return nil, errors.New("krb5.conf names none, and has no dns_lookup_kdc = true")
	}
	ctx, cancel := context.WithTimeout(ctx, kdcLimit)
	defer cancel()
	_, records, err := new(net.Resolver).LookupSRV(ctx, "kerberos", "tcp", realm)
	var list []string
	for _, r := range records {
		list = append(list, net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port))))
	}
	return list, err
}

// askOne is one exchange over TCP, each message after its length (RFC 4120 7.2.2).
func askOne(ctx context.Context, address string, message []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, kdcLimit)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err = io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > mostKDC {
		return nil, fmt.Errorf("the KDC announces %d bytes", n)
	}
	answer := make([]byte, n)
	_, err = io.ReadFull(conn, answer)
	return answer, err
}

// explain says what a KDC's refusal means for the operator.
func (t *tickets) explain(err error) error {
	f := &procedure.Fault{Kind: procedure.ErrDenied, Subject: "OCTOPATCH_WINRM_USERNAME", Cause: err, Remedy: "it is not tried again, so that no account is locked; check the account and its secret"}
	who := t.o.Username
	if who == "" {
		who = "the ticket's account"
	}
	var refusal messages.KRBError
	if !errors.As(err, &refusal) {
		if errors.Is(err, errKDC) {
			f.Kind, f.Subject, f.Problem, f.Remedy = procedure.ErrUnreachable, "OCTOPATCH_WINRM_KRB5_CONF", "Kerberos cannot be asked", "check the realm's kdc in krb5.conf, DNS and the firewall (port 88, TCP)"
			return f
		}
		f.Problem = "Kerberos' answer for " + who + " cannot be used: a wrong password or keytab, or an answer of somebody else"
		return f
	}
	switch refusal.ErrorCode {
	case errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN:
		f.Problem = "Kerberos does not know " + who
		f.Remedy = "write user@REALM as the realm knows it; a UPN whose suffix is not the realm is not understood"
	case errorcode.KDC_ERR_PREAUTH_FAILED, errorcode.KRB_AP_ERR_BAD_INTEGRITY:
		f.Problem = "the password or keytab of " + who + " is wrong"
	case errorcode.KDC_ERR_CLIENT_REVOKED:
		f.Problem = who + " is locked or disabled"
	case errorcode.KDC_ERR_KEY_EXPIRED:
		f.Problem = "the password of " + who + " has expired"
	case errorcode.KRB_AP_ERR_TKT_EXPIRED:
		f.Subject, f.Problem, f.Remedy = "OCTOPATCH_WINRM_KRB5_CCACHE", "the ticket has expired", "renew it (kinit -c)"
	case errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN:
		f.Kind, f.Subject, f.Problem = procedure.ErrRefused, "OCTOPATCH_NODES", "Kerberos knows no service "+t.spn().PrincipalNameString()
		f.Remedy = "use the host's full name as the domain knows it, there or in OCTOPATCH_WINRM_SERVER_NAME (setspn -L COMPUTER lists its names)"
	case errorcode.KRB_AP_ERR_SKEW:
		f.Kind, f.Subject, f.Problem, f.Remedy = procedure.ErrRefused, "OCTOPATCH_WINRM_AUTH", "this machine's clock and the KDC's differ by more than 5 minutes", "set the clocks"
	default:
		f.Problem = "Kerberos refuses " + who
	}
	return f
}
