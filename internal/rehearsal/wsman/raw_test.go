package wsman

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/Azure/go-ntlmssp"

	"github.com/octopatch/octopatch/internal/clock"
)

// The tests speak the protocol by hand, from its documents, so that the server is held against these and not
// against our own client.

type runner func(ctx context.Context, c Command) (int, error)

func (r runner) Run(ctx context.Context, c Command) (int, error) { return r(ctx, c) }

func cat(_ context.Context, c Command) (int, error) {
	_, err := io.Copy(c.Stdout, c.Stdin)
	return 3, err
}

// peer is a client with one connection.
type peer struct {
	t     *testing.T
	s     *Server
	http  *http.Client
	login string // the Authorization header
	shell string
}

func serve(t *testing.T, run runner) *peer {
	t.Helper()
	cert, err := SelfSigned("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Listen("127.0.0.1:0", Options{Clock: clock.New(time.Now(), 100), User: "admin", Password: "pässword", Certificate: cert, Basic: true, NTLM: true, Runner: run})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return newPeer(t, s)
}

func newPeer(t *testing.T, s *Server) *peer {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxConnsPerHost: 1}
	t.Cleanup(tr.CloseIdleConnections)
	return &peer{t: t, s: s, http: &http.Client{Transport: tr, Timeout: 20 * time.Second},
		login: "Basic " + base64.StdEncoding.EncodeToString([]byte("admin:pässword"))}
}

func (p *peer) post(body string) (*http.Response, string, error) {
	r, err := http.NewRequest(http.MethodPost, "https://"+p.s.Addr()+"/wsman", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/soap+xml;charset=UTF-8")
	if p.login != "" {
		r.Header.Set("Authorization", p.login)
	}
	response, err := p.http.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response, string(text), err
}

const cmd = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd"

// soap is a request as other clients write it: another prefix for each namespace than the server's own.
func (p *peer) soap(action, body string, more ...string) string {
	resource, timeout := cmd, "PT60S"
	for _, m := range more {
		if strings.HasPrefix(m, "PT") {
			timeout = m
		} else {
			resource = m
		}
	}
	selector := ""
	if p.shell != "" {
		selector = `<wsman:SelectorSet><wsman:Selector Name="ShellId">` + p.shell + `</wsman:Selector></wsman:SelectorSet>`
	}
	return `<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:wsman="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:sh="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"><env:Header>` +
		`<wsa:Action mustUnderstand="true">` + action + `</wsa:Action><wsa:MessageID>uuid:4711</wsa:MessageID><wsman:ResourceURI>` + resource + `</wsman:ResourceURI>` +
		`<wsman:MaxEnvelopeSize>16384</wsman:MaxEnvelopeSize><wsman:OperationTimeout>` + timeout + `</wsman:OperationTimeout>` + selector + `</env:Header><env:Body>` + body + `</env:Body></env:Envelope>`
}

// ask posts a request and wants a good answer.
func (p *peer) ask(action, body string) string {
	p.t.Helper()
	r, text, err := p.post(p.soap(action, body))
	if err != nil || r.StatusCode != http.StatusOK || !strings.Contains(text, "<a:Action>"+action+"Response</a:Action>") || !strings.Contains(text, "<a:RelatesTo>uuid:4711</a:RelatesTo>") {
		p.t.Fatalf("%s: %v %.600s", action, err, text)
	}
	return text
}

// refused posts a request and wants the fault.
func (p *peer) refused(code uint32, request string) {
	p.t.Helper()
	r, text, err := p.post(request)
	if err != nil || r.StatusCode != http.StatusInternalServerError || !strings.Contains(text, fmt.Sprintf(`Code="%d"`, code)) || !strings.Contains(text, "wsman/fault</a:Action>") {
		p.t.Errorf("want fault %d: %v %.600s", code, err, text)
	}
}

func (p *peer) open() {
	p.t.Helper()
	p.shell = ""
	text := p.ask("http://schemas.xmlsoap.org/ws/2004/09/transfer/Create", `<sh:Shell><sh:InputStreams>stdin</sh:InputStreams><sh:OutputStreams>stdout stderr</sh:OutputStreams></sh:Shell>`)
	p.shell = between(text, "<rsp:ShellId>", "</rsp:ShellId>")
	if !strings.Contains(text, `<w:Selector Name="ShellId">`+p.shell+`</w:Selector>`) {
		p.t.Errorf("no selector in %s", text)
	}
}

func (p *peer) start(line string) string {
	p.t.Helper()
	return between(p.ask(shellURI+"/Command", `<sh:CommandLine><sh:Command>`+line+`</sh:Command><sh:Arguments>one</sh:Arguments><sh:Arguments>two</sh:Arguments></sh:CommandLine>`), "<rsp:CommandId>", "</rsp:CommandId>")
}

func (p *peer) send(id, text, end string) {
	p.t.Helper()
	p.ask(shellURI+"/Send", `<sh:Send><sh:Stream Name="stdin" CommandId="`+id+`"`+end+`>`+base64.StdEncoding.EncodeToString([]byte(text))+`</sh:Stream></sh:Send>`)
}

func receiveBody(id string) string {
	return `<sh:Receive><sh:DesiredStream CommandId="` + id + `">stdout stderr</sh:DesiredStream></sh:Receive>`
}

var outStream = regexp.MustCompile(`<rsp:Stream Name="stdout" CommandId="[^"]+">([^<]*)</rsp:Stream>`)

// drain receives until the end, and wants each answer within the envelope's size.
func (p *peer) drain(id string) (string, string) {
	p.t.Helper()
	var out strings.Builder
	for {
		text := p.ask(shellURI+"/Receive", receiveBody(id))
		if len(text) > 16384 {
			p.t.Errorf("an answer of %d bytes, the client takes 16384", len(text))
		}
		for _, m := range outStream.FindAllStringSubmatch(text, -1) {
			raw, err := base64.StdEncoding.DecodeString(m[1])
			if err != nil {
				p.t.Fatal(err)
			}
			out.Write(raw)
		}
		if strings.Contains(text, "CommandState/Done") {
			return out.String(), between(text, "<rsp:ExitCode>", "</rsp:ExitCode>")
		}
	}
}

func between(text, first, last string) string {
	_, text, _ = strings.Cut(text, first)
	text, _, _ = strings.Cut(text, last)
	return text
}

// ntlm is one login on the peer's connection; it says whether the proof was taken.
func (p *peer) ntlm(user, password, body string) (*http.Response, error) {
	hello, err := ntlmssp.NewNegotiateMessage("", "")
	if err != nil {
		return nil, err
	}
	p.login = "Negotiate " + base64.StdEncoding.EncodeToString(hello)
	r, _, err := p.post("")
	if err != nil {
		return nil, err
	}
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("WWW-Authenticate"), "Negotiate "))
	if err != nil || r.StatusCode != http.StatusUnauthorized || len(challenge) == 0 {
		return nil, errors.New("no challenge")
	}
	proof, err := ntlmssp.NewAuthenticateMessage(challenge, user, password, nil)
	if err != nil {
		return nil, err
	}
	p.login = "Negotiate " + base64.StdEncoding.EncodeToString(proof)
	r, _, err = p.post(body)
	return r, err
}
