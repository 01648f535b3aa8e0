package winrm

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is kept of a command's output. A line may be as long as an answer with thousands of
// updates; stderr is diagnostics.
const (
	maxLine   = 16 << 20
	maxStderr = 16 << 10
	maxRaw    = 4 * maxStderr // of stderr before it is decoded: CLIXML is long-winded
)

// lines cuts output into lines; a character that is split between two messages comes together again, because
// only whole lines are handed on.
type lines struct {
	each  func(string)
	rest  []byte
	begun bool
}

func (l *lines) write(p []byte) error {
	from := len(l.rest) // what was there holds no end of a line
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest[from:], '\n')
		if i < 0 {
			break
		}
		l.put(l.rest[:from+i])
		l.rest, from = l.rest[from+i+1:], 0
	}
	if len(l.rest) == 0 {
		l.rest = nil
	}
	if len(l.rest) > maxLine {
		return fmt.Errorf("%w: a line of output is longer than %d bytes", errAnswer, maxLine)
	}
	return nil
}

// end hands on what came after the last end of a line.
func (l *lines) end() {
	if len(l.rest) > 0 {
		l.put(l.rest)
	}
	l.rest = nil
}

func (l *lines) put(line []byte) {
	if !l.begun { // PowerShell 5.1 may begin its output with a byte order mark
		line, l.begun = bytes.TrimPrefix(line, []byte("\ufeff")), true
	}
	if l.each != nil {
		l.each(strings.TrimSuffix(strings.ToValidUTF8(string(line), "\ufffd"), "\r"))
	}
}

// tail keeps the end of stderr.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*maxRaw { // not each time: that would copy all of it each time
		t.kept = append([]byte(nil), t.kept[len(t.kept)-maxRaw:]...)
	}
	return len(p), nil
}

// text is what a person reads: decoded, bounded, and without characters that would steer a terminal.
func (t *tail) text() string {
	kept := t.kept[max(0, len(t.kept)-maxRaw):]
	for len(kept) > 0 && !utf8.RuneStart(kept[0]) { // of a character that was cut
		kept = kept[1:]
	}
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, DecodeCLIXML(strings.ToValidUTF8(string(kept), "\ufffd")))
	text = strings.TrimSpace(text)
	if over := len(text) - maxStderr; over > 0 {
		for over < len(text) && !utf8.RuneStart(text[over]) {
			over++
		}
		text = text[over:]
	}
	return text
}
