package winrm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/octopatch/octopatch/internal/procedure"
)

// defaultKrb5Conf is read where OCTOPATCH_WINRM_KRB5_CONF is not set.
const defaultKrb5Conf = "/etc/krb5.conf"

// ticket is what proves an account to one service. Kerberos lives in wall time.
type ticket struct {
	ticket messages.Ticket
	key    types.EncryptionKey
	ends   time.Time
	client types.PrincipalName
	realm  string // of the client
}

func (t ticket) good() bool { return time.Until(t.ends) > time.Minute }

// tickets gets the ticket for one host and keeps it while it is good. It makes the KDC's exchanges itself, with
// the library's messages: the library's own client knows no context, and renews in the background for ever.
type tickets struct {
	o     Options
	conf  *config.Config
	creds *credentials.Credentials // password or keytab; nil with a credential cache
	host  string

	turn chan struct{} // holds one token, for what follows
	have ticket
}

// aes are the encryption types with which we can seal.
var aes = []int32{etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA1_96, etypeID.AES256_CTS_HMAC_SHA384_192, etypeID.AES128_CTS_HMAC_SHA256_128}

func sealable(etype int32) bool {
	for _, e := range aes {
		if e == etype {
			return true
		}
	}
	return false
}

// newTickets reads the files, so that a wrong one is told before anything is begun.
func newTickets(o Options) (*tickets, error) {
	name := o.KRB5Conf
	if name == "" {
		name = defaultKrb5Conf
	}
	t := &tickets{o: o, host: o.ServerName, turn: make(chan struct{}, 1)}
	if t.host == "" {
		t.host = o.Host
	}
	if net.ParseIP(t.host) != nil {
		return nil, procedure.Refuse("OCTOPATCH_NODES", fmt.Sprintf("gives the address %s, and Kerberos knows hosts by name", t.host), "write NAME=host.example.com, or set OCTOPATCH_WINRM_SERVER_NAME to the host's full name")
	}
	var err error
	if t.conf, err = config.Load(name); err != nil {
		var odd config.UnsupportedDirective
		if !errors.As(err, &odd) {
			return nil, procedure.Refuse("OCTOPATCH_WINRM_KRB5_CONF", name+" cannot be used: "+err.Error(), "name a krb5.conf with default_realm and the realm's kdc")
		}
	}
	t.conf.LibDefaults.DefaultTGSEnctypeIDs = aes // of the key between us and the host
	t.conf.LibDefaults.Canonicalize = false       // set for a ticket of another realm only
	if o.CCache != "" {
		_, err := t.cache()
		return t, err
	}
	user, realm, err := principal(o.Username, t.conf)
	if err != nil {
		return nil, err
	}
	t.creds = credentials.New(user, realm)
	if o.Keytab == "" {
		t.creds = t.creds.WithPassword(o.Password.Reveal())
		return t, nil
	}
	var table *keytab.Keytab
	err = guarded(func() (err error) {
		table, err = keytab.Load(o.Keytab)
		return err
	})
	if err != nil {
		return nil, procedure.Refuse("OCTOPATCH_WINRM_KRB5_KEYTAB", o.Keytab+" cannot be used: "+err.Error(), "name a keytab of the account (ktpass, ktutil)")
	}
	t.creds = t.creds.WithKeytab(table)
	return t, nil
}

// principal takes the account's name and realm from what people write. A realm is written in capitals; a
// domain's short name is one that the default realm begins with.
func principal(username string, conf *config.Config) (name, realm string, err error) {
	standard := conf.LibDefaults.DefaultRealm
	domain, name := account(username)
	local := strings.HasPrefix(username, `.\`)
	if i := strings.LastIndexByte(name, '@'); domain == "" && i > 0 {
		name, domain = name[:i], name[i+1:]
	}
	switch short, _, _ := strings.Cut(standard, "."); {
	case local:
		return "", "", procedure.Refuse("OCTOPATCH_WINRM_USERNAME", "names an account of the host itself, which Kerberos does not know", "set it to an account of the domain, or OCTOPATCH_WINRM_AUTH to ntlm")
	case domain == "" && standard == "":
		return "", "", procedure.Refuse("OCTOPATCH_WINRM_USERNAME", "names no realm, and krb5.conf has no default_realm", "write user@REALM")
	case domain == "", strings.EqualFold(domain, short):
		return name, standard, nil
	case !strings.Contains(domain, "."):
		return "", "", procedure.Refuse("OCTOPATCH_WINRM_USERNAME", fmt.Sprintf("names the domain %s, and it is not known which realm that is", domain), "write user@REALM with the realm's full name")
	}
	return name, strings.ToUpper(domain), nil
}

// cache reads the credential cache anew each time: who keeps it renews it in place.
func (t *tickets) cache() (*credentials.CCache, error) {
	name := strings.TrimPrefix(t.o.CCache, "FILE:")
	cache := new(credentials.CCache)
	err := guarded(func() error {
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return cache.Unmarshal(raw)
	})
	if err != nil {
		return nil, procedure.Refuse("OCTOPATCH_WINRM_KRB5_CCACHE", name+" cannot be used: "+err.Error(), "name a credential cache file, as kinit -c writes it")
	}
	return cache, nil
}

// spn is what Windows registers for every computer (HTTP is an alias of HOST).
func (t *tickets) spn() types.PrincipalName {
	return types.PrincipalName{NameType: nametype.KRB_NT_SRV_INST, NameString: []string{"HTTP", strings.ToLower(t.host)}}
}

// forHost is a good ticket for the host: the one that is there, one of the cache, or a new one.
func (t *tickets) forHost(ctx context.Context) (ticket, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return ticket{}, context.Cause(ctx)
	}
	if t.have.good() {
		return t.have, nil
	}
	granting, ready, err := t.granting(ctx)
	if err == nil && !ready {
		granting, err = t.exchange(ctx, granting)
	}
	if err != nil {
		return ticket{}, err
	}
	if !sealable(granting.key.KeyType) {
		return ticket{}, procedure.Refuse("OCTOPATCH_WINRM_AUTH", fmt.Sprintf("is kerberos, and the KDC gives a key of type %d for %s, which cannot seal messages", granting.key.KeyType, t.host), "allow AES for the host's computer account (msDS-SupportedEncryptionTypes)")
	}
	t.have = granting
	return granting, nil
}

// drop forgets the ticket: the host did not take it.
func (t *tickets) drop() {
	t.turn <- struct{}{}
	t.have = ticket{}
	<-t.turn
}

// granting is the ticket with which others are asked for, or, ready, the one for the host itself.
func (t *tickets) granting(ctx context.Context) (found ticket, ready bool, err error) {
	if t.o.CCache == "" {
		found, err = t.logOn(ctx)
		return found, false, err
	}
	cache, err := t.cache()
	if err != nil {
		return ticket{}, false, err
	}
	realm := cache.GetClientRealm()
	expired := time.Time{}
	for _, c := range cache.GetEntries() {
		service := c.Server.PrincipalName.PrincipalNameString()
		ours := strings.EqualFold(service, t.spn().PrincipalNameString())
		if !ours && service != "krbtgt/"+realm {
			continue
		}
		entry := ticket{key: c.Key, ends: c.EndTime, client: cache.GetClientPrincipalName(), realm: realm}
		if !entry.good() {
			expired = c.EndTime
			continue
		}
		if err := guarded(func() error { return entry.ticket.Unmarshal(c.Ticket) }); err != nil {
			return ticket{}, false, procedure.Refuse("OCTOPATCH_WINRM_KRB5_CCACHE", t.o.CCache+" has a ticket that cannot be read: "+err.Error(), "write it anew with kinit -c")
		}
		if ours {
			return entry, true, nil
		}
		found = entry
	}
	switch {
	case !found.ends.IsZero():
		return found, false, nil
	case !expired.IsZero():
		return ticket{}, false, &procedure.Fault{Kind: procedure.ErrDenied, Subject: "OCTOPATCH_WINRM_KRB5_CCACHE", Problem: fmt.Sprintf("the ticket in %s ends at %s", t.o.CCache, expired.UTC().Format("2006-01-02 15:04:05 MST")), Remedy: "renew it (kinit -c), or use OCTOPATCH_WINRM_KRB5_KEYTAB, which gets new ones by itself"}
	}
	return ticket{}, false, procedure.Refuse("OCTOPATCH_WINRM_KRB5_CCACHE", fmt.Sprintf("%s holds no ticket of realm %s", t.o.CCache, realm), "write it anew with kinit -c")
}
