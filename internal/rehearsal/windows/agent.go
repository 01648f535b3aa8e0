package windows

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// OperationResultCode of the Windows Update Agent.
const (
	resultSucceeded           = 2
	resultSucceededWithErrors = 3
	resultFailed              = 4
)

// agent is the state of the Windows Update Agent.
type agent struct {
	installing bool
	busyUntil  time.Time // somebody else installs
	processor  float64   // seconds that TiWorker has used
	msi        bool      // the service of Windows Installer runs
	blocked    bool      // a reboot is wanted before the next installation
	broken     bool      // its COM classes are not registered
	microsoft  bool      // Microsoft Update is registered
}

// outcome is what became of one update.
type outcome struct {
	ResultCode     int   `json:"resultCode"`
	HResult        int32 `json:"hresult"`
	RebootRequired bool  `json:"rebootRequired"`
}

// allow refuses the network logon of WinRM: Windows Update judges the caller's token.
func allow(system bool) error {
	if !system {
		return com(0x80070005)
	}
	return nil
}

// updateClass makes an object of the agent's session.
func (m *Machine) updateClass() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.agent.broken {
		return com(0x80040154)
	}
	return nil
}

// found is what a search ends with.
type found struct {
	ResultCode int          `json:"resultCode"`
	Updates    []updateView `json:"updates"`
	Warnings   []warning    `json:"warnings"`
}

type warning struct {
	HResult int32  `json:"hresult"`
	Message string `json:"message"`
}

// search waits as long as a search takes and lists what is offered.
func (m *Machine) search(ctx context.Context, selection int, service string) (found, error) {
	began := m.clock.Now()
	if err := m.clock.Sleep(ctx, m.draw.search); err != nil {
		return found{}, err
	}
	m.took("search", began)
	managed := selection <= selectManaged
	switch {
	case m.has("search-fails"):
		return found{}, com(0x8024402C)
	case managed && m.has("wsus-down"):
		return found{}, com(0x8024401C)
	case managed && m.take("wsus-busy", 2):
		return found{}, com(0x80244022)
	case !m.knows(selection, service):
		return found{}, com(0x80248014) // WU_E_DS_UNKNOWNSERVICE
	}
	m.mu.Lock()
	offered := m.offered()
	m.mu.Unlock()
	f := found{ResultCode: resultSucceeded, Updates: m.views(offered), Warnings: []warning{}}
	if m.has("search-warns") {
		code := uint32(0x8024000E) // WU_E_XML_INVALID
		f.ResultCode, f.Warnings = resultSucceededWithErrors, []warning{{int32(code), "The metadata of an update is not understood."}}
	}
	return f, nil
}

// byID is the update with that identity. The caller holds the lock.
func (m *Machine) byID(id string) *update {
	at := slices.IndexFunc(m.updates, func(u *update) bool { return u.id == id })
	if at < 0 {
		return nil
	}
	return m.updates[at]
}

func (m *Machine) acceptEULA(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.byID(id); u != nil {
		u.eula = true
	}
}

// download fetches one update.
func (m *Machine) download(ctx context.Context, id string) (outcome, error) {
	m.mu.Lock()
	u := m.byID(id)
	if u == nil {
		m.mu.Unlock()
		return failed(0x80240007), nil // WU_E_INVALIDINDEX
	}
	took, eula := u.download, u.eula
	if u.downloaded {
		took = 2 * time.Second
	}
	if m.has("install-slow") {
		took *= 4
	}
	if !u.downloaded && m.take("download-slow", 1) {
		took = 50 * time.Minute
	}
	m.mu.Unlock()
	if !eula {
		return failed(0x80240023), nil // WU_E_EULAS_DECLINED
	}
	began := m.clock.Now()
	for m.clock.Since(began) < took {
		if err := m.clock.Sleep(ctx, min(20*time.Second, took-m.clock.Since(began))); err != nil {
			return outcome{}, err
		}
		m.fetched(id)
	}
	m.took("download", began)
	if m.has("disk-full") || m.has("disk-fills") {
		return failed(0x80070070), nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u.downloaded = true
	return outcome{ResultCode: resultSucceeded}, nil
}

// fetched is a part of a download: a file of Windows Update grows.
func (m *Machine) fetched(id string) {
	file, err := os.OpenFile(filepath.Join(m.downloads(), id), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_, _ = file.Write(make([]byte, 1<<10))
	_ = file.Close()
}

func failed(hresult uint32) outcome {
	return outcome{ResultCode: resultFailed, HResult: int32(hresult)}
}

// isBusy says whether somebody installs.
func (m *Machine) isBusy() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.busyLocked()
}

func (m *Machine) busyLocked() bool {
	if m.take("installer-busy", 1) {
		m.agent.busyUntil = m.clock.Now().Add(3 * time.Minute)
	}
	return m.agent.installing || m.clock.Now().Before(m.agent.busyUntil)
}

func (m *Machine) isBlocked() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.agent.blocked
}

// rebootRequired is what Microsoft.Update.SystemInfo says.
func (m *Machine) rebootRequired() bool {
	_, ok := m.readKey(keyUpdate + `\RebootRequired`)
	return ok
}

// install installs one update that was downloaded.
func (m *Machine) install(ctx context.Context, id string) (outcome, error) {
	m.mu.Lock()
	u := m.byID(id)
	switch {
	case u == nil:
		m.mu.Unlock()
		return failed(0x80240007), nil
	case m.leaving:
		m.mu.Unlock()
		return outcome{}, com(0x8007045B)
	case m.busyLocked():
		m.mu.Unlock()
		return outcome{}, com(0x80240009)
	case m.agent.blocked:
		m.mu.Unlock()
		return outcome{}, com(0x80240016)
	case !u.downloaded:
		m.mu.Unlock()
		return failed(0x80246007), nil
	}
	m.agent.installing = true
	took := u.work
	m.setValue(keyCBS+`\Interface`, "ServicingInProgress", 2)
	m.mu.Unlock()
	err := m.work(ctx, u, took)

	m.mu.Lock()
	defer m.mu.Unlock()
	m.agent.installing = false
	if err != nil {
		return outcome{}, err // the machine went down or the process was ended: nothing is installed
	}
	result := m.finish(u)
	servicing := 0
	if m.registry[lower(keyCBS+`\RebootPending`)] != nil {
		servicing = 1
	}
	m.setValue(keyCBS+`\Interface`, "ServicingInProgress", servicing)
	return result, nil
}

// finish notes the end of an installation. The caller holds the lock.
func (m *Machine) finish(u *update) outcome {
	switch {
	case u.kb == "5064401" && m.has("install-wants-reboot") && m.boots == 1:
		return failed(0x80070BC9)
	case u.kb == "5064401" && m.has("update-fails"):
		return failed(0x80070643)
	case u.kb == "5064401" && m.has("update-loops"):
		u.installs++
		return outcome{ResultCode: resultSucceeded}
	case u.reboot:
		u.waits = true
		m.wantReboot()
		return outcome{ResultCode: resultSucceeded, RebootRequired: true}
	}
	u.installed = true
	u.installs++
	return outcome{ResultCode: resultSucceeded}
}

// wantReboot leaves the marks of an update that waits for a reboot. The caller holds the lock.
func (m *Machine) wantReboot() {
	m.makeKey(keyUpdate+`\RebootRequired`, true)
	m.makeKey(keyCBS+`\RebootPending`, true)
	m.makeKey(keyCBS+`\PackagesPending\1`, true)
}

// work spends the time of an installation, visibly: TiWorker uses the processor and CBS.log grows.
func (m *Machine) work(ctx context.Context, u *update, took time.Duration) error {
	stuck := m.has("install-stuck") && u.kb == "5065432"
	if m.has("install-slow") {
		took *= 4
	}
	if m.take("restart-while-installing", 1) {
		m.mu.Lock()
		m.schedule(5 * time.Second)
		m.mu.Unlock()
		stuck = true // until it goes down
	}
	const step = 10 * time.Second
	began := m.clock.Now()
	defer func() { m.took("install", began) }()
	for spent := time.Duration(0); stuck || spent < took; spent += step {
		if err := m.clock.Sleep(ctx, min(step, max(took-spent, time.Second))); err != nil {
			return err
		}
		if stuck {
			continue
		}
		m.mu.Lock()
		m.agent.processor += 7.5
		m.mu.Unlock()
		m.writeCBS(fmt.Sprintf("CBS    Exec: Processing complete of %d%% for %s\r\n", min(100, int(100*spent/took)), u.kb))
	}
	return nil
}

func (m *Machine) writeCBS(line string) {
	file, err := os.OpenFile(m.cbsLog(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return // somebody deleted the log, which Windows survives as well
	}
	_, _ = file.WriteString(line)
	_ = file.Close()
}
