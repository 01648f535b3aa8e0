// Package github is the part of GitHub that a keyless login needs: the endpoint that gives a job ID tokens, signed by
// a key that the simulated Octopus Server trusts.
package github

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
)

// How long tokens are good for, in the world's time.
const (
	idTokenLasts  = 5 * time.Minute
	jobTokenLasts = 6 * time.Hour // the longest that a job on GitHub's own runners lasts
)

// Subject is what the ID tokens say that the job is of.
const Subject = "repo:octopatch/rehearsal:environment:production"

// Issuer gives ID tokens to one job.
type Issuer struct {
	clock  clock.Clock
	key    *rsa.PrivateKey
	job    string // what the job shows to be given ID tokens
	server *http.Server
	socket net.Listener
}

// New opens the endpoint on loopback. The job's token ends after lasts; 0 is the usual time.
func New(clk clock.Clock, lasts time.Duration) (*Issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	socket, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i := &Issuer{clock: clk, key: key, socket: socket}
	if lasts == 0 {
		lasts = jobTokenLasts
	}
	i.job = i.sign(map[string]any{"exp": clk.Now().Add(lasts).Unix(), "scp": "Actions.Token"})
	i.server = &http.Server{Handler: http.HandlerFunc(i.serve), ReadHeaderTimeout: time.Minute}
	go i.server.Serve(socket) //nolint:errcheck // it ends with Close
	return i, nil
}

// Close ends the endpoint.
func (i *Issuer) Close() error { return i.server.Close() }

// Environ is what a runner gives a job with the permission id-token: write.
func (i *Issuer) Environ() []string {
	return []string{"ACTIONS_ID_TOKEN_REQUEST_URL=" + i.url() + "/token?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + i.job}
}

func (i *Issuer) url() string { return "http://" + i.socket.Addr().String() }

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	audience := r.URL.Query().Get("audience")
	switch {
	case r.URL.Path != "/token":
		w.WriteHeader(http.StatusNotFound)
	case r.Header.Get("Authorization") != "Bearer "+i.job:
		w.WriteHeader(http.StatusUnauthorized)
	case audience == "":
		w.WriteHeader(http.StatusBadRequest)
	default:
		now := i.clock.Now()
		token := i.sign(map[string]any{"iss": i.url(), "sub": Subject, "aud": audience, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(idTokenLasts).Unix()})
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"value": token}) // the client may have gone
	}
}

func (i *Issuer) sign(claims map[string]any) string {
	head, body := part(map[string]any{"alg": "RS256", "typ": "JWT"}), part(claims)
	digest := sha256.Sum256([]byte(head + "." + body))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err) // the key is long enough for the digest
	}
	return head + "." + body + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func part(value map[string]any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // words and numbers always encode
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// Verify is what an Octopus identity of this issuer and subject checks of an ID token, with the keys that the issuer
// publishes: signature, issuer, subject, audience and time.
func (i *Issuer) Verify(token, audience string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("the subject token is not a JSON web token")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || rsa.VerifyPKCS1v15(&i.key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
		return errors.New("the signature of the subject token is not that of its issuer")
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
		From     int64  `json:"nbf"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return errors.New("the claims of the subject token cannot be read")
	}
	now := i.clock.Now().Unix()
	switch {
	case claims.Issuer != i.url() || claims.Subject != Subject:
		return fmt.Errorf("no identity of the service account is of %s and %s", claims.Issuer, claims.Subject)
	case claims.Audience != audience:
		return errors.New("the audience of the subject token is not the service account")
	case now >= claims.Expires || now < claims.From:
		return errors.New("the subject token is not valid at this time")
	}
	return nil
}
