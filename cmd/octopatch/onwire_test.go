package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"flag"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// capture is all that went over the wire, as it was and decoded.
type capture struct {
	mu       sync.Mutex
	messages []rehearsal.Message
}

func (c *capture) note(m rehearsal.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages = append(c.messages, m)
}

// stdio is one stream of one command, put together from its pieces.
type stdio struct {
	node, command, name string
	text                bytes.Buffer
}

// streams puts the standard streams of every command together.
func (c *capture) streams() []*stdio {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*stdio
	for _, m := range c.messages {
		for _, piece := range pieces(m.Body) {
			var into *stdio
			for _, s := range list {
				if s.node == m.Node && s.command == piece.command && s.name == piece.name {
					into = s
				}
			}
			if into == nil {
				into = &stdio{node: m.Node, command: piece.command, name: piece.name}
				list = append(list, into)
			}
			into.text.Write(piece.text)
		}
	}
	return list
}

type piece struct {
	command, name string
	text          []byte
}

// pieces are the Stream elements of a SOAP message.
func pieces(body []byte) []piece {
	var list []piece
	d := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := d.Token()
		if err != nil {
			return list // JSON, a login without a body, or the end
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "Stream" {
			continue
		}
		one := piece{}
		for _, a := range start.Attr {
			switch a.Name.Local {
			case "Name":
				one.name = a.Value
			case "CommandId":
				one.command = a.Value
			}
		}
		var text string
		if d.DecodeElement(&text, &start) != nil {
			return list
		}
		if one.text, err = base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil {
			list = append(list, one)
		}
	}
}

var encoded = regexp.MustCompile(`[A-Za-z0-9+/]{8,}={0,2}`)

// decoded are the parts of a stdin that come as base64 lines, each ended by a line ".".
func decoded(stdin string) []string {
	var parts []string
	for part := range strings.SplitSeq(strings.ReplaceAll(stdin, "\r", ""), "\n.\n") {
		_, after, found := strings.Cut(part, "\n")
		for _, text := range []string{part, after} {
			if plain, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(text, "\n", "")); err == nil && (found || text == part) {
				parts = append(parts, string(plain))
			}
		}
	}
	return parts
}

// everything is each byte on the wire, as it was sent and in every decoding that there is.
func (c *capture) everything() []string {
	var all []string
	for _, s := range c.streams() {
		text := s.text.String()
		all = append(all, text)
		all = append(all, decoded(text)...)
		for _, word := range encoded.FindAllString(text, -1) {
			if plain, err := base64.StdEncoding.DecodeString(word); err == nil {
				all = append(all, string(plain))
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.messages {
		var header bytes.Buffer
		_ = m.Header.Write(&header)
		all = append(all, m.Action, header.String(), string(m.Body))
	}
	return all
}

// forms are what a secret looks like on its way: in clear, as UTF-16, as hexadecimal digits, and in base64
// wherever it begins.
func forms(secret string) []string {
	wide := ""
	for _, u := range utf16.Encode([]rune(secret)) {
		wide += string([]byte{byte(u), byte(u >> 8)})
	}
	list := []string{secret, wide, hex.EncodeToString([]byte(secret))}
	for _, text := range []string{secret, wide} {
		for shift := range 3 {
			code := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + text))
			list = append(list, code[4:len(code)-4]) // what stands beside it changes the rest
		}
	}
	return list
}

func (c *capture) holds(secret string) bool {
	wanted := forms(secret)
	for _, text := range c.everything() {
		for _, form := range wanted {
			if strings.Contains(text, form) {
				return true
			}
		}
	}
	return false
}

// TestSearchOfTheWireFinds: the search that must find nothing finds what is there, in each shape.
func TestSearchOfTheWireFinds(t *testing.T) {
	t.Parallel()
	const secret = "rehearsal-sql-password"
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	piece := func(s string) string {
		return `<s:Envelope xmlns:s="s" xmlns:rsp="r"><rsp:Stream Name="stdin" CommandId="1">` + b64(s) + `</rsp:Stream></s:Envelope>`
	}
	request := "nonce\n" + b64("script") + "\n.\n" + b64(`{"a":"`+secret+`"}`) + "\n.\n"
	for name, bodies := range map[string][]string{
		"JSON": {`{"x":"` + secret + `"}`}, "a stream": {piece("Password=" + secret)}, "a stream in pieces": {piece("Password=rehearsal-sq"), piece("l-password")},
		"a request on stdin": {piece(request[:40]), piece(request[40:])}, "base64 inside JSON": {`{"x":"` + b64("ab"+secret+"cd") + `"}`},
	} {
		c := &capture{}
		for _, body := range bodies {
			c.note(rehearsal.Message{Body: []byte(body)})
		}
		if !c.holds(secret) {
			t.Errorf("%s: not found", name)
		}
	}
	if c := (&capture{messages: []rehearsal.Message{{Body: []byte(piece("nothing"))}}}); c.holds(secret) {
		t.Error("found where it is not")
	}
}

var byPowerShell = flag.Bool("powershell", false, "TestSecretsStayWhereTheyAre: PowerShell in place of the twins of the scripts, for a minute or more on a machine that does nothing else")

// TestSecretsStayWhereTheyAre: through a whole rehearsal, neither the password in the host's connection string nor
// the one of the Windows account is on the wire, in whatever shape. With -powershell the scripts themselves prove it;
// without, the twins and the client.
func TestSecretsStayWhereTheyAre(t *testing.T) {
	speeds := []float64{400, 100, 40}
	if *byPowerShell {
		speeds = []float64{60, 20}
	}
	steadilyAt(t, speeds, func(t *attempt) {
		seen := &capture{}
		w := newWorld(t, rehearsal.Options{Nodes: 1, Wire: seen.note, PowerShell: *byPowerShell})
		octopatch(t.Context(), w.Environ(), "run").wants(t, 0)
		for name, secret := range map[string]string{"the database's password": rehearsal.DatabasePassword, "the account's password": value(w.Environ(), "OCTOPATCH_WINRM_PASSWORD")} {
			if seen.holds(secret) {
				t.Errorf("%s was on the wire", name)
			}
		}
		// What must be there is found in the same way.
		for _, known := range []string{"function Get-FolderState", `"prefixes":["http`, "octopusservernodes"} {
			if !seen.holds(known) {
				t.Errorf("%q is not found on the wire, so the search proves nothing", known)
			}
		}
	})
}
