package octopus

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

const settingAccount = "OCTOPATCH_SERVICE_ACCOUNT_ID"

// early is how long before its end an access token is renewed: longer than a request may take with its repeats.
const early = 2 * time.Minute

// exchange hands out access tokens that Octopus gives for ID tokens, each until shortly before its end. A new one
// is had when a request needs it and not before, so none is asked for while the only server is stopped.
type exchange struct {
	client  *Client
	account string
	idToken func(context.Context, string) (secret.Secret, error)
	found   func(secret.Secret)
	turn    chan struct{} // one exchange at a time; a channel, so that waiting for it ends with the context
	token   secret.Secret
	ends    time.Time
}

func newExchange(c *Client, o Options) *exchange {
	x := &exchange{client: c, account: o.ServiceAccount, idToken: o.IDToken, found: o.Found, turn: make(chan struct{}, 1)}
	if ends, err := TokenExpiry(o.Token); err == nil {
		x.token, x.ends = o.Token, ends
	}
	return x
}

// access is the token for one request.
func (x *exchange) access(ctx context.Context) (secret.Secret, error) {
	select {
	case x.turn <- struct{}{}:
	case <-ctx.Done():
		return secret.Secret{}, context.Cause(ctx)
	}
	defer func() { <-x.turn }()
	now := x.client.clock.Now()
	if now.Before(x.ends.Add(-early)) {
		return x.token, nil
	}
	token, ends, err := x.renew(ctx)
	switch {
	case err == nil:
		x.token, x.ends = token, ends
	case !now.Before(x.ends):
		return secret.Secret{}, err
	}
	return x.token, nil // the old one is good for this request all the same
}

// renew asks GitHub who we are, and shows that to Octopus.
func (x *exchange) renew(ctx context.Context) (secret.Secret, time.Time, error) {
	asked := x.client.clock.Now()
	id, err := x.idToken(ctx, x.account)
	if err != nil {
		return secret.Secret{}, time.Time{}, &procedure.Fault{Kind: procedure.ErrUnreachable, Subject: settingAccount, Problem: "no ID token could be had", Cause: err, Remedy: "give the job the permission id-token: write"}
	}
	endpoint, err := x.endpoint(ctx)
	if err != nil {
		return secret.Secret{}, time.Time{}, err
	}
	resp, err := x.client.api.R().SetContext(ctx).SetHeader("Content-Type", "application/json").SetBody(map[string]string{
		"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": x.account,
		"subject_token": id.Reveal(), "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
	}).Post(endpoint)
	if resp == nil || resp.RawResponse == nil || err != nil {
		return secret.Secret{}, time.Time{}, x.fault(procedure.ErrUnreachable, "was not answered: "+x.client.words(call{sent: id}, err), "")
	}
	return x.read(id, resp.StatusCode(), resp.Body(), asked)
}

// endpoint is where Octopus exchanges tokens. It is asked for each time: versions differ in where that is. Only the
// host that OCTOPUS_URL names is shown an ID token, for whoever holds one is this job.
func (x *exchange) endpoint(ctx context.Context) (string, error) {
	const path = "/.well-known/openid-configuration" // not below /api
	o := x.client.attempt(ctx, call{path: path, open: true})
	if o.fault != nil {
		return "", o.fault
	}
	var found struct {
		Endpoint string `json:"token_endpoint"`
	}
	if json.Unmarshal(o.answer.body, &found) != nil || found.Endpoint == "" {
		return "", x.fault(procedure.ErrUnreadable, "names no token_endpoint at "+path, "use a version of Octopus Server with OpenID Connect, or "+settingKey)
	}
	u, err := url.Parse(found.Endpoint)
	base, baseErr := url.Parse(x.client.at.url)
	if err != nil || baseErr != nil || !strings.EqualFold(u.Hostname(), base.Hostname()) || u.Scheme != "https" && (u.Scheme != base.Scheme || u.Host != base.Host) {
		elsewhere := x.client.clean(call{}, fmt.Sprintf("names a token_endpoint that is not at that address, and is shown no ID token: %q", found.Endpoint))
		return "", x.fault(procedure.ErrUnreadable, elsewhere, "set "+x.client.at.setting+" to the address that Octopus Server calls itself by, correct that one in Configuration > Nodes, or use "+settingKey)
	}
	return found.Endpoint, nil
}

// read takes the answer: access_token and expires_in, which old servers write as text.
func (x *exchange) read(id secret.Secret, status int, body []byte, asked time.Time) (secret.Secret, time.Time, error) {
	var got struct {
		Token       string          `json:"access_token"`
		Expires     json.RawMessage `json:"expires_in"`
		Problem     string          `json:"error"`
		Description string          `json:"error_description"`
		Message     string          `json:"ErrorMessage"` // of older servers
	}
	err := json.Unmarshal(body, &got)
	switch {
	case status/100 == 5:
		return secret.Secret{}, time.Time{}, x.fault(procedure.ErrUnreachable, fmt.Sprintf("answered with status %d", status), "wait until Octopus Server has started")
	case status/100 != 2:
		said := x.client.clean(call{sent: id}, strings.TrimSpace(got.Problem+" "+got.Description+got.Message))
		return secret.Secret{}, time.Time{}, x.fault(procedure.ErrDenied, fmt.Sprintf("refused the ID token (status %d): %s", status, said),
			"give the service account an OIDC identity with the issuer and the subject of this job, "+x.client.clean(call{sent: id}, bearer(id)))
	case err != nil || got.Token == "" || !printable(secret.New(got.Token)):
		return secret.Secret{}, time.Time{}, x.fault(procedure.ErrUnreadable, "answered with no access token", "")
	}
	token := secret.New(got.Token)
	ends, err := TokenExpiry(token)
	if seconds, parsed := strconv.ParseFloat(strings.Trim(string(got.Expires), `"`), 64); parsed == nil && seconds > 0 && seconds < 1e8 {
		if until := asked.Add(time.Duration(seconds * float64(time.Second))); err != nil || until.Before(ends) {
			ends, err = until, nil
		}
	}
	if err != nil {
		return secret.Secret{}, time.Time{}, x.fault(procedure.ErrUnreadable, "does not say when its access token ends", "")
	}
	if x.found != nil {
		x.found(token)
	}
	return token, ends, nil
}

func (x *exchange) fault(kind error, problem, remedy string) error {
	if remedy == "" {
		remedy = "look at Octopus Server's log"
	}
	return &procedure.Fault{Kind: kind, Subject: settingAccount, Problem: "the token endpoint of " + x.client.at.url + " " + problem, Remedy: remedy}
}

// bearer says whom an ID token is of. It is no secret, and it is what an identity in Octopus has to say.
func bearer(id secret.Secret) string {
	parts := strings.Split(id.Reveal(), ".")
	var claims struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
	}
	if len(parts) == 3 {
		if payload, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(payload, &claims) // what it does not say is not shown
		}
	}
	return claims.Issuer + " and " + claims.Subject
}

// checkAccount refuses a service account that no ID token can be had for.
func checkAccount(o Options) error {
	switch {
	case o.ServiceAccount == "":
		return nil
	case !o.Key.IsZero():
		return procedure.Refuse(settingAccount, "is set together with "+settingKey, "unset one of the two")
	case o.IDToken == nil && o.Token.IsZero():
		return procedure.Refuse(settingAccount, "is set, and this job is given no ID tokens", "give the job the permission id-token: write, or use "+settingKey)
	}
	return nil
}
