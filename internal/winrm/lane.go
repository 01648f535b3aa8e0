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
)

// maxBody bounds one answer: the envelope that we allow is 150 KB, and a careless host may add to it.
const maxBody = 4 << 20

// lane is one connection at a time, and what is proved on it. Its requests take turns.
type lane struct {
	o       Options
	url     string
	http    *http.Transport
	tickets *tickets
	// proved is the connection that has logged in: NTLM and Kerberos prove a connection and not a message.
	proved net.Conn
	// Where there is no TLS, the keys that belong to that connection, and the name of what is done with them.
	keys     sealer
	protocol string
}

func newLane(d *dialer, url string, t *tickets) *lane {
	return &lane{o: d.o, url: url, http: d.transport(), tickets: t}
}

func (l *lane) close() { l.http.CloseIdleConnections() }

// forget ends the connection that was proved: a host that knows us there would ask for no new login.
func (l *lane) forget() {
	if l.proved != nil {
		l.proved.Close()
	}
	l.proved, l.keys = nil, nil
}

// post sends one message and returns the body of a good answer; a SOAP fault is a *Fault.
func (l *lane) post(ctx context.Context, message string) ([]byte, error) {
	if l.o.Auth == "basic" {
		login := base64.StdEncoding.EncodeToString([]byte(strings.TrimPrefix(l.o.Username, `.\`) + ":" + l.o.Password.Reveal()))
		r, _, err := l.request(ctx, soapType, []byte(message), "Basic "+login) //nolint:bodyclose // read drains and closes it
		return l.read(r, err)
	}
	if l.proved != nil {
		r, _, err := l.again(ctx, message) //nolint:bodyclose // read drains and closes it
		if err != nil || r.StatusCode != http.StatusUnauthorized {
			return l.read(r, err)
		}
		// It went over a new connection, or the host forgets: either way the message was turned away.
		drain(r)
	}
	r, err := l.login(ctx, message) //nolint:bodyclose // read drains and closes it
	if err == nil && r == nil {     // the keys are there, the message was not sent yet
		var on net.Conn
		r, on, err = l.again(ctx, message) //nolint:bodyclose // read drains and closes it
		if err == nil && r.StatusCode == http.StatusUnauthorized && on != l.proved {
			drain(r)
			l.forget()
			return nil, fmt.Errorf("%w: the host closed it right after the login", errDial)
		}
	}
	return l.read(r, err)
}

// again sends a message over the connection that is proved. Without TLS there is no way from here to the wire
// but through the keys.
func (l *lane) again(ctx context.Context, message string) (*http.Response, net.Conn, error) {
	if l.o.TLS {
		return l.request(ctx, soapType, []byte(message), "")
	}
	sealed, err := sealMessage(l.keys, l.protocol, []byte(message))
	if err != nil {
		return nil, nil, noConnection(err)
	}
	r, conn, err := l.request(ctx, sealedType(l.protocol), sealed, "")
	if err != nil {
		l.forget() // what the host has seen of it is not known, so the order is not either
	}
	return r, conn, err
}

// request sends one HTTP request and says over which connection. Without a connection the error is an errDial:
// nothing was sent.
func (l *lane) request(ctx context.Context, kind string, body []byte, authorization string) (*http.Response, net.Conn, error) {
	var conn net.Conn
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { conn = nil }, // again when a kept connection turned out to be closed before it was used
		GotConn: func(i httptrace.GotConnInfo) { conn = i.Conn },
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, noConnection(err)
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("User-Agent", "octopatch")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	response, err := l.http.RoundTrip(r) // no redirects, no cookies
	if err != nil && conn == nil {
		err = noConnection(err)
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
		l.forget()
		if l.tickets != nil {
			l.tickets.drop()
		}
		return nil, l.denied("refuses the login of", offers(r))
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer broke off: %w", err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("%w: it is larger than %d bytes", errAnswer, maxBody)
	}
	if l.keys != nil {
		if body, err = l.unseal(r, body); err != nil {
			return nil, err
		}
	}
	if r.StatusCode != http.StatusOK || bytes.Contains(body, []byte("Fault")) { // else it is output, and may be large
		if fault := parseFault(body); fault != nil {
			return nil, fault
		}
	}
	if err := r.Request.Context().Err(); err != nil { // a host that hears us hang up may end its answer in due form
		return nil, err
	}
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d without a SOAP fault", r.StatusCode)
	}
	return body, nil
}

// unseal opens the answer to a sealed message. What says something and is not sealed is not believed, whatever
// it says; a status without a SOAP body, as a service gives that is on its way up or down, is only a status.
func (l *lane) unseal(r *http.Response, body []byte) ([]byte, error) {
	kind := r.Header.Get("Content-Type")
	if !strings.HasPrefix(strings.ToLower(kind), "multipart/encrypted") {
		if r.StatusCode != http.StatusOK && r.StatusCode != http.StatusInternalServerError {
			return nil, nil
		}
		return nil, fmt.Errorf("%w: HTTP %d with %q", errSealed, r.StatusCode, kind)
	}
	plain, err := openMessage(l.keys, body)
	if err != nil {
		l.forget()
	}
	return plain, err
}

// drain lets the connection be used again, which NTLM depends on.
func drain(r *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxBody))
	r.Body.Close()
}
