package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// TestEveryWayToLogOn: plan reaches every host of the world by each way that it can be told, and the sealed ones
// need no certificate.
func TestEveryWayToLogOn(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"ntlm-https", "ntlm-http", "kerberos-https", "kerberos-http", "basic-https"} {
		t.Run(way, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{WinRM: way})
				sealed := strings.HasSuffix(way, "-http")
				if value(w.Environ(), "OCTOPATCH_WINRM_FINGERPRINT") == "" != sealed || value(w.Environ(), "OCTOPATCH_WINRM_TLS") == "false" != sealed {
					t.Errorf("the world's own settings: %q", w.Environ())
				}
				octopatch(t.Context(), w.Environ(), "plan").wants(t, 0)
				for node, n := range w.RefusedLogins() {
					if n > 0 {
						t.Errorf("%v refused %d logins", node, n)
					}
				}
			})
		})
	}
}

// TestCredentialsOfOneNode: the file's account is used where it names the node, and the pair elsewhere.
func TestCredentialsOfOneNode(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{WinRM: "ntlm-http"})
		pass := value(w.Environ(), "OCTOPATCH_WINRM_PASSWORD")
		file := filepath.Join(t.TempDir(), "credentials.json")
		write := func(pass string) {
			if err := os.WriteFile(file, []byte(`{"octo-02": {"username": "octopatch", "password": "`+pass+`"}}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		environ := with(w.Environ(), "OCTOPATCH_WINRM_CREDENTIALS_FILE="+file)
		write(pass)
		octopatch(t.Context(), environ, "plan").wants(t, 0)
		write("not-" + pass)
		octopatch(t.Context(), environ, "plan").wants(t, 4, "OCTO-02", "OCTOPATCH_WINRM_PASSWORD")
	})
}

// TestLoginAfterAReboot: a host that refuses the login after a reboot is asked three times at most, so that no account
// is locked; one that comes to its senses meanwhile goes on.
func TestLoginAfterAReboot(t *testing.T) {
	for fault, want := range map[string]struct{ exit, refused int }{"login-late": {0, 2}, "login-never": {6, 3}} {
		t.Run(fault, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Nodes: 1, Faults: fault})
				octopatch(t.Context(), w.Environ(), "run").wants(t, want.exit)
				for node, n := range w.RefusedLogins() {
					if n == 0 || n > want.refused {
						t.Errorf("%s refused %d logins, want 1 to %d", node, n, want.refused)
					}
				}
			})
		})
	}
}
