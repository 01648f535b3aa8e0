package winrm

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jcmturner/gokrb5/v8/config"
)

// elsewhere is a server with a certificate of its own.
func elsewhere(t *testing.T) *httptest.Server {
	s := httptest.NewTLSServer(http.HandlerFunc(nil))
	t.Cleanup(s.Close)
	return s
}

// relayTLS terminates TLS with the certificate of another server and passes everything on to the target.
func relayTLS(t *testing.T, with *httptest.Server, target string) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: with.TLS.Certificates, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := tls.Dial("tcp", target, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
			if err != nil {
				in.Close()
				return
			}
			pass := func(to, from net.Conn) { _, _ = io.Copy(to, from); to.Close(); from.Close() }
			go pass(out, in)
			go pass(in, out)
		}
	}()
	return l.Addr().String()
}

func krb5(realm string) (*config.Config, error) {
	return config.NewFromString("[libdefaults]\n default_realm = " + realm + "\n")
}
