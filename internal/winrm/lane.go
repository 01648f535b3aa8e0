package winrm

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"

	"github.com/Azure/go-ntlmssp"

	"github.com/octopatch/octopatch/internal/procedure"
)

// maxBody bounds one answer: the envelope that we allow is 150 KB, and a careless host may add to it.
const maxBody = 4 << 20

// lane is one connection at a time, and what is proved on it. Its requests take turns.
type lane struct {
	o    Options
	url  string
	http *http.Transport
	// proved is the connection that has logged in with NTLM, which proves a connection and not a message.
	proved net.Conn
}

func newLane(d *dialer, url string) *lane { return &lane{o: d.o, url: url, http: d.transport()} }

func (l *lane) close() { l.http.CloseIdleConnections() }

// post sends one message and returns the body of a good answer; a SOAP fault is a *Fault.
func (l *lane) post(ctx context.Context, message string) ([]byte, error) {
	if l.o.Auth == "basic" {
		login := base64.StdEncoding.EncodeToString([]byte(l.account() + ":" + l.o.Password.Reveal()))
		r, _, err := l.request(ctx, message, "Basic "+login) //nolint:bodyclose // read drains and closes it
		return l.read(r, err)
	}
	return l.ntlm(ctx, message)
}

// account is the user name without the ".\" that means this computer and that only Windows' own dialogs read.
func (l *lane) account() string { return strings.TrimPrefix(l.o.Username, `.\`) }

// ntlm sends the message on a connection that has proved the account, or proves it first: hello, challenge,
// proof, the latter with the message. One call sends at most one proof, and there is no other way in that it
// would fall back to, least of all Basic.
func (l *lane) ntlm(ctx context.Context, message string) ([]byte, error) {
	if l.proved != nil {
		r, _, err := l.request(ctx, message, "")
		if err != nil || r.StatusCode != http.StatusUnauthorized {
			return l.read(r, err)
		}
		// It went over a new connection, or the host forgets: either way the message was turned away.
		l.proved = nil
		drain(r)
	}
	scheme, challenge, asked, err := l.challenge(ctx)
	if err != nil {
		return nil, err
	}
	proof, err := ntlmssp.NewAuthenticateMessage(challenge, l.account(), l.o.Password.Reveal(), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: the host's NTLM challenge cannot be answered: %w", errDial, err)
	}
	r, conn, err := l.request(ctx, message, authorization(scheme, proof))
	if err == nil && conn != asked && r.StatusCode == http.StatusUnauthorized {
		drain(r)
		return nil, fmt.Errorf("%w: the host closed it in the middle of the login", errDial)
	}
	if err == nil && r.StatusCode != http.StatusUnauthorized {
		l.proved = conn
	}
	return l.read(r, err)
}

// challenge says hello without a message, and gets the host's challenge for this connection. Negotiate is what
// WinRM offers; bare NTLM is taken where it is all that is offered. A hello proves nothing and counts for no
// login.
func (l *lane) challenge(ctx context.Context) (string, []byte, net.Conn, error) {
	hello, err := ntlmssp.NewNegotiateMessage("", "")
	if err != nil {
		return "", nil, nil, err
	}
	for _, scheme := range []string{"Negotiate", "NTLM"} {
		r, conn, err := l.request(ctx, "", authorization(scheme, hello))
		if err != nil {
			return "", nil, nil, fmt.Errorf("%w: %w", errDial, err)
		}
		if r.StatusCode != http.StatusUnauthorized {
			drain(r)
			return "", nil, nil, fmt.Errorf("%w: HTTP %d in answer to the login", errDial, r.StatusCode)
		}
		challenge := token(r, scheme)
		offered := offers(r)
		drain(r)
		if challenge != nil {
			return scheme, challenge, conn, nil
		}
		if !strings.Contains(offered, "NTLM") {
			return "", nil, nil, l.denied("has no NTLM challenge for", offered)
		}
	}
	return "", nil, nil, l.denied("has no NTLM challenge for", "")
}

// request sends one HTTP request and says over which connection. Without a connection the error is an errDial:
// nothing was sent.
func (l *lane) request(ctx context.Context, message, authorization string) (*http.Response, net.Conn, error) {
	var conn net.Conn
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { conn = nil }, // again when a kept connection turned out to be closed before it was used
		GotConn: func(i httptrace.GotConnInfo) { conn = i.Conn },
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, strings.NewReader(message))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errDial, err)
	}
	r.Header.Set("Content-Type", "application/soap+xml;charset=UTF-8")
	r.Header.Set("User-Agent", "octopatch")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	response, err := l.http.RoundTrip(r) // no redirects, no cookies
	if err != nil && conn == nil {
		err = fmt.Errorf("%w: %w", errDial, err)
	}
	return response, conn, err
}

// read reads a response: a SOAP body for 200, a typed fault for another status that has one, words for the rest.
func (l *lane) read(r *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer drain(r)
	if r.StatusCode == http.StatusUnauthorized {
		return nil, l.denied("refuses the login of", offers(r))
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer broke off: %w", err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("%w: it is larger than %d bytes", errAnswer, maxBody)
	}
	if r.StatusCode != http.StatusOK || bytes.Contains(body, []byte("Fault")) { // else it is output, and may be large
		if fault := parseFault(body); fault != nil {
			return nil, fault
		}
	}
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d without a SOAP fault", r.StatusCode)
	}
	return body, nil
}

// denied lists what a 401 can mean, for the host does not say which.
func (l *lane) denied(what, offered string) error {
	reasons := "a wrong name or password, a locked or disabled account"
	if l.o.Auth == "basic" {
		reasons += ", an account of a domain (basic takes only the host's own), or Basic disabled on the host (winrm get winrm/config/service/auth)"
	} else {
		reasons += ", Negotiate disabled on the host (winrm get winrm/config/service/auth), a policy that restricts NTLM, or a strict CbtHardeningLevel"
	}
	if offered != "" {
		reasons += "; the host offers " + offered
	}
	return &procedure.Fault{Kind: procedure.ErrDenied, Subject: l.o.address(), Problem: fmt.Sprintf("the host %s %s by %s: %s", what, l.o.Username, l.o.Auth, reasons),
		Remedy: "it is not tried again, so that no account is locked; check OCTOPATCH_WINRM_USERNAME, OCTOPATCH_WINRM_PASSWORD and OCTOPATCH_WINRM_AUTH"}
}

func authorization(scheme string, message []byte) string {
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

// drain lets the connection be used again, which NTLM depends on.
func drain(r *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxBody))
	r.Body.Close()
}
