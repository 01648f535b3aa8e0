package winrm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/go-ntlmssp"

	"github.com/octopatch/octopatch/internal/procedure"
)

// maxAnswer bounds one answer: the envelope that we allow is 150 KB, and base64 and a careless host add to it.
const maxAnswer = 4 << 20

// errDial: no connection, so nothing was sent.
var errDial = errors.New("no connection")

// transport posts messages over one authenticated connection.
type transport struct {
	o    Options
	http *http.Client
}

func newTransport(o Options) (*transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.ServerName}
	if len(o.CAPEM) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(o.CAPEM) {
			return nil, procedure.Refuse("OCTOPATCH_WINRM_CA_FILE", "holds no PEM certificate", "write the authority's certificate in PEM form into it")
		}
	}
	if config.ServerName == "" {
		config.ServerName = o.Host
	}
	// Go's own verification is replaced by verify, which says what it saw; nothing is left out there.
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error { return verify(o, config, state) }
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return &transport{o: o, http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{ // no Proxy: hosts are reached directly
			TLSClientConfig: config, MaxConnsPerHost: 1, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				if err != nil {
					return nil, fmt.Errorf("%w: %w", errDial, err)
				}
				return conn, nil
			},
		},
	}}, nil
}

func (t *transport) close() { t.http.CloseIdleConnections() }

// Fingerprint is the SHA-256 of a certificate as people compare it.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return strings.ToUpper(strings.ReplaceAll(fmt.Sprintf("% x", sum), " ", ":"))
}

// verify trusts the pinned certificate, or one that an authority vouches for.
func verify(o Options, config *tls.Config, state tls.ConnectionState) error {
	leaf := state.PeerCertificates[0]
	seen := Fingerprint(leaf)
	if o.Fingerprint != "" {
		if strings.EqualFold(strings.ReplaceAll(o.Fingerprint, ":", ""), strings.ReplaceAll(seen, ":", "")) {
			return nil
		}
		return procedure.Refuse("OCTOPATCH_WINRM_FINGERPRINT", fmt.Sprintf("expects another certificate than %s presents: %s", o.Host, seen), "find out why it changed; if it is the host's own, set the variable to this value")
	}
	if o.Insecure {
		return nil
	}
	rest := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		rest.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: config.ServerName, Roots: config.RootCAs, Intermediates: rest})
	if err == nil {
		return nil
	}
	return &procedure.Fault{Kind: procedure.ErrRefused, Subject: "OCTOPATCH_WINRM_FINGERPRINT", Problem: fmt.Sprintf("the certificate of %s is not trusted, its SHA-256 is %s", o.Host, seen), Cause: err,
		Remedy: "compare it with the host's own (Get-ChildItem WSMan:\\localhost\\Listener), then set OCTOPATCH_WINRM_FINGERPRINT to it or OCTOPATCH_WINRM_CA_FILE to its authority"}
}

// send posts one message and returns the text of a good answer. A connection that the host has closed is
// opened and authenticated anew.
func (t *transport) send(ctx context.Context, address, message string) (string, error) {
	if t.o.Auth == "basic" {
		return t.answer(t.request(ctx, address, message, func(r *http.Request) {
			r.SetBasicAuth(t.o.Username, t.o.Password.Reveal())
		}))
	}
	response, err := t.request(ctx, address, message, nil)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return t.answer(response, err)
	}
	return t.ntlm(ctx, address, message, response)
}

// ntlm authenticates the connection: it is asked for a challenge, and answered once. Anything but NTLM is
// never fallen back to, least of all Basic with the password in clear.
func (t *transport) ntlm(ctx context.Context, address, message string, response *http.Response) (string, error) {
	scheme := offered(response)
	drain(response)
	if scheme == "" {
		return "", t.denied("the host offers neither Negotiate nor NTLM")
	}
	hello, err := ntlmssp.NewNegotiateMessage("", "")
	if err != nil {
		return "", err
	}
	response, err = t.request(ctx, address, "", func(r *http.Request) { authorize(r, scheme, hello) })
	if err != nil {
		return "", err
	}
	challenge := token(response, scheme)
	drain(response)
	if response.StatusCode != http.StatusUnauthorized || challenge == nil {
		return "", t.denied("the host sends no NTLM challenge")
	}
	proof, err := ntlmssp.NewAuthenticateMessage(challenge, strings.TrimPrefix(t.o.Username, `.\`), t.o.Password.Reveal(), nil)
	if err != nil {
		return "", fmt.Errorf("the host's NTLM challenge cannot be answered: %w", err)
	}
	return t.answer(t.request(ctx, address, message, func(r *http.Request) { authorize(r, scheme, proof) }))
}

func (t *transport) request(ctx context.Context, address, message string, with func(*http.Request)) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(message))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/soap+xml;charset=UTF-8")
	r.Header.Set("User-Agent", "octopatch")
	if with != nil {
		with(r)
	}
	response, err := t.http.Do(r)
	var whole *url.Error
	if errors.As(err, &whole) {
		err = whole.Err // without the address, which the operator knows
	}
	return response, err
}

// answer reads a response: a SOAP body for 200, a typed fault for 500, words for the rest.
func (t *transport) answer(response *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer drain(response)
	if response.StatusCode == http.StatusUnauthorized {
		return "", t.denied("the host refuses the login")
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("the answer broke off: %w", err)
	case len(body) > maxAnswer:
		return "", fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	case bytes.Contains(body, []byte("Fault")):
		if fault := parseFault(body); fault != nil {
			return "", fault
		}
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("HTTP %d and no SOAP fault", response.StatusCode)
	}
	return string(body), nil
}

func (t *transport) denied(what string) error {
	return &procedure.Fault{Kind: procedure.ErrDenied, Subject: net.JoinHostPort(t.o.Host, fmt.Sprint(t.o.Port)), Problem: fmt.Sprintf("%s (user %s, %s)", what, t.o.Username, t.o.Auth),
		Remedy: "it is not tried again, so that no account is locked; check OCTOPATCH_WINRM_USERNAME and its password, and that the host's WinRM service allows " + t.o.Auth}
}

// offered is the scheme to use for NTLM, as the host spells it.
func offered(r *http.Response) string {
	for _, want := range []string{"Negotiate", "NTLM"} {
		for _, header := range r.Header.Values("Www-Authenticate") {
			if scheme, _, _ := strings.Cut(header, " "); strings.EqualFold(scheme, want) {
				return want
			}
		}
	}
	return ""
}

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

func authorize(r *http.Request, scheme string, message []byte) {
	r.Header.Set("Authorization", scheme+" "+base64.StdEncoding.EncodeToString(message))
}

// drain lets the connection be used again, which NTLM depends on.
func drain(r *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxAnswer))
	r.Body.Close()
}
