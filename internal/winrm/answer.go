package winrm

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/masterzen/winrm/soap"
)

// answer is what a good answer of the host says; which fields are set depends on the action.
type answer struct {
	shell          string
	command        string
	stdout, stderr []byte
	done           bool
	exit           int // once done; -1 when the host did not say
}

// envelope is what is read of an answer, by the names and namespaces of MS-WSMV.
type envelope struct {
	Header struct {
		Action string `xml:"http://schemas.xmlsoap.org/ws/2004/08/addressing Action"`
	} `xml:"http://www.w3.org/2003/05/soap-envelope Header"`
	Body struct {
		Shell struct {
			ID string `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell ShellId"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell Shell"`
		// Windows 7 and 2008 R2 name the new shell only here.
		Created struct {
			Selectors []struct {
				Name  string `xml:"Name,attr"`
				Value string `xml:",chardata"`
			} `xml:"ReferenceParameters>SelectorSet>Selector"`
		} `xml:"http://schemas.xmlsoap.org/ws/2004/09/transfer ResourceCreated"`
		Command struct {
			ID string `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell CommandId"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell CommandResponse"`
		Receive *struct {
			Streams []struct {
				Name string `xml:"Name,attr"`
				Text string `xml:",chardata"`
			} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell Stream"`
			State struct {
				Is   string  `xml:"State,attr"`
				Exit *string `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell ExitCode"`
			} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell CommandState"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell ReceiveResponse"`
	} `xml:"http://www.w3.org/2003/05/soap-envelope Body"`
}

// answers is the a:Action with which the host answers each of ours.
var answers = map[string]string{
	"Create":  soap.NS_TRANSFER + "/CreateResponse",
	"Delete":  soap.NS_TRANSFER + "/DeleteResponse",
	"Command": shellURI + "/CommandResponse",
	"Send":    shellURI + "/SendResponse",
	"Receive": shellURI + "/ReceiveResponse",
	"Signal":  shellURI + "/SignalResponse",
}

// errAnswer: an answer came that is not the promised one.
var errAnswer = errors.New("the answer is not the one that WS-Management promises")

// readAnswer reads the answer to an action. What is not the answer that the protocol promises is an error, for
// the library takes it for "no output yet", and asks again at full speed.
func readAnswer(body []byte, action string) (*answer, error) {
	var e envelope
	if err := xml.Unmarshal(body, &e); err != nil {
		return nil, fmt.Errorf("%w to %s: %w", errAnswer, action, err)
	}
	if got := strings.TrimSpace(e.Header.Action); got != answers[action] {
		return nil, fmt.Errorf("%w to %s: its action is %q", errAnswer, action, got)
	}
	a := &answer{}
	var err error
	switch action {
	case "Create":
		a.shell = e.Body.Shell.ID
		for _, s := range e.Body.Created.Selectors {
			if a.shell == "" && s.Name == "ShellId" {
				a.shell = s.Value
			}
		}
		a.shell, err = identifier(a.shell)
	case "Command":
		a.command, err = identifier(e.Body.Command.ID)
	case "Receive":
		err = a.receive(&e)
	}
	if err != nil {
		return nil, fmt.Errorf("%w to %s: %w", errAnswer, action, err)
	}
	return a, nil
}

// receive takes output and state out of a ReceiveResponse.
func (a *answer) receive(e *envelope) error {
	r := e.Body.Receive
	if r == nil {
		return errors.New("it has no body")
	}
	for _, s := range r.Streams {
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s.Text), ""))
		if err != nil {
			return fmt.Errorf("stream %s: %w", s.Name, err)
		}
		switch s.Name {
		case "stdout":
			a.stdout = append(a.stdout, data...)
		case "stderr":
			a.stderr = append(a.stderr, data...)
		}
	}
	if r.State.Is != shellURI+"/CommandState/Done" {
		return nil
	}
	a.done, a.exit = true, -1
	if r.State.Exit != nil {
		// 64 bits: hosts write codes like 0xC000013A unsigned (3221225786) or signed (-1073741510).
		code, err := strconv.ParseInt(strings.TrimSpace(*r.State.Exit), 10, 64)
		if err != nil {
			return fmt.Errorf("exit code: %w", err)
		}
		a.exit = int(code)
	}
	return nil
}

var identifiers = regexp.MustCompile(`^[0-9A-Za-z:._{}-]{1,128}$`)

// identifier checks an id of the host before it goes into the next message, where the library puts it as it is.
func identifier(id string) (string, error) {
	id = strings.TrimSpace(id)
	if !identifiers.MatchString(id) {
		return "", errors.New("it has no usable id")
	}
	return id, nil
}
