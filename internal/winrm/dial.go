package winrm

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// errDial: there was no connection that a message could have gone over.
var errDial = errors.New("no connection")

// noConnection is an error that says so once, however often it is passed on.
func noConnection(err error) error {
	if errors.Is(err, errDial) {
		return err
	}
	return fmt.Errorf("%w: %w", errDial, err)
}

// idleLimit closes a connection before http.sys does (120 s), so that no message is lost to one that is closing.
const idleLimit = 90 * time.Second

// check refuses options that cannot work, each with the setting that it comes from.
func (o *Options) check() error {
	kept := o.Auth == "kerberos" && (o.CCache != "" || o.Keytab != "") // instead of a password
	switch {
	case o.Auth != "ntlm" && o.Auth != "kerberos" && o.Auth != "basic":
		return procedure.Refuse("OCTOPATCH_WINRM_AUTH", fmt.Sprintf("is %q, which this version does not know", o.Auth), "set it to ntlm, kerberos or basic")
	case !o.TLS && o.Auth == "basic":
		return procedure.Refuse("OCTOPATCH_WINRM_TLS", "is false: basic over plain HTTP would send the password in clear", "enable the host's HTTPS listener (winrm quickconfig -transport:https), or set OCTOPATCH_WINRM_AUTH to ntlm or kerberos")
	case o.Host == "" || o.Port < 1 || o.Port > 65535:
		return procedure.Refuse("OCTOPATCH_NODES", fmt.Sprintf("gives no usable address: host %q, port %d", o.Host, o.Port), "write NAME=host or NAME=host:port")
	case o.Username == "" && o.CCache == "":
		return procedure.Refuse("OCTOPATCH_WINRM_USERNAME", "is not set", "set it to an account that is a local administrator of the host")
	case o.Password.IsZero() && !kept:
		return procedure.Refuse("OCTOPATCH_WINRM_PASSWORD", "is not set", "set it, or OCTOPATCH_WINRM_PASSWORD_FILE")
	}
	if raw, err := hex.DecodeString(plain(o.Fingerprint)); err != nil || len(raw) != 0 && len(raw) != sha256.Size {
		return procedure.Refuse("OCTOPATCH_WINRM_FINGERPRINT", fmt.Sprintf("%q is no SHA-256 fingerprint", o.Fingerprint), "give 64 hexadecimal digits, with or without colons; the thumbprint that Windows shows is SHA-1")
	}
	return nil
}

// dialer makes connections that are trusted before anything is sent over them.
type dialer struct {
	o      Options
	config *tls.Config
}

func newDialer(o Options) (*dialer, error) {
	d := &dialer{o: o, config: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.ServerName}}
	if o.ServerName == "" {
		d.config.ServerName = o.Host
	}
	if len(o.CAPEM) > 0 {
		d.config.RootCAs = x509.NewCertPool()
		if !d.config.RootCAs.AppendCertsFromPEM(o.CAPEM) {
			return nil, procedure.Refuse("OCTOPATCH_WINRM_CA_FILE", "holds no PEM certificate", "write the authority's certificate in PEM form into it")
		}
	}
	// Go's own verification is replaced by verify, which says what it saw; nothing is left out there.
	d.config.InsecureSkipVerify = true
	d.config.VerifyConnection = d.verify
	return d, nil
}

// transport makes room for one connection. There is no Proxy: hosts are reached directly.
func (d *dialer) transport() *http.Transport {
	return &http.Transport{
		TLSClientConfig: d.config, MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1, DisableCompression: true,
		IdleConnTimeout: max(d.o.Clock.Wall(idleLimit), leastWall),
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if d.o.Dial != nil {
				return d.o.Dial(ctx, network, address)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
}

// Fingerprint is the SHA-256 of a certificate as people compare it.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return strings.ToUpper(strings.ReplaceAll(fmt.Sprintf("% x", sum), " ", ":"))
}

// plain is a fingerprint without what people write it with.
func plain(fingerprint string) string {
	return strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(fingerprint))
}

// verify trusts the pinned certificate, or one that an authority vouches for.
func (d *dialer) verify(state tls.ConnectionState) error {
	leaf := state.PeerCertificates[0]
	seen := Fingerprint(leaf)
	switch {
	case d.o.Fingerprint != "" && plain(d.o.Fingerprint) == plain(seen):
		return nil
	case d.o.Fingerprint != "":
		return procedure.Refuse("OCTOPATCH_WINRM_FINGERPRINT", fmt.Sprintf("expects %s, and %s presents %s", d.o.Fingerprint, d.o.address(), seen),
			"find out why the certificate changed; if it is the host's own, set the variable to it")
	case d.o.Insecure:
		return nil
	}
	rest := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		rest.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: d.config.ServerName, Roots: d.config.RootCAs, Intermediates: rest})
	if err == nil {
		return nil
	}
	return &procedure.Fault{Kind: procedure.ErrRefused, Subject: "OCTOPATCH_WINRM_FINGERPRINT", Problem: fmt.Sprintf("the certificate of %s is not trusted, its SHA-256 is %s", d.o.address(), seen), Cause: err,
		Remedy: "compare it with the host's own (winrm enumerate winrm/config/listener names it by its SHA-1), then set OCTOPATCH_WINRM_FINGERPRINT to it or OCTOPATCH_WINRM_CA_FILE to its authority"}
}
