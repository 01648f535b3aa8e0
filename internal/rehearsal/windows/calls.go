package windows

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
)

type handler func(m *Machine, p process, with json.RawMessage) (any, error)

// on decodes what a call comes with.
func on[T any](f func(m *Machine, p process, with T) (any, error)) handler {
	return func(m *Machine, p process, raw json.RawMessage) (any, error) {
		var with T
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &with); err != nil {
				return nil, err
			}
		}
		return f(m, p, with)
	}
}

type none struct{}

// named addresses a service, a task, a key, a directory or an update.
type named struct {
	Name, Folder, Path, Class, Namespace, ID, XML, SDDL, Start string
	Delayed, Enabled                                           bool
	Selection                                                  int
}

type program struct{ Args []string }

type ended struct {
	Output string `json:"output"`
	Exit   int    `json:"exit"`
}

// calls are what the shim can ask of the machine.
var calls = map[string]handler{
	"hello": on(func(m *Machine, _ process, _ none) (any, error) { return m.hello(), nil }),
	"cim":   on(func(m *Machine, _ process, with named) (any, error) { return m.instances(with.Class, with.Namespace) }),
	"cim method": on(func(m *Machine, _ process, with method) (any, error) {
		return m.callMethod(with)
	}),
	"services": on(func(m *Machine, _ process, _ none) (any, error) { return m.controllers(), nil }),
	"service start": on(func(m *Machine, _ process, with named) (any, error) {
		return nil, m.startService(with.Name)
	}),
	"service stop": on(func(m *Machine, _ process, with named) (any, error) {
		return nil, m.stopService(with.Name)
	}),
	"service configure": on(func(m *Machine, _ process, with named) (any, error) {
		return nil, m.configure(with.Name, with.Start, with.Delayed)
	}),
	"key": on(func(m *Machine, _ process, with named) (any, error) {
		values, ok := m.readKey(with.Path)
		return map[string]any{"exists": ok, "values": values, "children": m.subkeys(with.Path)}, nil
	}),
	"make directory": on(func(m *Machine, _ process, with named) (any, error) {
		return nil, m.makeDirectory(filepath.FromSlash(with.Path), with.SDDL)
	}),
	"access list": on(func(m *Machine, _ process, with named) (any, error) {
		return m.accessList(filepath.FromSlash(strings.ReplaceAll(with.Path, `\`, "/")))
	}),
	"away": on(func(m *Machine, p process, with named) (any, error) {
		path, err := m.away(p, with.Path)
		if err != nil {
			return nil, nil //nolint:nilerr // the shim says it as each cmdlet does
		}
		return path, nil
	}),
	"share":          on(func(m *Machine, p process, with named) (any, error) { return m.shareSpace(p, with.Path) }),
	"backup volumes": on(func(m *Machine, _ process, _ none) (any, error) { return m.volumes(), nil }),
	"backup job":     on(func(m *Machine, _ process, _ none) (any, error) { return m.backupJob(), nil }),
	"backup sets":    on(func(m *Machine, p process, with named) (any, error) { return m.versions(p, with.Path) }),
	"wbadmin": on(func(m *Machine, p process, with program) (any, error) {
		output, exit := m.wbadmin(p, with.Args)
		return ended{output, exit}, nil
	}),
	"processes": on(func(m *Machine, _ process, _ none) (any, error) { return m.installers(), nil }),
	"shutdown": on(func(m *Machine, _ process, with program) (any, error) {
		output, exit := m.shutdownCommand(with.Args)
		return ended{output, exit}, nil
	}),
	"schtasks": on(func(m *Machine, _ process, with program) (any, error) {
		output, exit := m.schtasks(with.Args)
		return ended{output, exit}, nil
	}),
	"icacls": on(func(m *Machine, _ process, with program) (any, error) {
		output, exit := m.icacls(with.Args)
		return ended{output, exit}, nil
	}),
	"octopus": on(func(m *Machine, _ process, with program) (any, error) {
		output, exit := m.octopusCommand(with.Args)
		return ended{output, exit}, nil
	}),

	"tasks": on(func(m *Machine, _ process, _ none) (any, error) { return m.allTasks(), nil }),
	"task":  on(func(m *Machine, _ process, with named) (any, error) { return m.oneTask(with.Folder, with.Name) }),
	"task enable": on(func(m *Machine, _ process, with named) (any, error) {
		return nil, m.enableTask(with.Folder, with.Name, with.Enabled)
	}),
	"task register": on(func(m *Machine, _ process, with named) (any, error) {
		return nil, m.registerTask(with.Folder, with.Name, with.XML)
	}),
	"task delete": on(func(m *Machine, _ process, with named) (any, error) { return nil, m.deleteTask(with.Folder, with.Name) }),
	"task run":    on(func(m *Machine, _ process, with named) (any, error) { return nil, m.runTask(with.Folder, with.Name) }),
	"task stop":   on(func(m *Machine, _ process, with named) (any, error) { return nil, m.stopTask(with.Folder, with.Name) }),
	"folder":      on(func(m *Machine, _ process, with named) (any, error) { return nil, m.folderExists(with.Folder) }),
	"folder create": on(func(m *Machine, _ process, with named) (any, error) {
		return nil, m.createFolder(with.Folder, with.SDDL)
	}),
	"folder delete": on(func(m *Machine, _ process, with named) (any, error) { return nil, m.deleteFolder(with.Folder) }),

	"update class":    on(func(m *Machine, _ process, _ none) (any, error) { return nil, m.updateClass() }),
	"update allowed":  on(func(_ *Machine, p process, _ none) (any, error) { return nil, allow(p.system) }),
	"update search":   on(func(m *Machine, p process, with named) (any, error) { return m.search(p.ctx, with.Selection, with.ID) }),
	"update services": on(func(m *Machine, _ process, _ none) (any, error) { return m.updateServices(), nil }),
	"update eula": on(func(m *Machine, _ process, with named) (any, error) {
		m.acceptEULA(with.ID)
		return nil, nil
	}),
	"update download": on(func(m *Machine, p process, with named) (any, error) { return m.download(p.ctx, with.ID) }),
	"update install":  on(func(m *Machine, p process, with named) (any, error) { return m.install(p.ctx, with.ID) }),
	"update state": on(func(m *Machine, _ process, _ none) (any, error) {
		return map[string]bool{"busy": m.isBusy(), "blocked": m.isBlocked(), "reboot": m.rebootRequired()}, nil
	}),

	"virtual machines": on(func(m *Machine, _ process, _ none) (any, error) { return m.virtualMachines(), nil }),
	"virtual machine set": on(func(m *Machine, _ process, with virtualCall) (any, error) {
		return nil, m.setVirtual(with.VM, with.Type, with.Notes)
	}),
	"virtual machine start": on(func(m *Machine, _ process, with virtualCall) (any, error) { return nil, m.startVirtual(with.VM) }),
	"checkpoint take": on(func(m *Machine, p process, with virtualCall) (any, error) {
		return nil, m.takeCheckpoint(p.ctx, with.VM, with.Name)
	}),
	"checkpoint apply": on(func(m *Machine, p process, with virtualCall) (any, error) {
		return nil, m.applyCheckpoint(p.ctx, with.VM, with.Checkpoint)
	}),
	"checkpoint remove": on(func(m *Machine, p process, with virtualCall) (any, error) {
		return nil, m.removeCheckpoint(p.ctx, with.VM, with.Checkpoint)
	}),
}

// hello is what a process finds in its environment.
func (m *Machine) hello() any {
	return map[string]any{
		"clock":   m.clock.String(),
		"skew":    m.skew().Seconds(),
		"version": m.o.Version,
		"hyperv":  m.isHypervisor(),
		"program": m.program,
		"environment": map[string]string{
			"COMPUTERNAME": m.computer, "ProgramData": m.folder, "ALLUSERSPROFILE": m.folder, "SystemDrive": "C:",
			"SystemRoot": m.systemRoot(), "windir": m.systemRoot(), "ProgramFiles": filepath.Join(m.o.Dir, "Program Files"),
		},
	}
}

// fileTime is a time as FILETIME digits: hundreds of nanoseconds since 1601.
func (m *Machine) fileTime() string {
	return strconv.FormatInt((m.bootTime.UnixMicro()+11644473600*1e6)*10, 10)
}

// instances are the objects of a CIM class.
func (m *Machine) instances(class, namespace string) (any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch strings.ToLower(class) {
	case "win32_operatingsystem":
		return []any{map[string]any{"Caption": m.caption(), "ProductType": m.productType(), "BuildNumber": build, "Version": "10.0." + build, "CSName": m.computer, "LastBootUpTime": m.fileTime()}}, nil
	case "win32_computersystem":
		return []any{map[string]any{"Name": m.computer, "DNSHostName": strings.ToLower(m.computer), "Domain": domain, "PartOfDomain": true}}, nil
	case "win32_logicaldisk":
		return []any{
			map[string]any{"DeviceID": "C:", "DriveType": 3, "FreeSpace": m.freeBytes(), "Size": int64(127 << 30)},
			map[string]any{"DeviceID": "D:", "DriveType": 5, "FreeSpace": nil, "Size": nil},
		}, nil
	case "win32_service":
		var list []any
		for _, s := range m.services {
			list = append(list, map[string]any{"Name": s.name, "DisplayName": s.name, "State": s.state, "StartMode": s.start, "DelayedAutoStart": s.delayed, "PathName": s.path})
		}
		return list, nil
	case "msvm_kvpexchangecomponent":
		if m.isHypervisor() && strings.EqualFold(strings.ReplaceAll(namespace, "/", `\`), `root\virtualization\v2`) {
			return m.exchanges(), nil
		}
	case "systemrestore":
		return m.restorePoints()
	}
	return nil, com(0x80041010) // WBEM_E_INVALID_CLASS
}

const domain = "rehearsal.example"

// controllers are the services as Get-Service shows them.
func (m *Machine) controllers() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []any
	for _, s := range m.services {
		names := []string{}
		for _, d := range m.dependents(s.name) {
			names = append(names, d.name)
		}
		list = append(list, map[string]any{"name": s.name, "status": strings.ReplaceAll(s.state, " ", ""), "dependents": names})
	}
	return list
}

// processView is a running program.
type processView struct {
	Name string  `json:"name"`
	ID   int     `json:"id"`
	CPU  float64 `json:"cpu"` // seconds
}

// installers are the processes that work while Windows installs.
func (m *Machine) installers() []processView {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []processView{}
	if m.agent.installing {
		list = append(list, processView{"TiWorker", 5120, m.agent.processor}, processView{"TrustedInstaller", 4980, 0.25})
	}
	return list
}

func (m *Machine) allTasks() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := map[int]string{taskDisabled: "Disabled", taskQueued: "Queued", taskReady: "Ready", taskRunning: "Running"}
	var list []any
	for _, t := range m.tasks {
		list = append(list, map[string]any{"name": t.name, "path": strings.TrimRight(t.folder, `\`) + `\`, "state": names[t.state]})
	}
	return list
}

func (m *Machine) folderExists(path string) error {
	if !m.isFolder(path) {
		return com(0x80070002)
	}
	return nil
}

func (m *Machine) isFolder(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hasFolder(path)
}

// taskView is a registered task; an empty name asks for all of a folder.
type taskView struct {
	Name   string `json:"name"`
	State  int    `json:"state"`
	Result int32  `json:"result"`
}

func (m *Machine) oneTask(folder, name string) (any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []taskView{}
	for _, t := range m.tasks {
		if strings.EqualFold(t.folder, folder) && (name == "" || strings.EqualFold(t.name, name)) {
			list = append(list, taskView{t.name, t.state, int32(t.result)})
		}
	}
	if name != "" && len(list) == 0 {
		return nil, com(0x80070002)
	}
	return list, nil
}

// updateView is an update as the agent's objects show it.
type updateView struct {
	ID         string   `json:"id"`
	Title      string   `json:"title"`
	KBs        []string `json:"kbs"`
	Bytes      int64    `json:"bytes"`
	Downloaded bool     `json:"downloaded"`
	EULA       bool     `json:"eula"`
	Optional   bool     `json:"optional"`
	Hidden     bool     `json:"hidden"`
	UserInput  bool     `json:"userInput"`
	Exclusive  bool     `json:"exclusive"`
	Type       int      `json:"type"`
	Class      string   `json:"class"`
	Product    string   `json:"product"`
	ProductID  string   `json:"productID"`
	Plain      bool     `json:"plain"`  // Windows says nothing about how it behaves while it is installed
	Waits      bool     `json:"waits"`  // installed, and waiting for the reboot
	Broken     bool     `json:"broken"` // Windows does not say what it is
}

// UpdateType of the Windows Update Agent.
const (
	typeSoftware = 1
	typeDriver   = 2
)

func (m *Machine) views(list []*update) []updateView {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := []updateView{}
	for _, u := range list {
		v := updateView{
			ID: u.id, Title: u.title, KBs: []string{}, Bytes: u.bytes, Downloaded: u.downloaded, EULA: u.eula, Optional: u.optional, Hidden: u.hidden,
			UserInput: u.userInput, Exclusive: u.exclusive, Type: typeSoftware, Class: u.class, Product: u.product, ProductID: u.productID,
			Plain: u.plain, Waits: u.waits, Broken: u.kb == "5064401" && m.has("com-broken"),
		}
		if u.kb != "" {
			v.KBs = append(v.KBs, u.kb)
		}
		if u.driver {
			v.Type = typeDriver
		}
		all = append(all, v)
	}
	return all
}
