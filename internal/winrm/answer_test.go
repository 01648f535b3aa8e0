package winrm

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const head = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" ` +
	`xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"><s:Header><a:Action>`

func soapOf(action, body string) string {
	return head + action + `</a:Action></s:Header><s:Body>` + body + `</s:Body></s:Envelope>`
}

func received(inner string) string {
	return soapOf(answers["Receive"], "<rsp:ReceiveResponse>"+inner+"</rsp:ReceiveResponse>")
}

const doneState = `http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done`

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, action, body string
		want               *answer // nil: not an answer
	}{
		{"create", "Create", soapOf(answers["Create"], "<rsp:Shell><rsp:ShellId>11-A</rsp:ShellId></rsp:Shell>"), &answer{shell: "11-A"}},
		{"create_on_windows_7", "Create", soapOf(answers["Create"], `<x:ResourceCreated><a:ReferenceParameters><w:SelectorSet><w:Selector Name="ShellId">11-A</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>`), &answer{shell: "11-A"}},
		{"create_without_id", "Create", soapOf(answers["Create"], "<rsp:Shell/>"), nil},
		{"id_with_markup", "Create", soapOf(answers["Create"], "<rsp:Shell><rsp:ShellId>&lt;x/&gt;</rsp:ShellId></rsp:Shell>"), nil},
		{"command", "Command", soapOf(answers["Command"], "<rsp:CommandResponse><rsp:CommandId>22-B</rsp:CommandId></rsp:CommandResponse>"), &answer{command: "22-B"}},
		{"another_action", "Receive", soapOf(answers["Send"], "<rsp:ReceiveResponse/>"), nil},
		{"no_body", "Receive", soapOf(answers["Receive"], ""), nil},
		{"another_namespace", "Receive", strings.ReplaceAll(received(""), "windows/shell\"", "windows/snail\""), nil},
		{"html", "Receive", "<html><body>Welcome</body></html>", nil},
		{"nothing", "Receive", "", nil},
		{"cut", "Receive", received("")[:400], nil},
		{"output", "Receive", received(`<rsp:Stream Name="stdout">YQ==</rsp:Stream><rsp:Stream Name="stderr">Yg==</rsp:Stream><rsp:Stream Name="stdout">Yw==</rsp:Stream>`), &answer{stdout: []byte("ac"), stderr: []byte("b")}},
		{"broken_base64", "Receive", received(`<rsp:Stream Name="stdout">YQ=</rsp:Stream>`), nil},
		{"done", "Receive", received(`<rsp:CommandState State="` + doneState + `"><rsp:ExitCode>3</rsp:ExitCode></rsp:CommandState>`), &answer{done: true, exit: 3}},
		{"done_with_status", "Receive", received(`<rsp:CommandState State="` + doneState + `"><rsp:ExitCode>3221225786</rsp:ExitCode></rsp:CommandState>`), &answer{done: true, exit: 3221225786}},
		{"done_negative", "Receive", received(`<rsp:CommandState State="` + doneState + `"><rsp:ExitCode>-196608</rsp:ExitCode></rsp:CommandState>`), &answer{done: true, exit: -196608}},
		{"done_without_code", "Receive", received(`<rsp:CommandState State="` + doneState + `"/>`), &answer{done: true, exit: -1}},
		{"done_with_words", "Receive", received(`<rsp:CommandState State="` + doneState + `"><rsp:ExitCode>fine</rsp:ExitCode></rsp:CommandState>`), nil},
		{"running", "Receive", received(`<rsp:CommandState State="` + strings.ReplaceAll(doneState, "Done", "Running") + `"/>`), &answer{}},
	} {
		got, err := readAnswer([]byte(c.body), c.action)
		if (err == nil) != (c.want != nil) || err != nil && !errors.Is(err, errAnswer) {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(answer{})); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func soapFault(code, subcode, reason string) string {
	return soapOf("http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", `<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>`+subcode+`</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang="">`+reason+
		`</s:Text></s:Reason><s:Detail><f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="`+code+`" Machine="h"><f:Message><f:ProviderFault provider="Shell"><f:WSManFault Code="1">inner</f:WSManFault></f:ProviderFault></f:Message></f:WSManFault></s:Detail></s:Fault>`)
}

func TestFaultIsTyped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		is         func(*Fault) bool
	}{
		{"timed_out", soapFault("2150858793", "w:TimedOut", "late"), (*Fault).TimedOut},
		{"timed_out_by_name", soapFault("", "wsman:TimedOut", "late"), (*Fault).TimedOut},
		{"no_shell", soapFault("2150858843", "w:InvalidSelectors", "gone"), (*Fault).ShellNotFound},
		{"too_many_shells", soapFault("2150859173", "w:QuotaLimit", "full"), (*Fault).Quota},
		{"too_many_operations", soapFault("2150859174", "x", "full"), (*Fault).Quota},
		{"quota_by_name", soapFault("7", "w:QuotaLimit", "full"), (*Fault).Quota},
		{"denied", soapFault("5", "w:AccessDenied", "no"), (*Fault).Denied},
		{"denied_as_hresult", soapFault("2147942405", "x", "no"), (*Fault).Denied},
		{"aborted", soapFault("995", "x", "end"), (*Fault).Aborted},
		{"busy", soapFault("170", "x", "end"), (*Fault).Busy},
	} {
		f := parseFault([]byte(c.body))
		if f == nil || !c.is(f) || f.Remedy() == "" || f.Text == "" || f.Text == "inner" {
			t.Errorf("%s: %+v", c.name, f)
			continue
		}
		kinds := 0
		for _, is := range []func(*Fault) bool{(*Fault).TimedOut, (*Fault).ShellNotFound, (*Fault).Quota, (*Fault).Denied, (*Fault).Aborted, (*Fault).Busy} {
			if is(f) {
				kinds++
			}
		}
		if kinds != 1 {
			t.Errorf("%s: is %d kinds of fault", c.name, kinds)
		}
	}
	if f := parseFault([]byte(received(""))); f != nil {
		t.Errorf("no fault is read as %v", f)
	}
}

// TestFaultsHaveANextStep: testdata/codes.txt lists the codes that were met; each has a next step of its own.
func TestFaultsHaveANextStep(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/codes.txt")
	if err != nil {
		t.Fatal(err)
	}
	met, unknown := 0, (&Fault{Code: 1}).Remedy()
	for line := range strings.Lines(string(text)) {
		code, word, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		met++
		f := parseFault([]byte(soapFault(code, "x", "said")))
		if f == nil || f.Remedy() == unknown || !strings.Contains(f.Remedy(), word) || !strings.Contains(f.Error(), code) {
			t.Errorf("%s: %v, %q; want a next step with %q", code, f, f.Remedy(), word)
		}
	}
	if met < 9 {
		t.Errorf("only %d codes are listed", met)
	}
}

// TestHostileAnswersAreReadQuickly: nesting and repetition cost no more than their length.
func TestHostileAnswersAreReadQuickly(t *testing.T) {
	t.Parallel()
	began := time.Now()
	deep := []byte("<Fault>" + strings.Repeat("<a>x", 500_000))
	parseFault(deep)
	if a, err := readAnswer(deep, "Receive"); err == nil {
		t.Errorf("an answer: %+v", a)
	}
	for _, piece := range []string{"</Objs>", "<Objs", `<S S="Error">`, "_x000A_", "#< CLIXML"} {
		DecodeCLIXML("<Objs>" + strings.Repeat(piece, maxRaw/len(piece)))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

// FuzzReader: whatever a host answers, the readers end; no id that they let pass can break the next message,
// and an end is read only where one is said.
func FuzzReader(f *testing.F) {
	f.Add([]byte(soapFault("2150858793", "w:TimedOut", "late")), "Receive")
	f.Add([]byte(received(`<rsp:Stream Name="stdout">aGk=</rsp:Stream><rsp:CommandState State="`+doneState+`"><rsp:ExitCode>1</rsp:ExitCode></rsp:CommandState>`)), "Receive")
	f.Add([]byte(soapOf(answers["Create"], "<rsp:Shell><rsp:ShellId>11-A</rsp:ShellId></rsp:Shell>")), "Create")
	f.Add([]byte(soapOf(answers["Command"], "<rsp:CommandResponse><rsp:CommandId>22-B</rsp:CommandId></rsp:CommandResponse>")), "Command")
	f.Fuzz(func(t *testing.T, body []byte, action string) {
		if fault := parseFault(body); fault != nil && !strings.Contains(string(body), "Fault") {
			t.Errorf("a fault in %q", body)
		}
		a, err := readAnswer(body, action)
		if err != nil {
			if a != nil {
				t.Errorf("an answer and an error: %+v, %v", a, err)
			}
			return
		}
		if strings.ContainsAny(a.shell+a.command, "<>&\"' ") {
			t.Errorf("ids %q and %q", a.shell, a.command)
		}
		if a.done && !strings.Contains(string(body), "Done") {
			t.Errorf("an end in %q", body)
		}
	})
}
