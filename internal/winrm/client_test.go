package winrm

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
	"github.com/octopatch/octopatch/internal/secret"
)

// runner is what the host executes in a test.
type runner func(ctx context.Context, c wsman.Command) (int, error)

func (r runner) Run(ctx context.Context, c wsman.Command) (int, error) { return r(ctx, c) }

// echo reads all of stdin and writes it back.
func echo(_ context.Context, c wsman.Command) (int, error) {
	text, err := io.ReadAll(c.Stdin)
	if err != nil {
		return 1, err
	}
	fmt.Fprintf(c.Stdout, "%s|%s|%s\n", c.User, c.Line, text)
	return 7, nil
}

// fast makes the operation time-out 0.6 s of wall time.
func fast() clock.Clock { return clock.New(time.Now(), 100) }

func host(t *testing.T, run runner, change ...func(*Options)) (*wsman.Server, *Client) {
	t.Helper()
	return hostAt(t, fast(), run, change...)
}

func hostAt(t *testing.T, clk clock.Clock, run runner, change ...func(*Options)) (*wsman.Server, *Client) {
	t.Helper()
	cert, err := wsman.SelfSigned("127.0.0.1", "host.example.com")
	if err != nil {
		t.Fatal(err)
	}
	account, err := wsman.NewKerberos("host.example.com", "computer")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Host: "127.0.0.1", TLS: true, Auth: "ntlm", Username: `HOST\admin`, Password: secret.New("hunter2"), Fingerprint: wsman.Fingerprint(cert), Clock: clk}
	for _, f := range change {
		f(&o)
	}
	if o.Auth == "kerberos" {
		o = withTicket(t, o, account, time.Now().Add(time.Hour))
	}
	server := wsman.Options{Clock: clk, User: "admin", Password: "hunter2", Basic: true, NTLM: true, Kerberos: account, Runner: run}
	if o.TLS {
		server.Certificate = cert
	}
	s, err := wsman.Listen("127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if o.Port == 0 {
		o.Port = s.Port()
	}
	if o.CAPEM != nil {
		o.CAPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return s, c
}

// withTicket gives the client a credential cache with a ticket for the host, in place of a password.
func withTicket(t *testing.T, o Options, account *wsman.Kerberos, ends time.Time) Options {
	t.Helper()
	entry, err := account.Ticket("admin", ends)
	if err != nil {
		t.Fatal(err)
	}
	o.ServerName, o.Username, o.Password = "host.example.com", "", secret.Secret{}
	if o.CCache == "" {
		o.CCache = filepath.Join(t.TempDir(), "ccache")
		err = os.WriteFile(o.CCache, wsman.Cache("admin", entry), 0o600)
	}
	if o.KRB5Conf = filepath.Join(t.TempDir(), "krb5.conf"); err == nil {
		err = os.WriteFile(o.KRB5Conf, []byte("[libdefaults]\n default_realm = "+wsman.Realm+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// way is how a client logs on and over what.
type way struct {
	auth string
	tls  bool
}

func (w way) set(o *Options) { o.Auth, o.TLS = w.auth, w.tls }

func (w way) String() string {
	if w.tls {
		return w.auth + "-https"
	}
	return w.auth + "-http"
}

var (
	sealedWays = []way{{"ntlm", false}, {"kerberos", false}}
	allWays    = append([]way{{"ntlm", true}, {"basic", true}, {"kerberos", true}}, sealedWays...)
)

func TestRun(t *testing.T) {
	t.Parallel()
	for _, way := range allWays {
		auth := way.String()
		for _, user := range []string{`HOST\admin`, "admin@host", `.\admin`, "admin"} {
			dials := 0
			// Wall time: stdin that takes longer than its grace gets a second connection.
			s, c := hostAt(t, clock.New(time.Now(), 1), echo, func(o *Options) {
				way.set(o)
				o.Username = user
				o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					dials++
					return new(net.Dialer).DialContext(ctx, network, address)
				}
			})
			for range 2 {
				var got []string
				exit, err := c.Run(context.Background(), Command{Line: `powershell.exe -Command "& <ü> ]]>"`, Stdin: []byte("hello"), Stdout: func(l string) { got = append(got, l) }, Limit: time.Hour})
				if err != nil || exit.Code != 7 || len(got) != 1 || !strings.HasSuffix(got[0], `|powershell.exe -Command "& <ü> ]]>"|hello`) {
					t.Fatalf("%s %s: exit %+v, %v, output %q", auth, user, exit, err, got)
				}
			}
			total := 0
			for action, n := range c.Requests() {
				if action != "Receive" {
					total += n
				}
			}
			if total > 2*6 {
				t.Errorf("%s: two commands took %d messages besides Receive, want at most 12: %v", auth, total, c.Requests())
			}
			if dials != 1 || s.Shells() != 0 || s.Refused() != 0 {
				t.Errorf("%s: two commands took %d connections and %d refused logins, and left %d shells", auth, dials, s.Refused(), s.Shells())
			}
		}
	}
}

func TestLargeAndSplitStreams(t *testing.T) {
	t.Parallel()
	_, c := host(t, func(_ context.Context, c wsman.Command) (int, error) {
		n, _ := io.Copy(io.Discard, c.Stdin)
		fmt.Fprintln(c.Stdout, n)
		umlaut := []byte("ä\n")
		for range 3 { // one byte a write, so that characters are split between messages
			for _, b := range umlaut {
				_, _ = c.Stdout.Write([]byte{b})
				_ = fast().Sleep(context.Background(), time.Second)
			}
		}
		line := strings.Repeat("x", 999) + "\n"
		for range 5_000 {
			_, _ = io.WriteString(c.Stdout, line)
		}
		_, _ = io.WriteString(c.Stdout, "no newline at the end")
		return 0, nil
	})
	var count, long int
	last := ""
	_, err := c.Run(context.Background(), Command{Line: "x", Stdin: make([]byte, 1<<20), Limit: 3 * time.Hour, Stdout: func(l string) {
		count++
		if len(l) == 999 {
			long++
		}
		if count >= 2 && count <= 4 && l != "ä" || count == 1 && l != fmt.Sprint(1<<20) {
			t.Errorf("line %d is %q", count, l)
		}
		last = l
	}})
	if err != nil || long != 5_000 || last != "no newline at the end" {
		t.Errorf("%d long lines, last %q, %v", long, last, err)
	}
}

// TestOutputBeforeInput: a process that writes more than the pipes hold before it reads must not stop the call.
func TestOutputBeforeInput(t *testing.T) {
	t.Parallel()
	// Slower than elsewhere: the host waits 60 s for the process to read, and moving 2 MB takes its wall time.
	_, c := hostAt(t, clock.New(time.Now(), 10), func(_ context.Context, c wsman.Command) (int, error) {
		line := strings.Repeat("x", 9_999) + "\n"
		for range 200 {
			_, _ = io.WriteString(c.Stdout, line)
		}
		n, err := io.Copy(io.Discard, c.Stdin)
		fmt.Fprintln(c.Stdout, n, err)
		return 0, nil
	})
	count, last := 0, ""
	_, err := c.Run(context.Background(), Command{Line: "x", Stdin: make([]byte, 1<<20), Limit: 3 * time.Hour, Stdout: func(l string) { count++; last = l }})
	if err != nil || count != 201 || last != "1048576 <nil>" {
		t.Errorf("%d lines, last %.40q, %v", count, last, err)
	}
	if n := c.Requests()["Send"]; n != 11 {
		t.Errorf("1 MB took %d Sends, want one for each 100 KB", n)
	}
}

// TestUnreadInput: a process may end without reading its stdin.
func TestUnreadInput(t *testing.T) {
	t.Parallel()
	_, c := host(t, func(_ context.Context, c wsman.Command) (int, error) {
		fmt.Fprint(c.Stderr, "#< CLIXML\r\n<Objs><S S=\"Error\">I read nothing_x000D__x000A_</S></Objs>")
		return 1, nil
	})
	exit, err := c.Run(context.Background(), Command{Line: "x", Stdin: make([]byte, 1<<20), Limit: time.Hour})
	if err != nil || exit.Code != 1 || exit.Stderr != "I read nothing" {
		t.Errorf("%+v, %v", exit, err)
	}
}

func TestCommandLongerThanTheOperationTimeout(t *testing.T) {
	t.Parallel()
	_, c := host(t, func(ctx context.Context, c wsman.Command) (int, error) {
		_ = fast().Sleep(ctx, 150*time.Second)
		fmt.Fprintln(c.Stdout, "done")
		return 0, nil
	})
	got := ""
	if _, err := c.Run(context.Background(), Command{Line: "x", Limit: time.Hour, Stdout: func(l string) { got = l }}); err != nil || got != "done" {
		t.Errorf("got %q, %v", got, err)
	}
	if n := c.Requests()["Receive"]; n < 3 || n > 5 {
		t.Errorf("%d Receives for 150 s, want one each 60 s", n)
	}
}

func TestTrustedByAuthority(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		ok   bool
	}{{"", true}, {"host.example.com", true}, {"other.example.com", false}} {
		_, client := host(t, echo, func(o *Options) { o.Fingerprint, o.CAPEM, o.ServerName = "", []byte("own"), c.name })
		if _, err := client.Run(context.Background(), Command{Line: "x", Stdin: []byte("y"), Limit: time.Hour}); (err == nil) != c.ok {
			t.Errorf("certificate for %q: %v", c.name, err)
		}
	}
}

// TestRebootUnderACommand: the listener goes and comes back; the old command ends unknown, a new one works.
func TestRebootUnderACommand(t *testing.T) {
	t.Parallel()
	started := make(chan struct{}, 2)
	s, c := host(t, func(ctx context.Context, cmd wsman.Command) (int, error) {
		started <- struct{}{}
		if cmd.Line == "hang" {
			<-ctx.Done()
		}
		return 0, nil
	})
	down := make(chan struct{})
	go func() {
		defer close(down)
		<-started
		s.Down()
	}()
	if _, err := c.Run(context.Background(), Command{Line: "hang", Limit: time.Hour}); !errors.Is(err, procedure.ErrNoReply) {
		t.Errorf("got %v, want no reply", err)
	}
	if _, err := c.Run(context.Background(), Command{Line: "x", Limit: time.Minute}); !errors.Is(err, procedure.ErrUnreachable) {
		t.Errorf("while down: got %v, want unreachable", err)
	}
	<-down // its shells are gone before it comes back
	if err := s.Up(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(context.Background(), Command{Line: "x", Limit: time.Hour}); err != nil {
		t.Errorf("after the reboot: %v", err)
	}
}
