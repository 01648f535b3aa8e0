package winrm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
)

// wire is what lies between client and host: it can fall silent, drip, or cut pieces small. Nothing of it is
// left after the test.
type wire struct {
	silent atomic.Bool   // half-open: nothing comes through any more, and nobody is told
	drip   time.Duration // so long a byte of an answer takes
	small  bool          // answers arrive byte by byte
	open   atomic.Int32  // connections
}

type wired struct {
	net.Conn
	w    *wire
	once sync.Once
	done chan struct{}
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.open.Add(1)
	return &wired{Conn: conn, w: w, done: make(chan struct{})}, nil
}

func (c *wired) Write(b []byte) (int, error) {
	if c.w.silent.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *wired) Read(b []byte) (int, error) {
	if c.w.silent.Load() {
		<-c.done
		return 0, net.ErrClosed
	}
	if c.w.drip > 0 || c.w.small {
		b = b[:min(1, len(b))]
	}
	if c.w.drip > 0 {
		select {
		case <-time.After(c.w.drip):
		case <-c.done:
			return 0, net.ErrClosed
		}
	}
	return c.Conn.Read(b)
}

func (c *wired) Close() error {
	c.once.Do(func() { c.w.open.Add(-1); close(c.done) })
	return c.Conn.Close()
}

// sockets counts the open sockets of this process; 0 where the system does not tell.
func sockets() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	n := 0
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// settle waits until goroutines and sockets are back to where they were.
func settle(t *testing.T, what string, goroutines, open int) {
	t.Helper()
	for range 150 {
		if runtime.NumGoroutine() <= goroutines && sockets() <= open {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	buf := make([]byte, 1<<16)
	t.Errorf("%s: %d goroutines, %d before; %d sockets, %d before:\n%s", what, runtime.NumGoroutine(), goroutines, sockets(), open, buf[:runtime.Stack(buf, true)])
}

// TestNothingIsLeft: each thing that can happen to a call, by each way; the outcome is one of the promised ones,
// in time, and afterwards goroutines and sockets are where they were. It counts the whole process's, so it is
// not parallel.
func TestNothingIsLeft(t *testing.T) {
	wait := func(ctx context.Context, _ wsman.Command) (int, error) { <-ctx.Done(); return 0, nil }
	huge := func(_ context.Context, c wsman.Command) (int, error) {
		line := bytes.Repeat([]byte("ü"), 32<<10)
		for range 64 {
			_, _ = c.Stdout.Write(append(line, '\n'))
		}
		return 0, nil
	}
	split := func(_ context.Context, c wsman.Command) (int, error) {
		for _, b := range []byte("grüße 日本語 😀\n") {
			_, _ = c.Stdout.Write([]byte{b})
		}
		return 0, nil
	}
	for _, c := range []struct {
		name   string
		run    runner
		faults wsman.Faults
		wire   func(*wire, *wsman.Server)
		limit  time.Duration // of the command, in the clock's time
		kind   error         // nil: it works
		lines  int

		cleared bool // the host has no shell afterwards, although the call failed
	}{
		{name: "good", run: echo, lines: 1},
		{name: "fault", run: echo, faults: wsman.Faults{On: "Command", SOAP: "denied"}, kind: procedure.ErrDenied},
		{name: "fault in the middle", run: wait, faults: wsman.Faults{On: "Receive", SOAP: "no-shell"}, kind: procedure.ErrNoReply},
		{name: "quota", run: echo, faults: wsman.Faults{SOAP: "quota"}, kind: procedure.ErrUnreachable},
		{name: "refused login", run: echo, faults: wsman.Faults{Unauthorized: true}, kind: procedure.ErrDenied},
		{name: "black hole", run: echo, faults: wsman.Faults{BlackHole: true}, kind: procedure.ErrUnreachable},
		{name: "black hole in the middle", run: wait, faults: wsman.Faults{On: "Receive", BlackHole: true}, kind: procedure.ErrNoReply},
		{name: "endless answer", run: echo, faults: wsman.Faults{On: "Create", Status: 200, Text: strings.Repeat("x", 3*maxBody)}, kind: procedure.ErrUnreachable},
		{name: "endless answer in the middle", run: wait, faults: wsman.Faults{On: "Receive", Status: 200, Text: strings.Repeat("x", 3*maxBody)}, kind: procedure.ErrNoReply, cleared: true},
		{name: "reset", run: echo, faults: wsman.Faults{On: "Command", Resets: 1}, kind: procedure.ErrNoReply},
		{name: "half-open", run: wait, wire: func(w *wire, _ *wsman.Server) { w.silent.Store(true) }, kind: procedure.ErrNoReply},
		{name: "host goes down", run: wait, wire: func(_ *wire, s *wsman.Server) { s.Down() }, kind: procedure.ErrNoReply},
		{name: "limit", run: wait, limit: 10 * time.Second, kind: procedure.ErrNoReply},
		{name: "slow drip", run: echo, wire: func(w *wire, _ *wsman.Server) { w.drip = 100 * time.Millisecond }, kind: procedure.ErrUnreachable},
		{name: "huge output", run: huge, lines: 64},
		{name: "split UTF-8, byte by byte", run: split, wire: func(w *wire, _ *wsman.Server) { w.small = true }, lines: 1},
	} {
		ways := allWays
		if c.kind != nil && c.faults.SOAP == "" { // these take their time
			ways = []way{{"ntlm", true}, {"ntlm", false}, {"kerberos", false}}
		}
		for _, way := range ways {
			goroutines, open := runtime.NumGoroutine(), sockets()
			t.Run(c.name+"/"+way.String(), func(t *testing.T) {
				one(t, way, c.run, c.faults, c.wire, c.limit, c.kind, c.lines, c.cleared)
			})
			settle(t, c.name+"/"+way.String(), goroutines, open)
		}
	}
}

// one makes one call, and ends all that it began itself, so that what is left was left by the client.
func one(t *testing.T, way way, run runner, faults wsman.Faults, change func(*wire, *wsman.Server), limit time.Duration, kind error, lines int, cleared bool) {
	w := &wire{}
	begun := make(chan struct{}, 1)
	s, c := hostAt(t, clock.New(time.Now(), 100), func(ctx context.Context, cmd wsman.Command) (int, error) {
		begun <- struct{}{}
		return run(ctx, cmd)
	}, func(o *Options) { way.set(o); o.Dial = w.dial })
	s.SetFaults(faults)
	switch {
	case change == nil:
	case kind == procedure.ErrNoReply: // in the middle of the command
		go func() {
			<-begun
			change(w, s)
		}()
	default:
		change(w, s)
	}
	if limit == 0 {
		limit = 300 * time.Second
	}
	count, last := 0, ""
	start := time.Now()
	_, err := c.Run(context.Background(), Command{Line: "x", Stdin: []byte("y"), Limit: limit, Stdout: func(l string) { count++; last = l }})
	if !errors.Is(err, kind) || kind == nil && err != nil {
		t.Errorf("got %v, want %v", err, kind)
	}
	if took := time.Since(start); took > 6*time.Second {
		t.Errorf("took %s", took)
	}
	if kind == nil && (count != lines || strings.Contains(last, "\ufffd")) {
		t.Errorf("%d lines, last %.40q", count, last)
	}
	if cleared && s.Shells() != 0 {
		t.Errorf("%d shells are left on the host", s.Shells())
	}
	c.Close()
	w.closed(t) // by the client, and not because the host is gone
	s.Close()
}

// closed waits until no connection is left.
func (w *wire) closed(t *testing.T) {
	t.Helper()
	for range 20 { // not so long that they end by being idle
		if w.open.Load() == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%d connections are left after Close", w.open.Load())
}

// TestKDC: one that takes the question and never answers costs the call its time, one that answers nonsense
// ends it; the connection goes with the call.
func TestKDC(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		kind         error
		says         string
	}{
		{"silent", "", procedure.ErrUnreachable, "no KDC answers"},
		{"nonsense", "\x00\x00\x00\x05hello", procedure.ErrDenied, "cannot be used"},
		{"too much", "\xff\xff\xff\xff", procedure.ErrUnreachable, "announces 4294967295 bytes"},
	} {
		goroutines, open := runtime.NumGoroutine(), sockets()
		t.Run(c.name, func(t *testing.T) { oddKDC(t, c.answer, c.kind, c.says) })
		settle(t, c.name, goroutines, open)
	}
}

func oddKDC(t *testing.T, answer string, kind error, says string) {
	kdc, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hungUp := make(chan struct{}, 9)
	var served sync.WaitGroup
	defer served.Wait()
	defer kdc.Close()
	served.Go(func() {
		for {
			conn, err := kdc.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, answer)
				_ = conn.SetReadDeadline(time.Now().Add(8 * time.Second))
				if _, err := io.Copy(io.Discard, conn); err == nil {
					hungUp <- struct{}{}
				}
			})
		}
	})
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "[libdefaults]\n default_realm = R\n[realms]\n R = {\n  kdc = %s\n }\n", kdc.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}
	s, c := host(t, echo, func(o *Options) { o.TLS = false })
	o := c.o
	o.Auth, o.ServerName, o.Username, o.KRB5Conf = "kerberos", "host.example.com", "u", conf
	asking, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err = asking.Run(context.Background(), Command{Line: "x", Limit: 20 * time.Second})
	if took := time.Since(start); !errors.Is(err, kind) || !strings.Contains(err.Error(), says) || took > 5*time.Second {
		t.Errorf("%v after %s", err, took)
	}
	select {
	case <-hungUp:
	case <-time.After(5 * time.Second):
		t.Error("the connection to the KDC is still open")
	}
	asking.Close()
	c.Close()
	s.Close()
}

// TestReplyOfAnotherLogin: what the host said to one login does not do for the next, even with the same ticket.
func TestReplyOfAnotherLogin(t *testing.T) {
	t.Parallel()
	_, c := host(t, echo, func(o *Options) { o.Auth, o.TLS = "kerberos", false })
	var logins []*kerberosLogin
	var replies [][]byte
	for range 2 {
		k := &kerberosLogin{tickets: c.first.tickets}
		token, err := k.prove(context.Background(), "Negotiate", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := c.first.request(context.Background(), soapType, nil, authorization("Negotiate", token)) //nolint:bodyclose // drain closes it
		if err != nil {
			t.Fatal(err)
		}
		drain(r)
		logins, replies = append(logins, k), append(replies, replyOf(r))
	}
	for i, k := range logins {
		if _, err := k.confirm(replies[i]); err != nil {
			t.Errorf("its own reply: %v", err)
		}
		if _, err := k.confirm(replies[1-i]); !errors.Is(err, errSealed) {
			t.Errorf("the other's reply: %v", err)
		}
	}
	if _, err := logins[0].confirm(nil); !errors.Is(err, errSealed) {
		t.Errorf("no reply: %v", err)
	}
}

func replyOf(r *http.Response) []byte { return token(r, "Negotiate") }
