package windows

import (
	"maps"
	"slices"
	"strings"
)

const (
	keyVersion   = `HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion`
	keyLogon     = keyVersion + `\Winlogon\AutoLogonChecked`
	keyCrypto    = `HKLM:\SOFTWARE\Microsoft\Cryptography`
	keyCBS       = `HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing`
	keyUpdate    = `HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update`
	keySession   = `HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager`
	keyName      = `HKLM:\SYSTEM\CurrentControlSet\Control\ComputerName`
	keyNetlogon  = `HKLM:\SYSTEM\CurrentControlSet\Services\Netlogon`
	keyInstaller = `HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Installer\InProgress`
	keyPolicy    = `HKLM:\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate`
	keyOctopus   = `HKLM:\SOFTWARE\Octopus\OctopusServer`
)

// key is a registry key. A volatile one is gone after a shutdown.
type key struct {
	path     string
	values   map[string]any
	volatile bool
}

func (m *Machine) makeRegistry() {
	m.registry = map[string]*key{}
	m.setValue(keyVersion, "UBR", firstUBR)
	m.setValue(keyVersion, "CurrentBuildNumber", build)
	m.setValue(keyCrypto, "MachineGuid", m.guid)
	m.setValue(keyCBS+`\Interface`, "ServicingInProgress", 0)
	m.setValue(keyUpdate, "LastOnline", "")
	m.makeKey(keyCBS+`\PackagesPending`, false) // it stays behind empty
	m.setValue(keySession, "ProtectionMode", 1)
	m.setValue(keyName+`\ActiveComputerName`, "ComputerName", m.computer)
	m.setValue(keyName+`\ComputerName`, "ComputerName", m.computer)
	m.setValue(keyNetlogon, "DisplayName", "Netlogon")
	m.setValue(keyOctopus, "InstallLocation", m.program)
	m.makeKey(keyLogon, true)
	if m.onClient() {
		m.setValue(keyRestore, "RPSessionInterval", 1)
	}
	if m.has("auto-reboot-policy") {
		m.setValue(keyPolicy+`\AU`, "NoAutoUpdate", 0)
		m.setValue(keyPolicy+`\AU`, "AUOptions", 4)
		m.setValue(keyPolicy+`\AU`, "ScheduledInstallDay", 0)
		m.setValue(keyPolicy+`\AU`, "ScheduledInstallTime", 3)
		m.setValue(keyPolicy+`\AU`, "AlwaysAutoRebootAtScheduledTime", 1)
	}
	if m.has("wsus-down") {
		m.setValue(keyPolicy, "WUServer", "http://127.0.0.1:1/")
		m.setValue(keyPolicy+`\AU`, "UseWUServer", 1)
	}
}

// makeKey creates a key and those above it. The caller holds the lock, or nobody else knows the machine yet.
func (m *Machine) makeKey(path string, volatile bool) *key {
	id := strings.ToLower(path)
	if k := m.registry[id]; k != nil {
		return k
	}
	if at := strings.LastIndex(path, `\`); at > len(`HKLM:`) {
		m.makeKey(path[:at], false)
	}
	k := &key{path: path, values: map[string]any{}, volatile: volatile}
	m.registry[id] = k
	return k
}

func (m *Machine) setValue(path, name string, value any) { m.makeKey(path, false).values[name] = value }

// readKey is a copy of the values of a key; ok says whether there is such a key.
func (m *Machine) readKey(path string) (values map[string]any, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.registry[strings.ToLower(strings.TrimRight(path, `\`))]
	if k == nil {
		return nil, false
	}
	return maps.Clone(k.values), true
}

// readValue is one value, or nil when the key or the value is absent.
func (m *Machine) readValue(path, name string) any {
	values, _ := m.readKey(path)
	for n, v := range values {
		if strings.EqualFold(n, name) {
			return v
		}
	}
	return nil
}

// valueLocked is readValue for a caller that holds the lock, and knows how the name is spelt.
func (m *Machine) valueLocked(path, name string) any {
	if k := m.registry[strings.ToLower(path)]; k != nil {
		return k.values[name]
	}
	return nil
}

// subkeys are the names of the keys directly below.
func (m *Machine) subkeys(path string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	prefix := strings.ToLower(strings.TrimRight(path, `\`)) + `\`
	var names []string
	for id, k := range m.registry {
		if rest, ok := strings.CutPrefix(id, prefix); ok && !strings.Contains(rest, `\`) {
			names = append(names, k.path[len(prefix):])
		}
	}
	slices.Sort(names)
	return names
}

// dropVolatile is what a shutdown does to the registry. The caller holds the lock.
func (m *Machine) dropVolatile() {
	maps.DeleteFunc(m.registry, func(_ string, k *key) bool { return k.volatile })
}
