package github

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
)

// ask gets an ID token as a job does.
func ask(t *testing.T, i *Issuer, audience, bearer string) (int, string) {
	t.Helper()
	url, _ := strings.CutPrefix(i.Environ()[0], "ACTIONS_ID_TOKEN_REQUEST_URL=")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"&audience="+audience, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var got struct{ Value string }
	_ = json.NewDecoder(answer.Body).Decode(&got) // a refusal has no body
	return answer.StatusCode, got.Value
}

// TestIssuer: a token is good for its audience and time, from this issuer, and unchanged.
func TestIssuer(t *testing.T) {
	t.Parallel()
	clk := clock.New(time.Now(), 1000)
	i, err := New(clk, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	other, err := New(clk, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if status, _ := ask(t, i, "account", "somebody"); status != http.StatusUnauthorized {
		t.Errorf("somebody else: %d", status)
	}
	if status, _ := ask(t, i, "", i.job); status != http.StatusBadRequest {
		t.Errorf("no audience: %d", status)
	}
	status, token := ask(t, i, "account", i.job)
	if status != http.StatusOK || i.Verify(token, "account") != nil {
		t.Fatalf("%d, %v", status, i.Verify(token, "account"))
	}
	parts := strings.Split(token, ".")
	for name, bad := range map[string]error{
		"audience": i.Verify(token, "another"), "issuer": other.Verify(token, "account"), "shape": i.Verify("abc", "account"),
		"claims": i.Verify(parts[0]+"."+part(map[string]any{"iss": i.url(), "sub": Subject, "aud": "account", "exp": 1 << 40})+"."+parts[2], "account"),
	} {
		if bad == nil {
			t.Errorf("%s: a token that is not good was taken", name)
		}
	}
	if err := clk.Sleep(t.Context(), idTokenLasts+time.Second); err != nil || i.Verify(token, "account") == nil {
		t.Errorf("a token that has ended was taken, %v", err)
	}
}
