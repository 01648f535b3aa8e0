package octopus_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/octopus"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

func jwt(payload string) string {
	return "eyJhbGciOiJQUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

func TestTokenExpiry(t *testing.T) {
	t.Parallel()
	good := map[string]time.Time{
		`{"sub":"x","exp":1797127200}`:   time.Unix(1797127200, 0),
		`{"exp":1797127200.5,"iat":"x"}`: time.Unix(1797127200, 5e8),
		`{"exp":1.7971272e9}`:            time.Unix(1797127200, 0),
	}
	for payload, want := range good {
		if got, err := octopus.TokenExpiry(secret.New(jwt(payload))); err != nil || !got.Equal(want) {
			t.Errorf("%s: %s, %v", payload, got, err)
		}
	}
	for _, token := range []string{"", "CANARY", "CANARY.CANARY", "a.CANARY!.c", "a.Q0FOQVJZ.c", jwt(`{}`), jwt(`{"exp":"CANARY"}`), jwt(`{"exp":-1}`), jwt(`{"exp":1e300}`), jwt(`[]`)} {
		_, err := octopus.TokenExpiry(secret.New(token))
		if !errors.Is(err, procedure.ErrRefused) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v", token, err)
		}
	}
}

func FuzzTokenExpiry(f *testing.F) {
	f.Add(jwt(`{"exp":1797127200}`))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		ends, err := octopus.TokenExpiry(secret.New(token))
		if err == nil && (ends.Unix() < 0 || ends.Year() > 10000) {
			t.Errorf("ends at %s", ends)
		}
	})
}
