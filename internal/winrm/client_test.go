package winrm

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
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
		return 1, nil
	}
	fmt.Fprintf(c.Stdout, "%s|%s|%s\n", c.User, c.Line, text)
	return 7, nil
}

// fast makes the operation time-out 0.6 s of wall time.
func fast() clock.Clock { return clock.New(time.Now(), 100) }

func host(t *testing.T, run runner, change ...func(*Options)) (*wsman.Server, *Client) {
	t.Helper()
	cert, err := wsman.SelfSigned("127.0.0.1", "host.example.com")
	if err != nil {
		t.Fatal(err)
	}
	clk := fast()
	s, err := wsman.Listen("127.0.0.1:0", wsman.Options{Clock: clk, User: "admin", Password: "hunter2", Certificate: cert, Basic: true, NTLM: true, Runner: run})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	o := Options{Host: "127.0.0.1", Port: s.Port(), TLS: true, Auth: "ntlm", Username: `HOST\admin`, Password: secret.New("hunter2"), Fingerprint: wsman.Fingerprint(cert), Clock: clk}
	for _, f := range change {
		f(&o)
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

func TestRun(t *testing.T) {
	t.Parallel()
	for _, auth := range []string{"ntlm", "basic"} {
		for _, user := range []string{`HOST\admin`, "admin@host", `.\admin`, "admin"} {
			_, c := host(t, echo, func(o *Options) { o.Auth, o.Username = auth, user })
			for range 2 {
				var got []string
				exit, err := c.Run(context.Background(), Command{Line: `powershell.exe -Command "& <ü>"`, Stdin: []byte("hello"), Stdout: func(l string) { got = append(got, l) }, Limit: time.Hour})
				if err != nil || exit.Code != 7 || len(got) != 1 || !strings.HasSuffix(got[0], `|powershell.exe -Command "& <ü>"|hello`) {
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
		line := strings.Repeat("x", 99) + "\n"
		for range 50_000 {
			_, _ = io.WriteString(c.Stdout, line)
		}
		_, _ = io.WriteString(c.Stdout, "no newline at the end")
		return 0, nil
	})
	var count, long int
	last := ""
	_, err := c.Run(context.Background(), Command{Line: "x", Stdin: make([]byte, 1<<20), Limit: 3 * time.Hour, Stdout: func(l string) {
		count++
		if len(l) == 99 {
			long++
		}
		if count >= 2 && count <= 4 && l != "ä" || count == 1 && l != fmt.Sprint(1<<20) {
			t.Errorf("line %d is %q", count, l)
		}
		last = l
	}})
	if err != nil || long != 50_000 || last != "no newline at the end" {
		t.Errorf("%d long lines, last %q, %v", long, last, err)
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

// TestFaults: each fault has one outcome, and the kind says whether anything may have been run.
func TestFaults(t *testing.T) {
	t.Parallel()
	var ran atomic.Int32
	count := func(err error) runner {
		return func(context.Context, wsman.Command) (int, error) {
			if err != wsman.ErrReset {
				ran.Add(1)
			}
			return 0, err
		}
	}
	hang := func(ctx context.Context, _ wsman.Command) (int, error) { <-ctx.Done(); return 0, nil }
	for _, c := range []struct {
		name   string
		run    runner
		faults wsman.Faults
		option func(*Options)
		kind   error
		says   string
	}{
		{name: "wrong_password", option: func(o *Options) { o.Password = secret.New("wrong") }, kind: procedure.ErrDenied, says: "refuses the login"},
		{name: "wrong_password_basic", option: func(o *Options) { o.Auth, o.Password = "basic", secret.New("wrong") }, kind: procedure.ErrDenied, says: "refuses the login"},
		{name: "unauthorized", faults: wsman.Faults{Unauthorized: true}, kind: procedure.ErrDenied, says: "no NTLM challenge"},
		{name: "untrusted_certificate", option: func(o *Options) { o.Fingerprint = "" }, kind: procedure.ErrRefused, says: "OCTOPATCH_WINRM_FINGERPRINT"},
		{name: "another_fingerprint", option: func(o *Options) { o.Fingerprint = strings.Repeat("00", 32) }, kind: procedure.ErrRefused, says: "another certificate"},
		{name: "access_denied", faults: wsman.Faults{SOAP: "denied"}, kind: procedure.ErrDenied, says: "JEA"},
		{name: "quota", faults: wsman.Faults{SOAP: "quota"}, kind: procedure.ErrUnreachable, says: "too many shells"},
		{name: "unknown_fault", faults: wsman.Faults{SOAP: "unknown"}, kind: procedure.ErrUnreachable, says: "InternalError"},
		{name: "service_unavailable", faults: wsman.Faults{Status: 503}, kind: procedure.ErrUnreachable, says: "HTTP 503"},
		{name: "reset_before", faults: wsman.Faults{Resets: 1}, kind: procedure.ErrUnreachable, says: "cannot be reached"},
		{name: "black_hole", faults: wsman.Faults{BlackHole: true}, kind: procedure.ErrUnreachable, says: "cannot be reached"},
		{name: "refused", option: func(o *Options) { o.Port = 1 }, kind: procedure.ErrUnreachable, says: "no connection"},
		{name: "reply_lost", run: count(wsman.ErrLost), kind: procedure.ErrNoReply, says: "before the command's answer"},
		{name: "never_ends", run: hang, kind: procedure.ErrNoReply, says: "no end of the command"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.run == nil {
				c.run = count(nil)
			}
			change := c.option
			if change == nil {
				change = func(*Options) {}
			}
			s, client := host(t, c.run, change)
			s.SetFaults(c.faults)
			began := time.Now()
			_, err := client.Run(context.Background(), Command{Line: "x", Limit: 100 * time.Second})
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %v and %q", err, c.kind, c.says)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %s, and the limit was 1 s of wall time", took)
			}
			if errors.Is(c.kind, procedure.ErrDenied) && s.Refused() > 1 {
				t.Errorf("the login was tried %d times", s.Refused())
			}
		})
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

func TestPlainHTTPIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{Host: "h", Port: 5985, Auth: "basic"}); !errors.Is(err, procedure.ErrRefused) {
		t.Errorf("got %v", err)
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
	go func() {
		<-started
		s.Down()
	}()
	if _, err := c.Run(context.Background(), Command{Line: "hang", Limit: time.Hour}); !errors.Is(err, procedure.ErrNoReply) {
		t.Errorf("got %v, want no reply", err)
	}
	if _, err := c.Run(context.Background(), Command{Line: "x", Limit: time.Minute}); !errors.Is(err, procedure.ErrUnreachable) {
		t.Errorf("while down: got %v, want unreachable", err)
	}
	if err := s.Up(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(context.Background(), Command{Line: "x", Limit: time.Hour}); err != nil {
		t.Errorf("after the reboot: %v", err)
	}
}

// TestNothingOutlivesTheCalls: goroutines are back to where they were after good and bad calls.
func TestNothingOutlivesTheCalls(t *testing.T) {
	before := runtime.NumGoroutine()
	func() {
		s, c := host(t, func(ctx context.Context, cmd wsman.Command) (int, error) {
			if cmd.Line == "hang" {
				<-ctx.Done()
			}
			return 0, nil
		})
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := c.Run(ctx, Command{Line: "hang", Limit: time.Hour}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's end", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a cancelled call took %s", took)
		}
		if _, err := c.Run(context.Background(), Command{Line: "x", Limit: time.Hour}); err != nil {
			t.Error(err)
		}
		c.Close()
		s.Close()
	}()
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	buf := make([]byte, 1<<16)
	t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}
