package winrm

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const progress = `<Obj S="progress" RefId="0"><TN RefId="0"><T>System.Management.Automation.PSCustomObject</T></TN><MS><I64 N="SourceId">1</I64><PR N="Record"><AV>Preparing modules for first use.</AV></PR></MS></Obj>`

func TestDecodeCLIXML(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"plain", "hello", "hello"},
		{"progress_only", "#< CLIXML\r\n<Objs Version=\"1.1.0.1\" xmlns=\"x\">" + progress + "</Objs>", ""},
		{"error", "#< CLIXML\r\n<Objs Version=\"1.1.0.1\"><S S=\"Error\">it broke_x000D__x000A_</S><S S=\"Error\">twice &lt;&amp;</S></Objs>", "it broke\r\ntwice <&"},
		{"two", "a<Objs><S S=\"Warning\">b</S></Objs>c<Objs><S S=\"verbose\">x</S></Objs>d", "abcd"},
		{"surrogates", "<Objs><S S=\"Error\">_xD83D__xDE00_</S></Objs>", "😀"},
		{"cut_at_the_end", "x <Objs><S S=\"Error\">whole_x000A_</S><S S=\"Error\">half", "x whole\nhalf"},
		{"cut_at_the_start", "S=\"Error\">lost</S><S S=\"Error\">kept</S></Objs>plain", "keptplain"},
		{"escaped_escape", "<Objs><S S=\"Error\">_x005F_x000A_</S></Objs>", "_x000A_"},
		{"no_clixml", "a <Obj> _x000A_", "a <Obj> _x000A_"},
	} {
		if got := DecodeCLIXML(c.in); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzCLIXML(f *testing.F) {
	f.Add("#< CLIXML\r\n<Objs>" + progress + "<S S=\"Error\">x_x000A_</S></Objs>")
	f.Fuzz(func(t *testing.T, in string) {
		if got := DecodeCLIXML(in); utf8.ValidString(in) && !utf8.ValidString(got) {
			t.Errorf("%q is no text", got)
		}
	})
}

func TestLines(t *testing.T) {
	t.Parallel()
	var got []string
	l := &lines{each: func(line string) { got = append(got, line) }}
	for _, piece := range []string{"\xef\xbb", "\xbfone\r\nt", "w", "o\n\nthree \xc3", "\xa4\nbroken \xc3\n", "no end"} {
		if err := l.write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	l.end()
	if diff := cmp.Diff([]string{"one", "two", "", "three ä", "broken \ufffd", "no end"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestLineWithoutEnd: a line that is too long is an error, and its rest is not taken for another line.
func TestLineWithoutEnd(t *testing.T) {
	t.Parallel()
	l := &lines{each: func(string) { t.Error("a line was handed on") }}
	piece := bytes.Repeat([]byte("x"), 1<<20)
	for range maxLine >> 20 {
		if err := l.write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.write(piece); !errors.Is(err, errAnswer) {
		t.Errorf("got %v", err)
	}
}

func TestStderrIsBoundedText(t *testing.T) {
	t.Parallel()
	stderr := &tail{}
	for range 5_000 {
		_, _ = stderr.Write([]byte(`<S S="Error">ä\x1b[31m and more_x000A_</S>`))
	}
	_, _ = stderr.Write([]byte("</Objs>"))
	got := stderr.text()
	if len(got) > maxStderr || len(got) < maxStderr/2 || !utf8.ValidString(got) || strings.ContainsAny(got, "\x1b<") || !strings.HasSuffix(got, "and more") {
		t.Errorf("%d bytes, end %q", len(got), got[max(0, len(got)-80):])
	}
}
