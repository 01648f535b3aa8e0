package machine

import "strings"

const (
	keyVersion = `HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion`
	keyCBS     = `HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing`
	keyUpdate  = `HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate`
	keyControl = `HKLM:\SYSTEM\CurrentControlSet\Control`
)

// registry is the part of HKLM that anybody asks for, as it stands now; the lock is held. A key maps to its values.
func (m *Machine) registry() map[string]map[string]any {
	keys := map[string]map[string]any{
		keyVersion:                                                  {"UBR": m.ubr, "CurrentBuildNumber": m.build},
		keyVersion + `\Winlogon`:                                    {},
		`HKLM:\SOFTWARE\Microsoft\Cryptography`:                     {"MachineGuid": m.guid},
		keyCBS:                                                      {},
		keyCBS + `\Interface`:                                       {"ServicingInProgress": m.update.servicing},
		keyCBS + `\PackagesPending`:                                 {},
		keyUpdate:                                                   {},
		keyControl + `\Session Manager`:                             {},
		keyControl + `\ComputerName\ComputerName`:                   {"ComputerName": m.computer()},
		keyControl + `\ComputerName\ActiveComputerName`:             {"ComputerName": m.computer()},
		`HKLM:\SYSTEM\CurrentControlSet\Services\Netlogon`:          {},
		`HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion`:           {},
		`HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Installer`: {},
	}
	if m.logonUI {
		keys[keyVersion+`\Winlogon\AutoLogonChecked`] = map[string]any{}
	}
	if m.update.rebootRequired {
		keys[keyUpdate+`\Auto Update\RebootRequired`] = map[string]any{}
		keys[keyCBS+`\RebootPending`] = map[string]any{}
	}
	return keys
}

// key looks a key up as Windows does, whatever its case.
func (m *Machine) key(path string) (map[string]any, bool) {
	for name, values := range m.registry() {
		if strings.EqualFold(name, strings.TrimRight(path, `\`)) {
			return values, true
		}
	}
	return nil, false
}

// computer is the name that Windows tells.
func (m *Machine) computer() string {
	if m.has("wrong-machine") {
		return "SOMEBODY-ELSE"
	}
	return m.o.Name
}

const domain = "rehearsal.example"
