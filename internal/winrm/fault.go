package winrm

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Codes of WSManFault, from the protocol's documentation and the clients named in its sources.
const (
	codeTimedOut       = 2150858793 // 0x80338029: nothing to say within the operation time-out
	codeShellNotFound  = 2150858843 // 0x8033805B: after a reboot, an idle time-out, a restart of WinRM
	codeQuotaCommands  = 2150859174 // 0x803381A6: too many operations in a shell
	codeQuotaShells    = 2150859173 // 0x803381A5: too many shells of a user
	codeProfileUnload  = 2147943418 // 0x800703FA: the user's profile is being unloaded
	codeAborted        = 995        // the operation was aborted because somebody closes
	codeBusy           = 170        // a Send met another one
	codeAccessDenied   = 5
	codeAccessDeniedHR = 2147942405 // 0x80070005
)

// Fault is a SOAP fault of the host.
type Fault struct {
	Code    uint32 // of WSManFault; 0 when the host gave none
	Subcode string // w:TimedOut, w:QuotaLimit, w:AccessDenied, …
	Text    string
}

// Error names the fault.
func (f *Fault) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s (%d, 0x%08X)", f.Subcode, f.Text, f.Code, f.Code))
}

// TimedOut: the host had nothing to say; ask again.
func (f *Fault) TimedOut() bool {
	return f.Code == codeTimedOut || f.Code == 0 && strings.HasSuffix(f.Subcode, "TimedOut")
}

// ShellNotFound: the host does not know the shell (any more).
func (f *Fault) ShellNotFound() bool { return f.Code == codeShellNotFound }

// Quota: the host refuses because of one of its limits.
func (f *Fault) Quota() bool {
	return f.Code == codeQuotaCommands || f.Code == codeQuotaShells || strings.HasSuffix(f.Subcode, "QuotaLimit")
}

// Denied: the account may log on, but not open a shell.
func (f *Fault) Denied() bool {
	return f.Code == codeAccessDenied || f.Code == codeAccessDeniedHR || strings.HasSuffix(f.Subcode, "AccessDenied")
}

// Busy: the host is not ready for more stdin; the same Send may be repeated.
func (f *Fault) Busy() bool { return f.Code == codeBusy }

// Aborted: the host gave up the operation while it was at work on it.
func (f *Fault) Aborted() bool { return f.Code == codeAborted }

// Remedy is what an operator can do about it.
func (f *Fault) Remedy() string {
	switch {
	case f.Denied():
		return "the account must be a local administrator, and a local account other than the built-in one needs LocalAccountTokenFilterPolicy=1 on the host; one that is limited to JEA endpoints cannot open a shell"
	case f.Code == codeQuotaCommands:
		return "the host's WinRM takes no more commands in this shell; it passes with the next shell"
	case f.Quota():
		return "too many shells are open on the host: see winrm get winrm/config/winrs; they end by themselves after their idle time-out"
	case f.ShellNotFound():
		return "the host has restarted, or its WinRM service has"
	case f.TimedOut():
		return "the host had nothing to say within WinRM's own time limit: it is up, and very busy"
	case f.Aborted():
		return "the host ended the operation, as it does when WinRM or Windows stops; what the command did is asked for next"
	case f.Busy():
		return "the host is busy with input that was sent before; it passes by itself"
	case f.Code == codeProfileUnload:
		return "the account's profile is being unloaded; it passes after a minute"
	}
	return "look at the host's event log Microsoft-Windows-WinRM/Operational"
}

// maxDepth bounds the nesting of what is read, so that no answer takes long to read; a fault needs a dozen.
const maxDepth = 100

// parseFault finds a SOAP fault in an answer; nil when there is none.
func parseFault(body []byte) *Fault {
	d := xml.NewDecoder(bytes.NewReader(body))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	var f *Fault
	var path []string
	coded := false // a provider's own fault may be nested in it: the outer one counts
	for {
		token, err := d.Token()
		if err != nil {
			return f
		}
		switch t := token.(type) {
		case xml.StartElement:
			if path = append(path, t.Name.Local); len(path) > maxDepth {
				return f
			}
			if t.Name.Local == "Fault" && f == nil {
				f = &Fault{}
			}
			if t.Name.Local == "WSManFault" && f != nil && !coded {
				coded = true
				for _, a := range t.Attr {
					if code, err := strconv.ParseUint(a.Value, 10, 32); a.Name.Local == "Code" && err == nil {
						f.Code = uint32(code)
					}
				}
			}
		case xml.EndElement:
			path = path[:max(0, len(path)-1)]
		case xml.CharData:
			text := strings.Join(strings.Fields(string(t)), " ")
			if f == nil || text == "" {
				continue
			}
			where := strings.Join(path, "/")
			switch {
			case strings.HasSuffix(where, "Subcode/Value"):
				f.Subcode = text
			case f.Text == "" && (strings.HasSuffix(where, "Reason/Text") || strings.HasSuffix(where, "WSManFault/Message")):
				f.Text = text[:min(len(text), 500)]
			}
		}
	}
}
