package winrm

import (
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gofrs/uuid"
	masterzen "github.com/masterzen/winrm"
	"github.com/masterzen/winrm/soap"

	"github.com/octopatch/octopatch/internal/procedure"
)

const (
	shellURI    = soap.NS_WIN_SHELL
	resourceCmd = shellURI + "/cmd"
	// maxLine of cmd.exe, which stands between WinRM and the command (KB830473).
	maxCommandLine = 8191
)

// check refuses what could not arrive as it is.
func (cmd *Command) check() error {
	odd := func(r rune) bool { return r < ' ' && r != '\t' }
	problem := ""
	switch {
	case cmd.Line == "":
		problem = "is empty"
	case len(cmd.Line) > maxCommandLine:
		problem = fmt.Sprintf("has %d characters, and cmd.exe takes %d", len(cmd.Line), maxCommandLine)
	case !utf8.ValidString(cmd.Line), strings.ContainsFunc(cmd.Line, odd):
		problem = "holds a character that cannot be sent"
	case cmd.Limit <= 0:
		problem = "has no time limit"
	default:
		return nil
	}
	return procedure.Refuse("the command line", problem, "this is a fault of octopatch: please report it")
}

// commandMessage is the library's NewExecuteCommandRequest with two differences: the line is escaped instead
// of wrapped in CDATA, which "]]>" would end, and stdin is a pipe and no console where there is any, so that
// the process sees its end (as Ansible does it).
func commandMessage(url, shell string, cmd Command, params *masterzen.Parameters) *soap.SoapMessage {
	console := "TRUE"
	if len(cmd.Stdin) > 0 {
		console = "FALSE"
	}
	message := soap.NewMessage()
	message.Header().To(url).ReplyTo("http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous").
		MaxEnvelopeSize(params.EnvelopeSize).Id("uuid:" + uuid.Must(uuid.NewV4()).String()).
		Locale(params.Locale).Timeout(params.Timeout).
		Action(shellURI + "/Command").ResourceURI(resourceCmd).ShellId(shell).
		AddOption(soap.NewHeaderOption("WINRS_CONSOLEMODE_STDIN", console)).
		AddOption(soap.NewHeaderOption("WINRS_SKIP_CMD_SHELL", "FALSE")).
		Build()
	body := message.CreateBodyElement("CommandLine", soap.DOM_NS_WIN_SHELL)
	message.CreateElement(body, "Command", soap.DOM_NS_WIN_SHELL).SetContent(escape(cmd.Line))
	return message
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return b.String()
}
