package winrm

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

// TestAcceptors talks to MIT Kerberos with a real KDC and to gss-ntlmssp, which .ci/acceptors starts.
func TestAcceptors(t *testing.T) {
	given := strings.Fields(os.Getenv("OCTOPATCH_ACCEPTORS"))
	if len(given) != 3 {
		t.Skip("there are no acceptors: .ci/acceptors starts them")
	}
	home := given[0]
	port := func(i int) int {
		_, text, _ := strings.Cut(given[i], "=")
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	cert, err := os.ReadFile(filepath.Join(home, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(home, name) }
	base := Options{Host: "127.0.0.1", Port: port(1), Auth: "kerberos", Username: "patcher@OCTOPATCH.TEST", Password: secret.New("pässword"), ServerName: "host.octopatch.test", KRB5Conf: file("krb5.conf"), Clock: clock.Clock{}}
	ntlm := func(o *Options) { o.Auth, o.Username = "ntlm", `OCTO\patcher` }
	https := func(o *Options) { o.TLS, o.Port, o.CAPEM = true, port(2), cert }
	keytab := func(o *Options) { o.Keytab, o.Password = file("patcher.keytab"), secret.Secret{} }
	cache := func(name string) func(*Options) {
		return func(o *Options) { o.CCache, o.Username, o.Password = file(name), "", secret.Secret{} }
	}
	named := func(name string) func(*Options) { return func(o *Options) { o.ServerName = name } }
	user := func(name string) func(*Options) { return func(o *Options) { o.Username = name } }
	wrong := func(o *Options) { o.Password = secret.New("wrong") }
	out := func(n int) func(*Options) { return func(o *Options) { tapped(o, flip(n), nil) } }
	in := func(n int) func(*Options) { return func(o *Options) { tapped(o, nil, flip(n)) } }
	nobody := func(o *Options) {
		o.KRB5Conf = filepath.Join(t.TempDir(), "krb5.conf")
		if err := os.WriteFile(o.KRB5Conf, []byte("[libdefaults]\n default_realm = OCTOPATCH.TEST\n[realms]\n OCTOPATCH.TEST = {\n  kdc = 127.0.0.1:1\n }\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		change []func(*Options)
		kind   error // nil: it works
		says   string
	}{
		{"kerberos/http/password", nil, nil, ""},
		{"kerberos/http/domain_and_name", []func(*Options){user(`OCTOPATCH\patcher`)}, nil, ""},
		{"kerberos/http/keytab", []func(*Options){keytab}, nil, ""},
		{"kerberos/http/ccache", []func(*Options){cache("ccache")}, nil, ""},
		{"kerberos/http/aes128", []func(*Options){named("aes128.octopatch.test")}, nil, ""},
		{"kerberos/http/aes256_sha2", []func(*Options){named("sha2.octopatch.test")}, nil, ""},
		{"kerberos/http/another_realm", []func(*Options){named("far.other.test")}, nil, ""},
		{"kerberos/http/another_realm_by_referral", []func(*Options){named("far.other.test"), func(o *Options) { o.KRB5Conf = file("referred.conf") }}, nil, ""},
		{"kerberos/https/password", []func(*Options){https}, nil, ""},
		{"kerberos/https/keytab", []func(*Options){https, keytab}, nil, ""},
		{"kerberos/https/ccache", []func(*Options){https, cache("ccache")}, nil, ""},
		{"ntlm/http", []func(*Options){ntlm}, nil, ""},
		{"ntlm/https", []func(*Options){ntlm, https}, nil, ""},
		{"kerberos/wrong_password", []func(*Options){wrong}, procedure.ErrDenied, "password or keytab of patcher@OCTOPATCH.TEST is wrong"},
		{"kerberos/unknown_account", []func(*Options){user("nobody")}, procedure.ErrDenied, "does not know nobody"},
		{"kerberos/locked_account", []func(*Options){user("locked")}, procedure.ErrDenied, "locked is locked or disabled"},
		{"kerberos/expired_password", []func(*Options){user("stale")}, procedure.ErrDenied, "password of stale has expired"},
		{"kerberos/wrong_spn", []func(*Options){named("other.octopatch.test")}, procedure.ErrRefused, "knows no service HTTP/other.octopatch.test"},
		{"kerberos/expired_ticket", []func(*Options){cache("expired")}, procedure.ErrDenied, "ends at"},
		{"kerberos/no_kdc", []func(*Options){nobody}, procedure.ErrUnreachable, "Kerberos cannot be asked"},
		{"ntlm/wrong_password", []func(*Options){ntlm, wrong}, procedure.ErrDenied, "refuses the login"},
		{"ntlm/unknown_account", []func(*Options){ntlm, user(`OCTO\nobody`)}, procedure.ErrDenied, "refuses the login"},
		{"kerberos/flipped/request", []func(*Options){out(1)}, procedure.ErrDenied, "refuses the login"},
		{"kerberos/flipped/answer", []func(*Options){in(1)}, procedure.ErrRefused, "not sealed as it must be"},
		{"kerberos/flipped/output", []func(*Options){in(3)}, procedure.ErrNoReply, "not sealed as it must be"},
		{"ntlm/flipped/request", []func(*Options){ntlm, out(1)}, procedure.ErrDenied, "refuses the login"},
		{"ntlm/flipped/answer", []func(*Options){ntlm, in(1)}, procedure.ErrRefused, "not sealed as it must be"},
		{"ntlm/flipped/output", []func(*Options){ntlm, in(3)}, procedure.ErrNoReply, "not sealed as it must be"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := base
			for _, f := range c.change {
				f(&o)
			}
			client, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			for range 3 {
				got := ""
				exit, err := client.Run(context.Background(), Command{Line: `the-command "ü"`, Stdin: []byte("the-input"), Limit: time.Minute, Stdout: func(l string) { got = l }})
				if c.kind != nil {
					if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "pässword") {
						t.Errorf("got %v, want %v with %q", err, c.kind, c.says)
					}
					t.Logf("%v", err)
					return
				}
				if err != nil || exit.Code != 7 || got != `the-command "ü"|the-input` {
					t.Fatalf("%+v, %q, %v", exit, got, err)
				}
			}
		})
	}
	t.Run("through_somebody_elses_TLS", func(t *testing.T) {
		for _, f := range []func(*Options){ntlm, func(*Options) {}} {
			o := base
			f(&o)
			https(&o)
			o.CAPEM, o.Insecure = nil, true
			relay := relayTLS(t, elsewhere(t), net.JoinHostPort("127.0.0.1", strconv.Itoa(port(2))))
			o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, relay)
			}
			client, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if _, err := client.Run(context.Background(), Command{Line: "x", Limit: time.Minute}); !errors.Is(err, procedure.ErrDenied) {
				t.Errorf("%s: %v", o.Auth, err)
			}
		}
	})
}
