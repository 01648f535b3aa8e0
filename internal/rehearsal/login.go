package rehearsal

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
)

func (h *host) fullName() string { return strings.ToLower(h.name) + ".example.com" }

func (w *World) file(name string) string { return filepath.Join(w.dir, name) }

// handOutTickets writes what a client needs to log on with Kerberos: there is no KDC, so the tickets are ready.
// Kerberos lives in wall time.
func (w *World) handOutTickets() error {
	var entries [][]byte
	hosts := w.hosts
	if w.hyperv != nil {
		hosts = append(hosts[:len(hosts):len(hosts)], w.hyperv)
	}
	for _, h := range hosts {
		entry, err := h.account.Ticket(w.user, time.Now().Add(24*time.Hour))
		if err != nil {
			return err
		}
		entries = append(entries, entry)
	}
	if err := os.WriteFile(w.file("krb5.conf"), []byte("[libdefaults]\n default_realm = "+wsman.Realm+"\n"), 0o600); err != nil {
		return err
	}
	return os.WriteFile(w.file("ccache"), wsman.Cache(w.user, entries...), 0o600)
}

// logins is how the hosts are logged on to, as NAME=value.
func (w *World) logins(pass string, prints []string) []string {
	var env, names []string
	for _, h := range w.hosts {
		names = append(names, h.name+"="+h.fullName())
	}
	if w.auth != "ntlm" {
		env = append(env, "OCTOPATCH_WINRM_AUTH="+w.auth)
	}
	if w.auth == "kerberos" {
		env = append(env, "OCTOPATCH_WINRM_SERVER_NAME="+strings.Join(names, ","), "OCTOPATCH_WINRM_KRB5_CONF="+w.file("krb5.conf"), "OCTOPATCH_WINRM_KRB5_CCACHE="+w.file("ccache"))
	} else {
		env = append(env, "OCTOPATCH_WINRM_USERNAME="+w.user, "OCTOPATCH_WINRM_PASSWORD="+pass)
	}
	if w.tls {
		return append(env, "OCTOPATCH_WINRM_FINGERPRINT="+strings.Join(prints, ","))
	}
	return append(env, "OCTOPATCH_WINRM_TLS=false")
}
