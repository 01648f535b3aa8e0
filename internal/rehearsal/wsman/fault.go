package wsman

import "fmt"

// faultKind is a SOAP fault with Windows' own code.
type faultKind struct {
	code    uint32
	subcode string
	reason  string
}

var (
	faultTimedOut   = faultKind{2150858793, "w:TimedOut", "The WS-Management service cannot complete the operation within the time specified in OperationTimeout."}
	faultNoShell    = faultKind{2150858843, "w:InvalidSelectors", "The request for the Windows Remote Shell with ShellId failed because the shell was not found on the server."}
	faultQuota      = faultKind{2150859173, "w:QuotaLimit", "The WS-Management service cannot process the request. This user is allowed a maximum number of 30 concurrent shells, which has been exceeded."}
	faultOperations = faultKind{2150859174, "w:QuotaLimit", "The WS-Management service cannot process the request. This user has exceeded the maximum number of concurrent operations."}
	faultDenied     = faultKind{5, "w:AccessDenied", "Access is denied."}
	faultAborted    = faultKind{995, "w:InternalError", "The I/O operation has been aborted because of either a thread exit or an application request."}
	faultBusy       = faultKind{170, "w:InternalError", "The requested resource is in use."}
	faultProfile    = faultKind{2147943418, "w:InternalError", "Illegal operation attempted on a registry key that has been marked for deletion."}
	faultUnknown    = faultKind{2150858752, "w:InternalError", "The WS-Management service cannot process the request."}
	faultAction     = faultKind{2150858770, "a:ActionNotSupported", "The action is not supported by the service."}
	faultResource   = faultKind{2150858778, "w:InvalidResourceURI", "The resource URI is not supported."}
)

// faultKinds are the faults that can be switched on, by name.
var faultKinds = map[string]faultKind{
	"timed-out": faultTimedOut, "no-shell": faultNoShell, "quota": faultQuota, "operations": faultOperations, "denied": faultDenied,
	"aborted": faultAborted, "busy": faultBusy, "profile": faultProfile, "unknown": faultUnknown,
}

func (f faultKind) body() string {
	return `<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>` + f.subcode + `</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang="en-US">` + text(f.reason) +
		`</s:Text></s:Reason><s:Detail><f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="` + fmt.Sprint(f.code) + `" Machine="host"><f:Message>` + text(f.reason) +
		`</f:Message></f:WSManFault></s:Detail></s:Fault>`
}

const identified = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header/><s:Body><wsmid:IdentifyResponse xmlns:wsmid="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd">` +
	`<wsmid:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd</wsmid:ProtocolVersion><wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor>` +
	`<wsmid:ProductVersion>OS: 0.0.0 SP: 0.0 Stack: 3.0</wsmid:ProductVersion></wsmid:IdentifyResponse></s:Body></s:Envelope>`
