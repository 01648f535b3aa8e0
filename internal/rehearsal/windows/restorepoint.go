package windows

import (
	"strings"
	"time"
)

// Where Windows keeps the settings of System Restore.
const (
	keyRestore       = keyVersion + `\SystemRestore`
	keyRestorePolicy = `HKLM:\SOFTWARE\Policies\Microsoft\Windows NT\SystemRestore`
)

// What a method of System Restore answers, and what it says of the last restore.
const (
	restoreDisabled  = 0x80070422 // the service is disabled
	restoreNotFound  = 0x80070002
	restoreSucceeded = 1
)

// restorePoint is one of System Restore: Windows' own files and its registry, and nothing of ProgramData.
type restorePoint struct {
	sequence    int
	description string
	made        time.Time
	machine     *point
}

// systemRestore is the state of System Restore.
type systemRestore struct {
	points   []*restorePoint
	sequence int
	wanted   *restorePoint // is gone back to while the machine restarts
	status   int           // of the last restore
}

// onClient says whether the machine has a client edition of Windows.
func (m *Machine) onClient() bool { return m.has("client-edition") }

func (m *Machine) caption() string {
	if m.onClient() {
		return "Microsoft Windows 11 Enterprise"
	}
	return caption
}

// productType of Win32_OperatingSystem: 1 is a workstation, 3 a server.
func (m *Machine) productType() int {
	if m.onClient() {
		return 1
	}
	return 3
}

// restorePoints are the objects of SystemRestore. The caller holds the lock.
func (m *Machine) restorePoints() ([]any, error) {
	if !m.onClient() {
		return nil, com(0x80041010) // WBEM_E_INVALID_CLASS
	}
	list := []any{}
	for _, p := range m.restore.points {
		list = append(list, map[string]any{"SequenceNumber": p.sequence, "Description": p.description, "RestorePointType": 12, "EventType": 100,
			"CreationTime": p.made.Add(m.skew()).UTC().Format("20060102150405.000000") + "-000"})
	}
	return list, nil
}

// method is one of a CIM class.
type method struct {
	Class, Method string
	Arguments     struct {
		Description    string
		SequenceNumber int
	}
}

func (m *Machine) callMethod(with method) (any, error) {
	code, err := m.restoreMethod(with.Method, with.Arguments.Description, with.Arguments.SequenceNumber)
	return map[string]any{"ReturnValue": code}, err
}

// restoreMethod calls a method of SystemRestore; what it answers is 0, or a code of Windows.
func (m *Machine) restoreMethod(method, description string, sequence int) (uint32, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.onClient() {
		return 0, com(0x80041010)
	}
	switch strings.ToLower(method) {
	case "createrestorepoint":
		return m.makeRestorePoint(description), nil
	case "restore":
		for _, p := range m.restore.points {
			if p.sequence == sequence {
				m.restore.wanted = p
				return 0, nil
			}
		}
		return restoreNotFound, nil
	case "getlastrestorestatus":
		return uint32(m.restore.status), nil
	}
	return 0, com(0x80041055) // WBEM_E_METHOD_NOT_IMPLEMENTED
}

// makeRestorePoint makes one, or calls it a success to have made none where another one is too young. The caller
// holds the lock.
func (m *Machine) makeRestorePoint(description string) uint32 {
	if on, _ := m.valueLocked(keyRestore, "RPSessionInterval").(int); on == 0 {
		return restoreDisabled
	}
	every := 1440
	if minutes, ok := m.valueLocked(keyRestore, "SystemRestorePointCreationFrequency").(int); ok {
		every = minutes
	}
	now := m.clock.Now()
	if n := len(m.restore.points); n > 0 && now.Sub(m.restore.points[n-1].made) < time.Duration(every)*time.Minute {
		return 0
	}
	m.restore.sequence++
	m.restore.points = append(m.restore.points, &restorePoint{m.restore.sequence, description, now, m.capture()})
	return 0
}

// goBack puts back what a restart was asked to. The caller holds the lock.
func (m *Machine) goBack() {
	if m.restore.wanted == nil {
		return
	}
	m.putBack(m.restore.wanted.machine)
	m.restore.wanted, m.restore.status = nil, restoreSucceeded
}

// RestorePoints lists the restore points, oldest first.
func (m *Machine) RestorePoints() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, p := range m.restore.points {
		names = append(names, p.description)
	}
	return names
}
