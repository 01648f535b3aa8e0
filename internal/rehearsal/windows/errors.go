package windows

import "fmt"

// Error is how Windows fails: in words and with a code.
type Error struct {
	Kind    string // "com": an HRESULT; "win32": an error number underneath a refusal of .NET
	Code    uint32
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s (0x%08X)", e.Message, e.Code) }

// HRESULT is the code as PowerShell sees it on the innermost exception. .NET gives every Win32Exception the
// same one, E_FAIL; its number is a property of its own.
func (e *Error) HRESULT() uint32 {
	if e.Kind == "win32" {
		return 0x80004005
	}
	return e.Code
}

// What Windows says to its commonest codes, in the words of its own message table.
var words = map[uint32]string{
	2:          "The system cannot find the file specified.",
	1051:       "A stop control has been sent to a service that other running services are dependent on.",
	1056:       "An instance of the service is already running.",
	1058:       "The service cannot be started, either because it is disabled or because it has no enabled devices associated with it.",
	1060:       "The specified service does not exist as an installed service.",
	1061:       "The service cannot accept control messages at this time.",
	1062:       "The service has not been started.",
	1115:       "A system shutdown is in progress.",
	0x80070002: "The system cannot find the file specified. (Exception from HRESULT: 0x80070002)",
	0x80070003: "The system cannot find the path specified. (Exception from HRESULT: 0x80070003)",
	0x80070005: "Access is denied. (Exception from HRESULT: 0x80070005 (E_ACCESSDENIED))",
	0x80070091: "The directory is not empty. (Exception from HRESULT: 0x80070091)",
	0x800700B7: "Cannot create a file when that file already exists. (Exception from HRESULT: 0x800700B7)",
	0x8007041D: "The service did not respond to the start or control request in a timely fashion. (Exception from HRESULT: 0x8007041D)",
	0x80070643: "Fatal error during installation. (Exception from HRESULT: 0x80070643)",
	0x80040154: "Retrieving the COM class factory for component failed due to the following error: 80040154 Class not registered (Exception from HRESULT: 0x80040154 (REGDB_E_CLASSNOTREG)).",
}

func code(kind string, n uint32) error {
	text, ok := words[n]
	if !ok {
		text = fmt.Sprintf("Exception from HRESULT: 0x%08X", n)
	}
	return &Error{Kind: kind, Code: n, Message: text}
}

func com(hresult uint32) error { return code("com", hresult) }

func win32(number uint32) error { return code("win32", number) }
