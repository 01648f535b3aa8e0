package octopus_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/octopus"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

// keyless is an Octopus Server that gives access tokens for ID tokens, and a client that has one service account.
type keyless struct {
	clock     clock.Clock
	lasts     time.Duration
	asText    bool   // expires_in is text, as old servers write it
	opaque    bool   // the access token is no JSON web token
	answer    string // of the token endpoint, instead of a token
	status    int
	endpoint  string // instead of its own
	exchanges int
	bodies    []string
	good      string // the access token of now
	client    *octopus.Client
	found     int
	asked     int // ID tokens
	idErr     error
}

var idToken = jwt(`{"iss":"https://issuer.example.com","sub":"repo:o/r:environment:e","aud":"account"}`)

func newKeyless(t *testing.T, k *keyless, first secret.Secret) *keyless {
	t.Helper()
	k.clock = clock.New(time.Now(), 100)
	server := httptest.NewServer(http.HandlerFunc(k.serve))
	t.Cleanup(server.Close)
	if k.endpoint == "" {
		k.endpoint = server.URL + "/token/v1"
	}
	var err error
	k.client, err = octopus.New(octopus.Options{URL: server.URL + "/", Clock: k.clock, ServiceAccount: "account", Token: first,
		IDToken: func(_ context.Context, audience string) (secret.Secret, error) {
			if k.asked++; audience != "account" {
				return secret.Secret{}, errors.New("another audience")
			}
			return secret.New(idToken), k.idErr
		}, Found: func(secret.Secret) { k.found++ }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.client.Close)
	return k
}

func (k *keyless) serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]string{"token_endpoint": k.endpoint})
	case "/token/v1":
		k.exchanges++
		body, _ := io.ReadAll(r.Body)
		k.bodies = append(k.bodies, string(body))
		if k.answer != "" {
			w.WriteHeader(k.status)
			_, _ = io.WriteString(w, k.answer)
			return
		}
		k.good = fmt.Sprintf("a.%s.%d", base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, k.clock.Now().Add(k.lasts).Unix())), k.exchanges)
		if k.opaque {
			k.good = fmt.Sprintf("opaque%d", k.exchanges)
		}
		seconds := any(int(k.lasts.Seconds()))
		if k.asText {
			seconds = fmt.Sprint(seconds)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": k.good, "expires_in": seconds})
	default:
		if r.Header.Get("Authorization") != "Bearer "+k.good || k.good == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"IsInMaintenanceMode":false}`)
	}
}

// TestExchange: one exchange serves many requests, the next comes when the token is about to end, and not before a
// request needs it.
func TestExchange(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]*keyless{"jwt": {}, "text": {asText: true}, "opaque": {opaque: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k.lasts = 10 * time.Minute
			newKeyless(t, k, secret.Secret{})
			for range 3 {
				if _, err := k.client.MaintenanceMode(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			want := `{"audience":"account","grant_type":"urn:ietf:params:oauth:grant-type:token-exchange","subject_token":"` + idToken + `","subject_token_type":"urn:ietf:params:oauth:token-type:jwt"}`
			if k.exchanges != 1 || k.found != 1 || strings.TrimSpace(k.bodies[0]) != want {
				t.Errorf("%d exchanges, %d tokens told, %s", k.exchanges, k.found, k.bodies)
			}
			if err := k.clock.Sleep(t.Context(), 9*time.Minute); err != nil || k.exchanges != 1 {
				t.Errorf("%d exchanges though nothing was asked", k.exchanges)
			}
			if _, err := k.client.MaintenanceMode(t.Context()); err != nil || k.exchanges != 2 {
				t.Errorf("%d exchanges, %v", k.exchanges, err)
			}
		})
	}
}

// TestExchangeBegunWithAToken: a given token is used up before the first exchange.
func TestExchangeBegunWithAToken(t *testing.T) {
	t.Parallel()
	k := &keyless{lasts: time.Hour}
	given := jwt(fmt.Sprintf(`{"exp":%d}`, time.Now().Add(time.Hour).Unix()))
	k.good = given
	newKeyless(t, k, secret.New(given))
	if _, err := k.client.MaintenanceMode(t.Context()); err != nil || k.exchanges != 0 {
		t.Errorf("%d exchanges, %v", k.exchanges, err)
	}
}

// TestExchangeRefused: what went wrong is said without a token, with what the identity in Octopus has to say.
func TestExchangeRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		k    keyless
		kind error
		says string
	}{
		"rfc8693":     {keyless{status: 400, answer: `{"error":"invalid_request","error_description":"no identity ` + idToken + `"}`}, procedure.ErrDenied, "invalid_request no identity [redacted] (give the service account an OIDC identity with the issuer and the subject of this job, https://issuer.example.com and repo:o/r:environment:e)"},
		"octopus":     {keyless{status: 401, answer: `{"ErrorMessage":"Nobody.","Errors":[]}`}, procedure.ErrDenied, "(status 401): Nobody"},
		"starting":    {keyless{status: 503, answer: `<html>`}, procedure.ErrUnreachable, "status 503"},
		"html":        {keyless{status: 200, answer: `<html>`}, procedure.ErrUnreadable, "no access token"},
		"control":     {keyless{status: 200, answer: `{"access_token":"a\nb","expires_in":3600}`}, procedure.ErrUnreadable, "no access token"},
		"endless":     {keyless{status: 200, answer: `{"access_token":"abc"}`}, procedure.ErrUnreadable, "does not say when"},
		"elsewhere":   {keyless{endpoint: "https://elsewhere.example.com/token/v1"}, procedure.ErrUnreadable, `shown no ID token: "https://elsewhere.example.com/token/v1" (set OCTOPUS_URL to`},
		"in_clear":    {keyless{endpoint: "http://elsewhere.example.com/token"}, procedure.ErrUnreadable, "shown no ID token"},
		"other_port":  {keyless{endpoint: "http://127.0.0.1:1/token/v1"}, procedure.ErrUnreadable, "shown no ID token"},
		"by_userinfo": {keyless{endpoint: "https://127.0.0.1@elsewhere.example.com/token/v1"}, procedure.ErrUnreadable, "shown no ID token"},
		"no_id_token": {keyless{idErr: errors.New("GitHub refused")}, procedure.ErrUnreachable, "id-token: write"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKeyless(t, &c.k, secret.Secret{})
			_, err := k.client.MaintenanceMode(t.Context())
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), idToken) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestExchangeFailsEarly: while the old token is good, a renewal that fails is not felt.
func TestExchangeFailsEarly(t *testing.T) {
	t.Parallel()
	k := newKeyless(t, &keyless{lasts: 10 * time.Minute}, secret.Secret{})
	if _, err := k.client.MaintenanceMode(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := k.clock.Sleep(t.Context(), 8*time.Minute+30*time.Second); err != nil {
		t.Fatal(err)
	}
	k.status, k.answer = 400, `{"error":"invalid_request"}`
	if _, err := k.client.MaintenanceMode(t.Context()); err != nil || k.exchanges < 2 {
		t.Errorf("%d exchanges, %v", k.exchanges, err)
	}
	if err := k.clock.Sleep(t.Context(), 2*time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := k.client.MaintenanceMode(t.Context()); !errors.Is(err, procedure.ErrDenied) {
		t.Errorf("%v", err)
	}
}
