package wsman

import (
	"bytes"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	shellURI    = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
	transferURI = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
	resourceCmd = shellURI + "/cmd"
)

func silent() *log.Logger { return log.New(io.Discard, "", 0) }

// message is what the server needs of a request.
type message struct {
	Header struct {
		Action      string `xml:"Action"`
		MessageID   string `xml:"MessageID"`
		ResourceURI string `xml:"ResourceURI"`
		Timeout     string `xml:"OperationTimeout"`
		MaxEnvelope int    `xml:"MaxEnvelopeSize"`
		Selectors   []struct {
			Name  string `xml:"Name,attr"`
			Value string `xml:",chardata"`
		} `xml:"SelectorSet>Selector"`
	} `xml:"Header"`
	Body struct {
		Command struct {
			Line string   `xml:"Command"`
			Args []string `xml:"Arguments"`
		} `xml:"CommandLine"`
		Send struct {
			Streams []struct {
				Name      string `xml:"Name,attr"`
				CommandID string `xml:"CommandId,attr"`
				End       string `xml:"End,attr"`
				Text      string `xml:",chardata"`
			} `xml:"Stream"`
		} `xml:"Send"`
		Receive struct {
			Desired struct {
				CommandID string `xml:"CommandId,attr"`
				Names     string `xml:",chardata"`
			} `xml:"DesiredStream"`
		} `xml:"Receive"`
		Identify *struct{} `xml:"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd Identify"`
		Signal   struct {
			CommandID string `xml:"CommandId,attr"`
			Code      string `xml:"Code"`
		} `xml:"Signal"`
	} `xml:"Body"`
}

func parse(body []byte) (*message, error) {
	var m message
	d := xml.NewDecoder(bytes.NewReader(body))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	if err := d.Decode(&m); err != nil {
		return nil, err
	}
	if m.Header.Action == "" && m.Body.Identify == nil {
		return nil, errors.New("no action")
	}
	return &m, nil
}

// shellID is the selector that names the shell.
func (m *message) shellID() string {
	for _, s := range m.Header.Selectors {
		if s.Name == "ShellId" {
			return strings.TrimSpace(s.Value)
		}
	}
	return ""
}

var duration = regexp.MustCompile(`^PT(?:(\d+)H)?(?:(\d+)M)?(?:([0-9.]+)S)?$`)

// timeout is the OperationTimeout, at most the 60 s that Windows allows.
func (m *message) timeout() time.Duration {
	parts := duration.FindStringSubmatch(strings.TrimSpace(m.Header.Timeout))
	if parts == nil {
		return time.Minute
	}
	seconds := 0.0
	for i, unit := range []float64{3600, 60, 1} {
		if n, err := strconv.ParseFloat(parts[i+1], 64); err == nil {
			seconds += n * unit
		}
	}
	if seconds <= 0 || seconds > 60 {
		seconds = 60
	}
	return time.Duration(seconds * float64(time.Second))
}

// envelope bounds a reply's payload; base64 and the envelope around it take their share.
func (m *message) payload() int {
	size := m.Header.MaxEnvelope
	if size < 8<<10 || size > 512<<10 {
		size = 150 << 10
	}
	return size/2 - 4<<10
}

func uuid() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never fails since Go 1.24
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

const namespaces = `xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" ` +
	`xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd" ` +
	`xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer" xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"`

func envelope(action, relatesTo, body string) string {
	return `<s:Envelope xml:lang="en-US" ` + namespaces + `><s:Header><a:Action>` + action + `</a:Action><a:MessageID>uuid:` + uuid() +
		`</a:MessageID><a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To><a:RelatesTo>` + text(relatesTo) +
		`</a:RelatesTo></s:Header><s:Body>` + body + `</s:Body></s:Envelope>`
}

func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}
