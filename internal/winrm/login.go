package winrm

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// login proves who we are on one connection.
type login interface {
	// schemes are the two names under which HTTP knows it, the better one first.
	schemes() []string
	// hello is the token that asks for a challenge; nil when nothing but the host's offer is asked for.
	hello() ([]byte, error)
	// prove is the token that proves the account, bound to the TLS connection where there is one.
	prove(ctx context.Context, scheme string, challenge, binding []byte) ([]byte, error)
	// confirm reads the host's last token and returns the context that seals messages.
	confirm(token []byte) (sealer, error)
}

// greet says hello without a message: what the host answers to is the scheme, and its challenge belongs to the
// connection. A hello proves nothing and counts for no login.
func (l *lane) greet(ctx context.Context, g login) (scheme string, challenge []byte, on net.Conn, err error) {
	hello, err := g.hello()
	if err != nil {
		return "", nil, nil, noConnection(err)
	}
	schemes, offered := g.schemes(), ""
	for _, scheme := range schemes {
		r, conn, err := l.request(ctx, soapType, nil, authorization(scheme, hello))
		if err != nil {
			return "", nil, nil, noConnection(err)
		}
		challenge, offered = token(r, scheme), offers(r)
		drain(r)
		switch {
		case r.StatusCode != http.StatusUnauthorized:
			return "", nil, nil, fmt.Errorf("%w: HTTP %d in answer to the login", errDial, r.StatusCode)
		case hello == nil: // one question is enough
			for _, s := range schemes {
				if names(offered, s) {
					return s, nil, conn, nil
				}
			}
			return "", nil, nil, l.denied("offers neither "+strings.Join(schemes, " nor ")+" to", offered)
		case challenge != nil:
			return scheme, challenge, conn, nil
		case !names(offered, schemes[1]):
			return "", nil, nil, l.denied("has no challenge for", offered)
		}
	}
	return "", nil, nil, l.denied("has no challenge for", offered)
}

// login proves the account, and sends the message with the proof unless messages are to be sealed: then the
// keys must be there first. One call sends at most one proof, and there is no other way in that it would fall
// back to, least of all Basic.
func (l *lane) login(ctx context.Context, message string) (*http.Response, error) {
	l.forget()
	g := l.newLogin()
	scheme, challenge, asked, err := l.greet(ctx, g)
	if err != nil {
		return nil, err
	}
	proof, err := g.prove(ctx, scheme, challenge, binding(asked))
	if err != nil {
		return nil, fmt.Errorf("%w: the login cannot be made: %w", errDial, err)
	}
	first := []byte(message)
	if !l.o.TLS {
		first = nil
	}
	r, conn, err := l.request(ctx, soapType, first, authorization(scheme, proof))
	switch {
	case err != nil && !l.o.TLS: // it carried no message
		return nil, noConnection(err)
	case err != nil:
		return nil, err
	case r.StatusCode == http.StatusUnauthorized && conn != asked:
		drain(r)
		return nil, fmt.Errorf("%w: the host closed it in the middle of the login", errDial)
	case r.StatusCode == http.StatusUnauthorized:
		return r, nil
	}
	last := token(r, scheme)
	if l.o.TLS {
		if last != nil { // with TLS the host has proved itself already, but what it says must not be wrong
			if _, err := g.confirm(last); err != nil {
				drain(r)
				return nil, err
			}
		}
		l.proved = conn
		return r, nil
	}
	drain(r)
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: HTTP %d in answer to the login", errDial, r.StatusCode)
	}
	keys, err := g.confirm(last)
	if err != nil {
		return nil, fmt.Errorf("%w: the login: %w", errDial, err)
	}
	l.proved, l.keys, l.protocol = conn, keys, protocolFor(scheme)
	return nil, nil
}

func (l *lane) newLogin() login {
	if l.o.Auth == "kerberos" {
		return &kerberosLogin{tickets: l.tickets}
	}
	return newNTLM(l.o)
}

// binding is the tls-server-end-point of RFC 5929, which ties the login to the certificate that we saw, so that
// nobody in between can pass it on; nil without TLS.
func binding(conn net.Conn) []byte {
	t, ok := conn.(*tls.Conn)
	if !ok || len(t.ConnectionState().PeerCertificates) == 0 {
		return nil
	}
	cert := t.ConnectionState().PeerCertificates[0]
	hash := crypto.SHA256 // also in place of MD5 and SHA-1, as the RFC says
	switch cert.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write(cert.Raw)
	return append([]byte("tls-server-end-point:"), h.Sum(nil)...)
}

// denied lists what a 401 can mean, for the host does not say which.
func (l *lane) denied(what, offered string) error {
	reasons, remedy := "a wrong name or password, a locked or disabled account", "OCTOPATCH_WINRM_USERNAME, OCTOPATCH_WINRM_PASSWORD and OCTOPATCH_WINRM_AUTH"
	switch l.o.Auth {
	case "basic":
		reasons += ", an account of a domain (basic takes only the host's own), or Basic disabled on the host (winrm get winrm/config/service/auth)"
	case "kerberos":
		reasons = "a ticket for another computer than this one (the name in OCTOPATCH_NODES or OCTOPATCH_WINRM_SERVER_NAME must be the host's own), clocks that differ by more than 5 minutes, " +
			"a strict CbtHardeningLevel, or Negotiate and Kerberos disabled on the host (winrm get winrm/config/service/auth)"
		remedy = "OCTOPATCH_NODES, the clocks and OCTOPATCH_WINRM_AUTH"
	default:
		reasons += ", Negotiate disabled on the host (winrm get winrm/config/service/auth), a policy that restricts NTLM, or a strict CbtHardeningLevel"
	}
	if offered != "" {
		reasons += "; the host offers " + offered
	}
	who := l.o.Username
	if who == "" {
		who = "the ticket's account"
	}
	return &procedure.Fault{Kind: procedure.ErrDenied, Subject: l.o.address(), Problem: fmt.Sprintf("the host %s %s by %s: %s", what, who, l.o.Auth, reasons),
		Remedy: "it is not tried again, so that no account is locked; check " + remedy}
}

// authorization is the header that carries a token; none where there is none.
func authorization(scheme string, message []byte) string {
	if message == nil {
		return ""
	}
	return scheme + " " + base64.StdEncoding.EncodeToString(message)
}

// offers names the schemes that the host offers.
func offers(r *http.Response) string {
	var list []string
	for _, header := range r.Header.Values("Www-Authenticate") {
		scheme, _, _ := strings.Cut(header, " ")
		list = append(list, scheme)
	}
	return strings.Join(list, ", ")
}

// names: the scheme is among what offers returned.
func names(offered, scheme string) bool {
	for name := range strings.SplitSeq(offered, ", ") {
		if strings.EqualFold(name, scheme) {
			return true
		}
	}
	return false
}

// token is what the host says by the scheme; nil when it says nothing.
func token(r *http.Response, scheme string) []byte {
	for _, header := range r.Header.Values("Www-Authenticate") {
		if name, value, ok := strings.Cut(header, " "); ok && strings.EqualFold(name, scheme) {
			if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value)); err == nil && len(raw) > 0 {
				return raw
			}
		}
	}
	return nil
}
