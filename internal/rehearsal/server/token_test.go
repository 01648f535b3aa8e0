package server

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

// exchange shows an ID token, and gives status and answer.
func (w *world) exchange(subject, account string) (int, object) {
	w.t.Helper()
	status, _, text := w.ask("POST", w.URL()+"/token/v1", map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "subject_token": subject, "audience": account})
	return status, w.parse("/token/v1", status, status, text)
}

// keyless lets the world's one service account log on with the word "good".
func keyless(w *world) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keyless = &Keyless{Account: "account", Verify: func(token, _ string) error {
		if token != "good" {
			return errors.New("who is that")
		}
		return nil
	}}
}

func TestTokenExchange(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	if status, _ := w.exchange("good", "account"); status != http.StatusBadRequest {
		t.Errorf("without a service account: %d", status)
	}
	keyless(w)
	if endpoint := w.get("/.well-known/openid-configuration", 200)["token_endpoint"]; endpoint != w.URL()+"/token/v1" {
		t.Errorf("the endpoint is at %v", endpoint)
	}
	for _, bad := range [][2]string{{"bad", "account"}, {"good", "another"}} {
		if status, answer := w.exchange(bad[0], bad[1]); status != http.StatusBadRequest || answer["error"] != "invalid_request" || answer["error_description"] == "" {
			t.Errorf("%s: %d, %v", bad, status, answer)
		}
	}
	w.lasts(time.Hour)
	if status, _ := w.exchange("good", "account"); status != http.StatusOK {
		t.Errorf("a second token: %d", status)
	}
}

// lasts gets a token, and holds it against how long it is to be good for.
func (w *world) lasts(want time.Duration) {
	w.t.Helper()
	status, answer := w.exchange("good", "account")
	token, _ := answer["access_token"].(string)
	if status != http.StatusOK || token == "" {
		w.t.Fatalf("%d, %v", status, answer)
	}
	shows := func() int {
		r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.URL()+"/api/users/me", nil)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := w.client.Do(r)
		if err != nil {
			w.t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	w.pass(want - time.Second)
	if got := shows(); got != http.StatusOK {
		w.t.Errorf("a good token answers %d", got)
	}
	w.pass(2 * time.Second)
	if got := shows(); got != http.StatusUnauthorized {
		w.t.Errorf("a token that has ended answers %d", got)
	}
}

func tokenRefused(t *testing.T) {
	w := begin(t, "token-refused")
	keyless(w)
	w.lasts(briefAccess)
	if status, _ := w.exchange("good", "account"); status != http.StatusBadRequest {
		t.Errorf("a second token: %d", status)
	}
}
