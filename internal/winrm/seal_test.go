package winrm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
	"github.com/octopatch/octopatch/internal/secret"
)

// tap is a connection that keeps what went over it, and may change it.
type tap struct {
	net.Conn
	mu      *sync.Mutex
	seen    *bytes.Buffer
	out, in func([]byte) []byte // what becomes of what is sent and received; nil: nothing

}

func (c *tap) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.seen.Write(b)
	c.mu.Unlock()
	if c.out != nil {
		b = c.out(bytes.Clone(b))
	}
	return c.Conn.Write(b)
}

func (c *tap) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	c.seen.Write(b[:n])
	c.mu.Unlock()
	if c.in != nil {
		copy(b, c.in(bytes.Clone(b[:n])))
	}
	return n, err
}

// tapped makes a client's connections taps; the text that they saw is returned at the end.
func tapped(o *Options, out, in func([]byte) []byte) func() string {
	var mu sync.Mutex
	var seen bytes.Buffer
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &tap{Conn: conn, mu: &mu, seen: &seen, out: out, in: in}, err
	}
	return func() string { mu.Lock(); defer mu.Unlock(); return seen.String() }
}

// TestSealedShowsNothing: neither the command, nor what it reads and writes, nor the password can be read on a
// connection without TLS.
func TestSealedShowsNothing(t *testing.T) {
	t.Parallel()
	for _, way := range sealedWays {
		var seen func() string
		_, c := host(t, func(_ context.Context, c wsman.Command) (int, error) {
			_, _ = io.Copy(io.Discard, c.Stdin)
			fmt.Fprintln(c.Stdout, "the-answer")
			fmt.Fprint(c.Stderr, "the-complaint")
			return 3, nil
		}, func(o *Options) { way.set(o); seen = tapped(o, nil, nil) })
		got := ""
		exit, err := c.Run(context.Background(), Command{Line: "the-command", Stdin: []byte("the-input"), Limit: time.Hour, Stdout: func(l string) { got = l }})
		if err != nil || exit.Code != 3 || exit.Stderr != "the-complaint" || got != "the-answer" {
			t.Errorf("%v: %+v %q %v", way, exit, got, err)
		}
		text := seen()
		if n := strings.Count(text, "-session-encrypted"); n < 4*6 {
			t.Errorf("%v: the capture holds %d marks of sealed messages", way, n)
		}
		for _, word := range []string{"the-command", "the-input", "the-answer", "the-complaint", "hunter2", "<s:Envelope", "Envelope"} {
			for _, form := range []string{word, base64.StdEncoding.EncodeToString([]byte(word)), wide(word)} {
				if strings.Contains(text, form) {
					t.Errorf("%v: the capture shows %q", way, word)
				}
			}
		}
	}
}

func wide(s string) string {
	var b []byte
	for _, r := range s {
		b = binary.LittleEndian.AppendUint16(b, uint16(r))
	}
	return string(b)
}

// flip changes one byte of sealed data in the n-th piece that has some.
func flip(n int) func([]byte) []byte {
	count := 0
	return func(b []byte) []byte {
		if i := bytes.Index(b, []byte(octetStream+"\r\n")); i >= 0 && len(b) > i+120 {
			if count++; count >= n {
				b[i+110] ^= 1
			}
		}
		return b
	}
}

// TestFlippedByte: what is changed on its way is refused, in both directions, and says so.
func TestFlippedByte(t *testing.T) {
	t.Parallel()
	for _, way := range sealedWays {
		for _, c := range []struct {
			name    string
			out, in func([]byte) []byte
			kind    error
			says    string
			begun   bool
		}{
			{"request", flip(1), nil, procedure.ErrDenied, "refuses the login", false},
			{"command", flip(2), nil, procedure.ErrDenied, "refuses the login", false},
			{"answer", nil, flip(1), procedure.ErrRefused, "somebody changes", false},
			{"answer to the command", nil, flip(2), procedure.ErrNoReply, "not sealed as it must be", true},
			{"output", nil, flip(3), procedure.ErrNoReply, "not sealed as it must be", true},
		} {
			t.Run(way.String()+"_"+c.name, func(t *testing.T) {
				t.Parallel()
				begun := make(chan struct{}, 1)
				_, client := host(t, func(context.Context, wsman.Command) (int, error) { begun <- struct{}{}; return 0, nil },
					func(o *Options) { way.set(o); tapped(o, c.out, c.in) })
				_, err := client.Run(context.Background(), Command{Line: "x", Stdin: []byte("y"), Limit: 10 * time.Minute})
				if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %v with %q", err, c.kind, c.says)
				}
				if got := soon(begun, c.begun); got != c.begun {
					t.Errorf("the process began: %t", got)
				}
			})
		}
	}
}

// TestNoDowngrade: an answer in clear is not believed, whatever it says.
func TestNoDowngrade(t *testing.T) {
	t.Parallel()
	for _, way := range sealedWays {
		for _, c := range []struct {
			name   string
			faults wsman.Faults
			kind   error
			says   string
		}{
			{"in_clear", wsman.Faults{Unsealed: true}, procedure.ErrRefused, "not sealed"},
			{"fault_in_clear", wsman.Faults{Unsealed: true, SOAP: "quota"}, procedure.ErrRefused, "not sealed"},
			{"html", wsman.Faults{On: "Create", Status: 200, Text: "<html>"}, procedure.ErrRefused, "not sealed"},
			{"unavailable", wsman.Faults{On: "Create", Status: 503, Text: "Service Unavailable"}, procedure.ErrUnreachable, "HTTP 503"},
			{"unavailable_at_login", wsman.Faults{Status: 503}, procedure.ErrUnreachable, "HTTP 503"},
			{"command_in_clear", wsman.Faults{On: "Command", Unsealed: true}, procedure.ErrNoReply, "not sealed"},
			{"output_in_clear", wsman.Faults{On: "Receive", Unsealed: true}, procedure.ErrNoReply, "not sealed"},
			{"flipped", wsman.Faults{On: "Receive", Flip: true}, procedure.ErrNoReply, "not sealed"},
			{"quota", wsman.Faults{SOAP: "quota"}, procedure.ErrUnreachable, "too many shells"},
			{"denied", wsman.Faults{SOAP: "denied"}, procedure.ErrDenied, "JEA"},
			{"unauthorized", wsman.Faults{Unauthorized: true}, procedure.ErrDenied, "no account is locked"},
			{"reset", wsman.Faults{On: "Command", Resets: 1}, procedure.ErrNoReply, "before the command's answer"},
			{"black_hole", wsman.Faults{On: "Create", BlackHole: true}, procedure.ErrUnreachable, "does not answer"},
			{"drips", wsman.Faults{On: "Receive", Drip: time.Hour}, procedure.ErrNoReply, "fell silent"},
		} {
			t.Run(way.String()+"_"+c.name, func(t *testing.T) {
				t.Parallel()
				var seen func() string
				s, client := host(t, echo, func(o *Options) { way.set(o); seen = tapped(o, nil, nil) })
				s.SetFaults(c.faults)
				_, err := client.Run(context.Background(), Command{Line: "the-command", Limit: 10 * time.Minute})
				if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %v with %q", err, c.kind, c.says)
				}
				if strings.Contains(seen(), "the-command") {
					t.Error("the command went out in clear")
				}
				s.SetFaults(wsman.Faults{})
				if _, err := client.Run(context.Background(), Command{Line: "x", Stdin: []byte("y"), Limit: time.Hour}); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		}
	}
}

// plainOdd is a host without TLS that answers logins in its own way.
func plainOdd(t *testing.T, serve http.HandlerFunc) (*Client, func() string) {
	t.Helper()
	s := httptest.NewServer(serve)
	t.Cleanup(s.Close)
	o := Options{Host: "127.0.0.1", Port: s.Listener.Addr().(*net.TCPAddr).Port, Auth: "ntlm", Username: "u", Password: secret.New("hunter2"), Clock: fast()}
	seen := tapped(&o, nil, nil)
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, seen
}

// TestNothingWeakerIsTaken: Basic alone, and NTLM that would only sign, end before anything is proved.
func TestNothingWeakerIsTaken(t *testing.T) {
	t.Parallel()
	weak := make([]byte, 48)
	copy(weak, "NTLMSSP\x00\x02")
	binary.LittleEndian.PutUint32(weak[20:], 0x20080215) // signs, and does not seal
	for _, c := range []struct {
		offer string
		kind  error
		says  string
	}{
		{`Basic realm="WSMAN"`, procedure.ErrDenied, "offers Basic"},
		{"Negotiate " + base64.StdEncoding.EncodeToString(weak), procedure.ErrRefused, "allows no sealing"},
		{"Negotiate " + base64.StdEncoding.EncodeToString(weak[:24]), procedure.ErrUnreachable, "too short"},
	} {
		client, seen := plainOdd(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", c.offer)
			w.WriteHeader(http.StatusUnauthorized)
		})
		_, err := client.Run(context.Background(), Command{Line: "x", Limit: time.Hour})
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", c.offer, err)
		}
		if n := strings.Count(seen(), "POST /wsman"); n != 1 {
			t.Errorf("%s: %d requests, want the hello alone", c.offer, n)
		}
	}
}

// TestBindingToTheCertificate: who terminates TLS in between cannot pass the login on, even if we trust him.
func TestBindingToTheCertificate(t *testing.T) {
	t.Parallel()
	for _, auth := range []string{"ntlm", "kerberos"} {
		s, c := host(t, echo, func(o *Options) { o.Auth, o.Insecure, o.Fingerprint = auth, true, "" })
		relay := relayTLS(t, elsewhere(t), s.Addr())
		c.first.http.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, relay)
		}
		if _, err := c.Run(context.Background(), Command{Line: "x", Stdin: []byte("y"), Limit: 10 * time.Minute}); !errors.Is(err, procedure.ErrDenied) {
			t.Errorf("%s: through somebody else's TLS: %v", auth, err)
		}
	}
}

// TestTickets: one that is out of date, and one for another host.
func TestTickets(t *testing.T) {
	t.Parallel()
	account, err := wsman.NewKerberos("host.example.com", "computer")
	if err != nil {
		t.Fatal(err)
	}
	other, err := wsman.NewKerberos("host.example.com", "another computer's key")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := wsman.NewKerberos("other.example.com", "computer")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		account *wsman.Kerberos
		ends    time.Duration
		kind    error
		says    string
	}{
		{"expired", account, -time.Minute, procedure.ErrDenied, "ends at"},
		{"of another key", other, time.Hour, procedure.ErrDenied, "a ticket for another computer"},
		{"for another host", elsewhere, time.Hour, procedure.ErrRefused, "holds no ticket of realm"},
	} {
		entry, err := c.account.Ticket("admin", time.Now().Add(c.ends))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "ccache")
		if err := os.WriteFile(file, wsman.Cache("admin", entry), 0o600); err != nil {
			t.Fatal(err)
		}
		_, client := host(t, echo, func(o *Options) { o.Auth, o.TLS, o.CCache = "kerberos", false, file })
		if _, err := client.Run(context.Background(), Command{Line: "x", Limit: time.Hour}); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestPrincipal(t *testing.T) {
	t.Parallel()
	conf, err := krb5("EXAMPLE.COM")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"u": "u@EXAMPLE.COM", `EXAMPLE\u`: "u@EXAMPLE.COM", "u@example.com": "u@EXAMPLE.COM", "u@sub.example.com": "u@SUB.EXAMPLE.COM", `sub.example.com\u`: "u@SUB.EXAMPLE.COM",
		`.\u`: "", `OTHER\u`: "", "u@other": "",
	} {
		name, realm, err := principal(in, conf)
		if got := strings.TrimSuffix(name+"@"+realm, "@"); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}
