package winrm

import (
	"bytes"
	"encoding/xml"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of what is kept of a command's output. A line may be as long as an answer with thousands of
// updates; stderr is diagnostics.
const (
	maxLine   = 16 << 20
	maxStderr = 16 << 10
)

// lines cuts output into lines; a character that is split between two messages comes together again, because
// only whole lines are handed on.
type lines struct {
	each func(string)
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			if len(l.rest) > maxLine {
				l.rest = l.rest[:0] // no answer of ours is that long; an answer that is cut fails to decode
			}
			return len(p), nil
		}
		l.put(l.rest[:i])
		l.rest = l.rest[i+1:]
	}
}

func (l *lines) end() {
	if len(l.rest) > 0 {
		l.put(l.rest)
	}
	l.rest = nil
}

func (l *lines) put(line []byte) {
	if l.each != nil {
		l.each(strings.TrimSuffix(strings.ToValidUTF8(string(line), "�"), "\r"))
	}
}

// tail keeps the end of stderr.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - 4*maxStderr; over > 0 {
		t.kept = t.kept[over:]
	}
	return len(p), nil
}

func (t *tail) text() string {
	text := strings.TrimSpace(DecodeCLIXML(strings.ToValidUTF8(string(t.kept), "�")))
	if over := len(text) - maxStderr; over > 0 {
		for over < len(text) && !utf8.RuneStart(text[over]) {
			over++
		}
		text = text[over:]
	}
	return text
}

var objs = regexp.MustCompile(`(?s)(?:#< CLIXML\s*)?<Objs[ >].*?</Objs>`)

// DecodeCLIXML replaces PowerShell's serialised streams by the text of their errors and warnings; progress
// records are dropped. What is not CLIXML stays as it is.
func DecodeCLIXML(text string) string {
	return strings.TrimPrefix(objs.ReplaceAllStringFunc(text, func(part string) string {
		part = part[strings.Index(part, "<Objs"):]
		d := xml.NewDecoder(strings.NewReader(part))
		var b strings.Builder
		stream := ""
		for {
			token, err := d.Token()
			if err == io.EOF {
				return unescape(b.String())
			}
			if err != nil {
				return part
			}
			switch t := token.(type) {
			case xml.StartElement:
				stream = ""
				for _, a := range t.Attr {
					if a.Name.Local == "S" && t.Name.Local == "S" {
						stream = strings.ToLower(a.Value)
					}
				}
			case xml.EndElement:
				stream = ""
			case xml.CharData:
				if stream == "error" || stream == "warning" {
					b.Write(t)
				}
			}
		}
	}), "#< CLIXML")
}

var escaped = regexp.MustCompile(`(?:_x[0-9A-Fa-f]{4}_)+`)

// unescape turns _xHHHH_ into the UTF-16 unit that it stands for.
func unescape(text string) string {
	return escaped.ReplaceAllStringFunc(text, func(run string) string {
		var units []uint16
		for i := 0; i+7 <= len(run); i += 7 {
			n, err := strconv.ParseUint(run[i+2:i+6], 16, 16)
			if err != nil {
				return run
			}
			units = append(units, uint16(n))
		}
		return string(utf16.Decode(units))
	})
}
