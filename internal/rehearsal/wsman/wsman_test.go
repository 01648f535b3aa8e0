package wsman

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestLifeOfAShell(t *testing.T) {
	t.Parallel()
	var line string
	p := serve(t, func(ctx context.Context, c Command) (int, error) { line = c.Line; return cat(ctx, c) })
	p.open()
	id := p.start("echo &lt;&amp;&gt;")
	p.send(id, "hello ", "")
	p.send(id, "wörld", ` End="true"`)
	if out, exit := p.drain(id); out != "hello wörld" || exit != "3" || line != "echo <&> one two" {
		t.Errorf("out %q, exit %s, line %q", out, exit, line)
	}
	p.ask(shellURI+"/Signal", `<sh:Signal CommandId="`+id+`"><sh:Code>http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/terminate</sh:Code></sh:Signal>`)
	p.ask(transferURI+"/Delete", "")
	if n := p.s.Shells(); n != 0 {
		t.Errorf("%d shells are left", n)
	}
	p.refused(2150858843, p.soap(shellURI+"/Receive", receiveBody(id)))
}

// TestLargeOutput: many answers, none larger than the client said that it takes.
func TestLargeOutput(t *testing.T) {
	t.Parallel()
	p := serve(t, func(_ context.Context, c Command) (int, error) {
		for range 100 {
			fmt.Fprintf(c.Stdout, "%09999d\n", 1)
			fmt.Fprintf(c.Stderr, "%0999d\n", 1)
		}
		return 0, nil
	})
	p.open()
	if out, exit := p.drain(p.start("x")); len(out) != 1_000_000 || exit != "0" {
		t.Errorf("%d bytes, exit %s", len(out), exit)
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	p := serve(t, func(ctx context.Context, _ Command) (int, error) { <-ctx.Done(); return 0, nil })
	p.refused(2150858778, p.soap(transferURI+"/Create", "<sh:Shell/>", "http://schemas.microsoft.com/powershell/Microsoft.PowerShell"))
	p.shell = "11111111-2222"
	p.refused(2150858843, p.soap(shellURI+"/Command", "<sh:CommandLine><sh:Command>x</sh:Command></sh:CommandLine>"))
	p.open()
	p.refused(2150858770, p.soap("http://schemas.xmlsoap.org/ws/2004/09/transfer/Get", ""))
	id := p.start("x")
	began := time.Now()
	p.refused(2150858793, p.soap(shellURI+"/Receive", receiveBody(id), "PT20S"))
	if took := time.Since(began); took < 190*time.Millisecond || took > 2*time.Second {
		t.Errorf("a Receive with nothing to say took %s, want 20 s on the fast clock", took)
	}
	for _, body := range []string{"<html", "<x/>"} {
		if r, _, err := p.post(body); err != nil || r.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %v %v", body, r, err)
		}
	}
	if r, _, err := p.post(strings.Repeat(" ", maxRequest+1)); err != nil || r.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %v %v", r, err)
	}
}

// TestUnreadStdin: Send waits for a process that does not read, and no longer than its operation time-out.
func TestUnreadStdin(t *testing.T) {
	t.Parallel()
	p := serve(t, func(ctx context.Context, _ Command) (int, error) { <-ctx.Done(); return 0, nil })
	p.open()
	id := p.start("x")
	big := base64.StdEncoding.EncodeToString(make([]byte, stdinHolds+1))
	p.refused(2150858793, p.soap(shellURI+"/Send", `<sh:Send><sh:Stream Name="stdin" CommandId="`+id+`">`+big+`</sh:Stream></sh:Send>`, "PT5S"))
}

func TestQuota(t *testing.T) {
	t.Parallel()
	p := serve(t, cat)
	for range maxShells {
		p.open()
	}
	p.shell = ""
	p.refused(2150859173, p.soap(transferURI+"/Create", "<sh:Shell/>"))
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	p := serve(t, cat)
	const body = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:wsmid="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"><s:Header/><s:Body><wsmid:Identify/></s:Body></s:Envelope>`
	if r, text, err := p.post(body); err != nil || r.StatusCode != http.StatusOK || !strings.Contains(text, "Microsoft Corporation") {
		t.Errorf("%v %s", err, text)
	}
	p.login = ""
	if r, _, err := p.post(body); err != nil || r.StatusCode != http.StatusUnauthorized {
		t.Errorf("without login and header: %v %v", r, err)
	}
}

func TestBasicLogin(t *testing.T) {
	t.Parallel()
	p := serve(t, cat)
	for _, c := range []struct {
		login  string
		status int
	}{
		{"admin:pässword", http.StatusOK}, {`HOST\admin:pässword`, http.StatusOK}, {"Admin:pässword", http.StatusOK},
		{"admin:password", http.StatusUnauthorized}, {"root:pässword", http.StatusUnauthorized}, {"admin", http.StatusUnauthorized},
	} {
		p.login, p.shell = "Basic "+base64.StdEncoding.EncodeToString([]byte(c.login)), ""
		r, _, err := p.post(p.soap(transferURI+"/Create", "<sh:Shell/>"))
		if err != nil || r.StatusCode != c.status {
			t.Errorf("%s: %v %v, want %d", c.login, r, err, c.status)
		}
		if c.status != http.StatusOK && strings.Join(r.Header.Values("WWW-Authenticate"), " ") != `Negotiate Basic realm="WSMAN"` {
			t.Errorf("%s: offers %q", c.login, r.Header.Values("WWW-Authenticate"))
		}
	}
	if n := p.s.Refused(); n != 3 {
		t.Errorf("%d refused logins", n)
	}
}

// TestNTLMLogin: the proof counts for its connection and for nothing else.
func TestNTLMLogin(t *testing.T) {
	t.Parallel()
	first := serve(t, cat)
	create := first.soap(transferURI+"/Create", "<sh:Shell/>")
	for _, c := range []struct {
		user, password string
		status         int
	}{{"admin", "password", http.StatusUnauthorized}, {"root", "pässword", http.StatusUnauthorized}, {`HOST\admin`, "pässword", http.StatusOK}} {
		if r, err := first.ntlm(c.user, c.password, create); err != nil || r.StatusCode != c.status {
			t.Errorf("%s: %v %v, want %d", c.user, r, err, c.status)
		}
	}
	proof := first.login
	first.login = ""
	if r, _, err := first.post(create); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("on the same connection: %v %v", r, err)
	}
	other := newPeer(t, first.s)
	for _, login := range []string{"", proof} {
		other.login = login
		if r, _, err := other.post(create); err != nil || r.StatusCode != http.StatusUnauthorized {
			t.Errorf("on another connection: %v %v", r, err)
		}
	}
}

// TestDownAndUp: a reboot ends commands and shells; the address stays.
func TestDownAndUp(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	p := serve(t, func(ctx context.Context, c Command) (int, error) {
		<-ctx.Done()
		_, err := io.ReadAll(c.Stdin)
		if err == nil {
			t.Error("stdin ended as if all of it had come")
		}
		close(ended)
		return 0, nil
	})
	p.open()
	id, addr := p.start("x"), p.s.Addr()
	p.s.Down()
	<-ended
	if _, _, err := p.post(p.soap(shellURI+"/Receive", receiveBody(id))); err == nil {
		t.Error("it answers while it is down")
	}
	for range 2 { // Up is harmless when it is up
		if err := p.s.Up(); err != nil || p.s.Addr() != addr {
			t.Fatalf("%v, at %s and before at %s", err, p.s.Addr(), addr)
		}
	}
	p.refused(2150858843, p.soap(shellURI+"/Receive", receiveBody(id)))
}

// TestTerminated: Signal ends the process, whose Receive then says so.
func TestTerminated(t *testing.T) {
	t.Parallel()
	p := serve(t, func(ctx context.Context, _ Command) (int, error) { <-ctx.Done(); return 9, nil })
	p.open()
	id := p.start("x")
	p.ask(shellURI+"/Signal", `<sh:Signal CommandId="`+id+`"><sh:Code>http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/ctrl_c</sh:Code></sh:Signal>`)
	if _, exit := p.drain(id); exit != "9" {
		t.Errorf("exit %s", exit)
	}
}

// TestLoss: both losses cut the connection, for this shell and not for another.
func TestLoss(t *testing.T) {
	t.Parallel()
	for _, loss := range []error{ErrLost, ErrReset} {
		p := serve(t, func(_ context.Context, c Command) (int, error) {
			fmt.Fprintln(c.Stdout, "never seen")
			return 0, loss
		})
		p.open()
		r, text, err := p.post(p.soap(shellURI+"/Command", "<sh:CommandLine><sh:Command>x</sh:Command></sh:CommandLine>"))
		for i := 0; err == nil && r.StatusCode == http.StatusOK && i < 100; i++ {
			if id := between(text, "<rsp:CommandId>", "</rsp:CommandId>"); id != "" {
				_, text, err = p.post(p.soap(shellURI+"/Receive", receiveBody(id)))
			}
		}
		if err == nil {
			t.Errorf("%v: still answers: %d %s", loss, r.StatusCode, text)
		}
		if _, _, err := p.post(p.soap(transferURI+"/Delete", "")); err == nil {
			t.Errorf("%v: Delete is answered", loss)
		}
		p.open()
	}
}

func TestFaultsStrikeTheirAction(t *testing.T) {
	t.Parallel()
	p := serve(t, cat)
	p.s.SetFaults(Faults{On: "Command", SOAP: "operations", Times: 1})
	p.open()
	request := p.soap(shellURI+"/Command", "<sh:CommandLine><sh:Command>x</sh:Command></sh:CommandLine>")
	p.refused(2150859174, request)
	if r, _, err := p.post(request); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("the second time: %v %v", r, err)
	}
	p.s.SetFaults(Faults{On: "Delete", Resets: 1})
	p.open()
	if _, _, err := p.post(p.soap(transferURI+"/Delete", "")); err == nil {
		t.Error("Delete is answered")
	}
	p.ask(transferURI+"/Delete", "")
	p.s.SetFaults(Faults{Status: http.StatusServiceUnavailable})
	if r, _, err := p.post(request); err != nil || r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%v %v", r, err)
	}
}
