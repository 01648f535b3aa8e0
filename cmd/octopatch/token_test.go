package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestTokenThatEndsBeforeTheWindow: run refuses it before anything is asked of anybody; plan does not.
func TestTokenThatEndsBeforeTheWindow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command, window string
		ends            time.Duration
		refused         bool
	}{
		{"run", "", time.Hour, true}, {"run", "30m", time.Hour, false}, {"run", "", 5 * time.Hour, false}, {"enter", "", time.Hour, true}, {"preflight", "", time.Hour, false},
	} {
		token := token(c.ends)
		environ := []string{"OCTOPUS_URL=http://127.0.0.1:1", "OCTOPUS_ACCESS_TOKEN=" + token, "OCTOPATCH_NODES=A=127.0.0.1:1", "OCTOPATCH_WINRM_USERNAME=u", "OCTOPATCH_WINRM_PASSWORD=password",
			"OCTOPATCH_PRECAUTION=none", "OCTOPATCH_WINDOW=" + c.window, fmt.Sprintf("OCTOPATCH_REHEARSAL_CLOCK=%d,1000", time.Now().Unix())}
		var out, errs bytes.Buffer
		code := run(context.Background(), []string{c.command}, environ, &out, &errs)
		if got := strings.Contains(errs.String(), "OCTOPUS_ACCESS_TOKEN: ends at"); got != c.refused || code != 4 {
			t.Errorf("%s with a token of %s and window %q: exit %d, %s", c.command, c.ends, c.window, code, errs.String())
		}
		if strings.Contains(errs.String()+out.String(), token) {
			t.Error("the token shows")
		}
	}
}

// token is an access token that ends after a while.
func token(lasts time.Duration) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"PS256"}`) + "." + part(fmt.Sprintf(`{"exp":%d}`, time.Now().Add(lasts).Unix())) + "." + part("signature")
}
