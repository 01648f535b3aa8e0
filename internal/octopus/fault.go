package octopus

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/go-resty/resty/v2"

	"github.com/octopatch/octopatch/internal/procedure"
)

// fault is about one call; the remedy is filled in where none is given.
func (c *Client) fault(kind error, q call, problem, remedy string, cause error) *procedure.Fault {
	if remedy == "" {
		remedy = "check that " + c.at.setting + " is right and that Octopus Server runs"
	}
	return &procedure.Fault{Kind: kind, Subject: c.at.url, Problem: q.String() + " " + problem, Remedy: remedy, Cause: cause}
}

func (c *Client) noToken(err error) *procedure.Fault {
	if f, ok := errors.AsType[*procedure.Fault](err); ok {
		return f
	}
	return &procedure.Fault{Kind: procedure.ErrUnreachable, Subject: settingToken, Problem: "no access token could be had", Remedy: "check where the access token comes from", Cause: err}
}

// unanswered judges an attempt that brought no status: a change that may have left is asked for afterwards.
func (c *Client) unanswered(ctx context.Context, q call, err error, sent bool, limit time.Duration) outcome {
	kind, remedy := procedure.ErrUnreachable, ""
	if q.change() && sent {
		kind, remedy = procedure.ErrNoReply, askAgain
	}
	if ctx.Err() != nil { // ended by the caller, who asks for the cause
		if errors.Is(kind, procedure.ErrUnreachable) {
			kind = nil
		}
		return outcome{fault: c.fault(kind, q, "was given up", "run the command again", context.Cause(ctx))}
	}
	if !sent {
		if problem, remedy := c.untrusted(err); problem != "" {
			return outcome{fault: c.fault(procedure.ErrUnreachable, q, problem, remedy, nil)}
		}
	}
	dns, _ := errors.AsType[*net.DNSError](err)
	problem := "was not answered: " + c.words(q, err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		problem = fmt.Sprintf("was not answered within %s", limit)
	case dns != nil:
		problem = "found no address for " + dns.Name
	case !sent:
		problem = "did not reach the server: " + c.words(q, err)
	}
	return outcome{fault: c.fault(kind, q, problem, remedy, nil), again: dns == nil || !dns.IsNotFound}
}

const askAgain = "whether it took effect is asked afterwards; look at the server and at what lies between"

// brokenOff judges an attempt whose answer began and did not end.
func (c *Client) brokenOff(ctx context.Context, q call, status int, err error, limit time.Duration) outcome {
	problem := fmt.Sprintf("was answered with status %d and the answer broke off", status)
	switch {
	case errors.Is(err, resty.ErrResponseBodyTooLarge):
		return outcome{fault: c.fault(procedure.ErrUnreadable, q, fmt.Sprintf("was answered with more than %d MB", bodyLimit>>20), "", nil)}
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return outcome{fault: c.denied(q, status, "")}
	case ctx.Err() != nil && q.change():
		return outcome{fault: c.fault(procedure.ErrNoReply, q, problem, askAgain, context.Cause(ctx))}
	case ctx.Err() != nil:
		return outcome{fault: c.fault(nil, q, "was given up", "run the command again", context.Cause(ctx))}
	case errors.Is(err, context.DeadlineExceeded):
		problem = fmt.Sprintf("was answered with status %d and the answer did not end within %s", status, limit)
	}
	if q.change() {
		return outcome{fault: c.fault(procedure.ErrNoReply, q, problem, askAgain, nil)}
	}
	return outcome{fault: c.fault(procedure.ErrUnreadable, q, problem, "", nil), again: true}
}

// refused judges a status that is no success.
func (c *Client) refused(q call, a answer) outcome {
	said, theirs := c.said(q, a)
	problem := fmt.Sprintf("was answered with status %d", a.status)
	switch {
	case said != "":
		problem += ": " + said
	case !theirs && len(a.body) > 0 && a.status != http.StatusServiceUnavailable: // while starting it shows a page
		problem += " and " + describe(a)
	}
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return outcome{fault: c.denied(q, a.status, said)}
	case a.status == http.StatusTooManyRequests:
		return outcome{fault: c.fault(procedure.ErrUnreachable, q, "was turned away: too many requests", "look at Octopus' rate limits, and at who else uses this account", nil),
			throttled: c.retryAfter(a.header)}
	case a.status/100 == 3:
		return outcome{fault: c.redirected(q, a)}
	case a.status >= 500 && q.change():
		return outcome{fault: c.fault(procedure.ErrNoReply, q, problem, askAgain, nil)}
	case a.status == http.StatusBadGateway || a.status == http.StatusServiceUnavailable || a.status == http.StatusGatewayTimeout:
		return outcome{fault: c.fault(procedure.ErrUnreachable, q, problem, "wait until Octopus Server has started, and look at the load balancer", nil), again: true}
	case a.status == http.StatusConflict || a.status == http.StatusRequestTimeout:
		return outcome{fault: c.fault(procedure.ErrUnreachable, q, problem, "somebody else may be changing the same; look at Octopus' audit log", nil)}
	case a.status >= 500 || !theirs:
		return outcome{fault: c.fault(procedure.ErrUnreadable, q, problem, "", nil)}
	}
	return outcome{fault: c.fault(nil, q, problem, "look at Octopus Server's log", nil)}
}

func (c *Client) denied(q call, status int, said string) *procedure.Fault {
	problem := fmt.Sprintf("is denied (status %d)", status)
	if said != "" {
		problem += ": " + said
	}
	setting := c.login.setting()
	remedy := "the account of " + setting + " needs AdministerSystem, which the System Administrator role grants"
	if status == http.StatusUnauthorized {
		remedy = "check " + setting + ": it may be wrong, expired or of a disabled user; " + remedy
	}
	if ends, err := TokenExpiry(q.sent); err == nil && ends.Before(c.clock.Now()) {
		problem += ", and the access token ended at " + ends.UTC().Format(time.RFC3339)
	}
	return c.fault(procedure.ErrDenied, q, problem, remedy, nil)
}

func (c *Client) redirected(q call, a answer) *procedure.Fault {
	target, remedy := "another address", ""
	base, err := url.Parse(c.at.url + q.path)
	if to, toErr := url.Parse(a.header.Get("Location")); err == nil && toErr == nil {
		to = base.ResolveReference(to)
		target = c.clean(q, to.Scheme+"://"+to.Host)
		if strings.EqualFold(to.Hostname(), base.Hostname()) {
			remedy = "set " + c.at.setting + " to the address that Octopus Server itself answers at"
		}
	}
	if remedy == "" {
		remedy = "a redirect is not followed, for the key would go there too; set " + c.at.setting + " to the address that Octopus Server itself answers at"
	}
	return c.fault(procedure.ErrUnreachable, q, fmt.Sprintf("is redirected (status %d) to %s", a.status, target), remedy, nil)
}

// said is Octopus' own message, and whether the answer is Octopus' at all. Nothing else of a body is shown.
func (c *Client) said(q call, a answer) (text string, theirs bool) {
	var shape struct{ ErrorMessage *string }
	if json.Unmarshal(a.body, &shape) == nil && shape.ErrorMessage != nil {
		return c.clean(q, *shape.ErrorMessage), true
	}
	return "", false
}

// untrusted explains why no TLS connection came about, or is empty when that is not the reason.
func (c *Client) untrusted(err error) (problem, remedy string) {
	thumb := ""
	if v, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(v.UnverifiedCertificates) > 0 {
		thumb = fmt.Sprintf(" (SHA-256 fingerprint %x)", sha256.Sum256(v.UnverifiedCertificates[0].Raw))
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "met a certificate" + thumb + " of an authority that is not trusted here", "give the authority's certificate in " + settingCA
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return "met a certificate" + thumb + " that is not for " + e.Host, "write " + c.at.setting + " with a name that is in the certificate"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return "met a certificate" + thumb + " that is expired or not yet valid", "renew the certificate, or set this machine's clock right"
	}
	if thumb != "" {
		return "met a certificate" + thumb + " that is not trusted here", "give its authority's certificate in " + settingCA
	}
	_, record := errors.AsType[tls.RecordHeaderError](err)
	if record || errors.Is(err, http.ErrSchemeMismatch) {
		return "met a server that speaks no TLS at this port", "write " + c.at.setting + " with http:// or with the port of https"
	}
	return "", ""
}

// words is the innermost useful text of a transport error.
func (c *Client) words(q call, err error) string {
	if err == nil {
		return "no answer"
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if strings.Contains(err.Error(), "proxy address") { // the text would repeat the proxy's password
		return "the proxy's address in the environment cannot be read"
	}
	return c.clean(q, err.Error())
}

// clean makes a text from elsewhere fit for one line of a log: short, printable, without our key.
func (c *Client) clean(q call, text string) string {
	for _, s := range []string{q.sent.Reveal(), c.login.key.Reveal()} {
		if s != "" {
			text = strings.ReplaceAll(text, s, "[redacted]")
		}
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, " "))
	text = strings.Trim(strings.Join(strings.Fields(text), " "), ". ")
	const most = 300
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return text
}
