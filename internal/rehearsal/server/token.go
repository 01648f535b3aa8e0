package server

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Keyless lets a service account log on with ID tokens instead of a key.
type Keyless struct {
	Account string                                   // its id
	Verify  func(token, audience string) (err error) // whether an ID token is of an identity of the account
}

// accessLasts is how long an access token of Octopus is good for.
const accessLasts = time.Hour

// briefAccess is that under the fault token-refused: it ends while the first node is out of service.
const briefAccess = 20 * time.Minute

func (c *Cluster) accessLasts(n *node) time.Duration {
	if c.faults.Has("token-refused", n.name) {
		return briefAccess
	}
	return accessLasts
}

// wellKnown is the discovery document. As in Octopus it names the address that the client came by.
func (c *Cluster) wellKnown(r *request) reply {
	base := "http://" + r.Host
	return ok(map[string]string{"issuer": base, "token_endpoint": base + "/token/v1"})
}

// exchangeToken gives an access token for an ID token, as RFC 8693 says.
func (c *Cluster) exchangeToken(r *request) reply {
	var asked struct {
		Grant    string `json:"grant_type"`
		Audience string `json:"audience"`
		Subject  string `json:"subject_token"`
		Type     string `json:"subject_token_type"`
	}
	refuse := func(text string) reply {
		return reply{status: http.StatusBadRequest, value: map[string]string{"error": "invalid_request", "error_description": text}}
	}
	switch {
	case json.Unmarshal(r.body, &asked) != nil:
		return refuse("the body is not JSON")
	case asked.Grant != "urn:ietf:params:oauth:grant-type:token-exchange" || asked.Type != "urn:ietf:params:oauth:token-type:jwt":
		return refuse("the grant type is not supported")
	case c.keyless == nil || asked.Audience != c.keyless.Account:
		return refuse("there is no such service account")
	case c.faults.Has("token-refused", r.node.name) && len(c.tokens) > 0:
		return refuse("the identity of the service account was removed")
	}
	if err := c.keyless.Verify(asked.Subject, asked.Audience); err != nil {
		return refuse(err.Error())
	}
	lasts := c.accessLasts(r.node)
	token := accessToken(c.now.Add(lasts))
	c.tokens[token] = c.now.Add(lasts)
	return ok(map[string]any{"access_token": token, "token_type": "Bearer", "issued_token_type": "urn:ietf:params:oauth:token-type:jwt", "expires_in": fmt.Sprint(int(lasts.Seconds()))})
}

// accessToken has the shape of Octopus' tokens. Whether it is good is looked up, not computed.
func accessToken(ends time.Time) string {
	signature := make([]byte, 32)
	rand.Read(signature) //nolint:errcheck // crypto/rand.Read never fails since Go 1.24
	part := func(text []byte) string { return base64.RawURLEncoding.EncodeToString(text) }
	return part([]byte(`{"alg":"PS256","typ":"JWT"}`)) + "." + part(fmt.Appendf(nil, `{"exp":%d}`, ends.Unix())) + "." + part(signature)
}

// RefuseLogins has the server know nobody's key or token, or know them again.
func (c *Cluster) RefuseLogins(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revoked = yes
}
