package winrm

import (
	"strings"
	"testing"
	"unicode/utf8"

	masterzen "github.com/masterzen/winrm"
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
		{"broken", "<Objs><S S=\"Error\">half", "<Objs><S S=\"Error\">half"},
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

// FuzzReader: whatever a host answers, the readers end, and what holds no fault is not taken for one.
func FuzzReader(f *testing.F) {
	f.Add([]byte(`<s:Envelope><s:Body><s:Fault><s:Code><s:Subcode><s:Value>w:TimedOut</s:Value></s:Subcode></s:Code><f:WSManFault Code="2150858793"/></s:Fault></s:Body></s:Envelope>`))
	f.Add([]byte(`<rsp:ReceiveResponse xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"><rsp:Stream Name="stdout">aGk=</rsp:Stream></rsp:ReceiveResponse>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if parseFault(body) != nil && !strings.Contains(string(body), "Fault") {
			t.Errorf("a fault in %q", body)
		}
		out := &lines{}
		_, _, _ = masterzen.ParseSlurpOutputErrResponse(string(body), out, &tail{})
		out.end()
	})
}
