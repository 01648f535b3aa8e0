package winrm

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

func TestRefusedOptions(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(conf, []byte("[libdefaults]\n default_realm = EXAMPLE.COM\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, subject string
		change        func(*Options)
	}{
		{"basic_over_plain_http", "OCTOPATCH_WINRM_TLS", func(o *Options) { o.TLS, o.Auth = false, "basic" }},
		{"unknown_auth", "OCTOPATCH_WINRM_AUTH", func(o *Options) { o.Auth = "digest" }},
		{"no_auth", "OCTOPATCH_WINRM_AUTH", func(o *Options) { o.Auth = "" }},
		{"no_host", "OCTOPATCH_NODES", func(o *Options) { o.Host = "" }},
		{"no_port", "OCTOPATCH_NODES", func(o *Options) { o.Port = 0 }},
		{"no_user", "OCTOPATCH_WINRM_USERNAME", func(o *Options) { o.Username = "" }},
		{"no_password", "OCTOPATCH_WINRM_PASSWORD", func(o *Options) { o.Password = secret.Secret{} }},
		{"kerberos_by_address", "OCTOPATCH_NODES", func(o *Options) { o.Auth, o.Host = "kerberos", "192.0.2.1" }},
		{"kerberos_local_account", "OCTOPATCH_WINRM_USERNAME", func(o *Options) { o.Auth, o.Username, o.KRB5Conf = "kerberos", `.\u`, conf }},
		{"kerberos_unknown_domain", "OCTOPATCH_WINRM_USERNAME", func(o *Options) { o.Auth, o.Username, o.KRB5Conf = "kerberos", `OTHER\u`, conf }},
		{"kerberos_no_conf", "OCTOPATCH_WINRM_KRB5_CONF", func(o *Options) { o.Auth, o.KRB5Conf = "kerberos", "/does/not/exist" }},
		{"kerberos_no_keytab", "OCTOPATCH_WINRM_KRB5_KEYTAB", func(o *Options) { o.Auth, o.KRB5Conf, o.Keytab = "kerberos", conf, conf }},
		{"kerberos_no_cache", "OCTOPATCH_WINRM_KRB5_CCACHE", func(o *Options) { o.Auth, o.KRB5Conf, o.CCache = "kerberos", conf, conf }},
		{"sha1_thumbprint", "OCTOPATCH_WINRM_FINGERPRINT", func(o *Options) { o.Fingerprint = strings.Repeat("ab", 20) }},
		{"no_pem", "OCTOPATCH_WINRM_CA_FILE", func(o *Options) { o.CAPEM = []byte("hello") }},
	} {
		o := Options{Host: "h", Port: 5986, TLS: true, Auth: "ntlm", Username: "u", Password: secret.New("p")}
		c.change(&o)
		_, err := New(o)
		var f *procedure.Fault
		if !errors.Is(err, procedure.ErrRefused) || !errors.As(err, &f) || f.Subject != c.subject || f.Remedy == "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestRefusedCommands(t *testing.T) {
	t.Parallel()
	_, c := host(t, echo)
	for _, cmd := range []Command{{Limit: time.Hour}, {Line: "x"}, {Line: "a\nb", Limit: time.Hour}, {Line: "\xff", Limit: time.Hour}, {Line: strings.Repeat("x", 8192), Limit: time.Hour}} {
		if _, err := c.Run(context.Background(), cmd); !errors.Is(err, procedure.ErrRefused) {
			t.Errorf("%.10q: %v", cmd.Line, err)
		}
	}
	if n := len(c.Requests()); n != 0 {
		t.Errorf("requests were sent: %v", c.Requests())
	}
}

func TestNoProxy(t *testing.T) {
	t.Parallel()
	_, c := host(t, echo)
	if c.first.http.Proxy != nil || c.second.http.Proxy != nil {
		t.Error("a proxy would be asked")
	}
}

// odd is a host that answers logins in its own way; it records the schemes with which it was asked.
func odd(t *testing.T, serve http.HandlerFunc) (*Client, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var asked []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		mu.Lock()
		asked = append(asked, scheme)
		mu.Unlock()
		serve(w, r)
	}))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	port, err := strconv.Atoi(s.Listener.Addr().String()[len("127.0.0.1:"):])
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{Host: "127.0.0.1", Port: port, TLS: true, Auth: "ntlm", Username: "u", Password: secret.New("hunter2"), Fingerprint: Fingerprint(s.Certificate()), Clock: fast()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, func() []string { mu.Lock(); defer mu.Unlock(); return asked }
}

// TestNeverFallsBackToBasic: a host that offers nothing else does not get the password.
func TestNeverFallsBackToBasic(t *testing.T) {
	t.Parallel()
	c, asked := odd(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="WSMAN"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	_, err := c.Run(context.Background(), Command{Line: "x", Limit: time.Hour})
	if !errors.Is(err, procedure.ErrDenied) || !strings.Contains(err.Error(), "offers Basic") {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(asked(), " "); got != "Negotiate" {
		t.Errorf("asked with %q", got)
	}
}

// TestBareNTLM: where NTLM is offered and Negotiate is not, it is tried, and a broken challenge ends it.
func TestBareNTLM(t *testing.T) {
	t.Parallel()
	c, asked := odd(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", "NTLM")
		if strings.HasPrefix(r.Header.Get("Authorization"), "NTLM") {
			w.Header().Set("WWW-Authenticate", "NTLM aGVsbG8=")
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
	if _, err := c.Run(context.Background(), Command{Line: "x", Limit: time.Hour}); !errors.Is(err, procedure.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(asked(), " "); got != "Negotiate NTLM" {
		t.Errorf("asked with %q", got)
	}
}

// TestRedirect: a host cannot send our login elsewhere.
func TestRedirect(t *testing.T) {
	t.Parallel()
	c, asked := odd(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	if _, err := c.Run(context.Background(), Command{Line: "x", Limit: time.Hour}); !errors.Is(err, procedure.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if n := len(asked()); n != 1 {
		t.Errorf("%d requests", n)
	}
}
