package machine

import (
	"context"
	"fmt"
	"time"
)

// Update is one update in the catalogue of the simulated Windows Update.
type Update struct {
	ID, Title, KB  string
	Class          string // classification GUID
	Product        string
	Bytes          int64
	Driver         bool
	BrowseOnly     bool
	UserInput      bool
	Exclusive      bool
	Downloaded     bool
	round          int
	reboot         bool
	ubr            int // what the UBR becomes once it is committed
	download, work time.Duration
	state          string // "", "pending" (installed, wants a reboot), "installed"
	installs       int
}

// agent is the state of Windows Update and of component servicing.
type agent struct {
	all            []*Update
	round          int // updates of a later round are offered after a reboot only
	rebootRequired bool
	servicing      int // ServicingInProgress: 0 idle, 1 waits for a reboot, 2 at work
	cbsLog         int64
	cpu            float64
	busyUntil      time.Time
	installing     bool
}

const (
	classSecurity   = "0fa1201d-4330-4fa8-8ae9-b877473b6441"
	classUpdates    = "cd5ffd1e-e932-4e3a-bf74-18bf0b1bbd83"
	classDefinition = "e0789628-ce08-4437-be74-2495b842f43b"
	classRollup     = "28bc880e-0592-4cbf-8f95-c79b17911d5f"
	classDriver     = "ebfc1fc5-71a4-4f7b-9aca-3b9a503104a0"
)

func (m *Machine) newAgent() agent {
	a := agent{round: 1, cbsLog: 5 << 20}
	if m.has("no-updates") {
		return a
	}
	minutes := func(low, high float64) time.Duration {
		return m.between(time.Duration(low*float64(time.Minute)), time.Duration(high*float64(time.Minute)))
	}
	const server = "Microsoft Server operating system-21H2"
	a.all = []*Update{
		{Title: "2026-11 Cumulative Update for Microsoft server operating system version 21H2 for x64-based Systems (KB5065432)", KB: "5065432", Class: classSecurity, Product: server, Bytes: 431 << 20, round: 1, reboot: true, ubr: 4171, download: minutes(1, 2), work: minutes(3, 6)},
		{Title: "2026-11 Cumulative Update for .NET Framework 3.5, 4.8 and 4.8.1 for Microsoft server operating system version 21H2 for x64 (KB5064401)", KB: "5064401", Class: classRollup, Product: server, Bytes: 74 << 20, round: 1, download: minutes(0.3, 0.6), work: minutes(0.8, 1.5)},
		{Title: "2026-11 Security Update for Microsoft server operating system version 21H2 for x64-based Systems (KB5066131)", KB: "5066131", Class: classSecurity, Product: server, Bytes: 38 << 20, round: 2, reboot: true, ubr: 4175, download: minutes(0.2, 0.4), work: minutes(1, 2)},
		{Title: "Security Intelligence Update for Microsoft Defender Antivirus - KB2267602 (Version 1.441.512.0)", KB: "2267602", Class: classDefinition, Product: "Microsoft Defender Antivirus", Bytes: 2 << 20, round: 1, download: minutes(0.2, 0.3), work: minutes(0.2, 0.3)},
		{Title: "VMware, Inc. - Net - 1.9.17.0", Class: classDriver, Product: "Windows Server Drivers", Bytes: 1 << 20, Driver: true, round: 1},
		{Title: "2026-11 Preview of Cumulative Update for Microsoft server operating system version 21H2 for x64-based Systems (KB5067890)", KB: "5067890", Class: classUpdates, Product: server, Bytes: 433 << 20, BrowseOnly: true, round: 1},
		{Title: "Security Update for SQL Server 2022 RTM CU (KB5063762)", KB: "5063762", Class: classSecurity, Product: "Microsoft SQL Server 2022", Bytes: 512 << 20, round: 1},
	}
	for i, u := range a.all {
		u.ID = fmt.Sprintf("%08x-0000-4000-8000-%012x", 0xab0000+i, i+1)
	}
	return a
}

// Search lists what is offered now.
func (m *Machine) Search(ctx context.Context, system bool) ([]Update, error) {
	if err := m.local(system); err != nil {
		return nil, err
	}
	if err := m.clock.Sleep(ctx, 20*time.Second); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.has("search-fails") {
		return nil, &winError{0x8024402C, "Exception from HRESULT: 0x8024402C"}
	}
	var list []Update
	for _, u := range m.update.all {
		if u.round <= m.update.round && u.state == "" {
			list = append(list, *u)
		}
	}
	return list, nil
}

// local refuses a network logon, as Windows Update does.
func (m *Machine) local(system bool) error {
	if system {
		return nil
	}
	return &winError{0x80070005, "Access is denied."}
}

func (m *Machine) offered(id string) *Update {
	for _, u := range m.update.all {
		if u.ID == id {
			return u
		}
	}
	return nil
}

// Outcome is what the agent says of one download or installation.
type Outcome struct {
	ResultCode int // 2 succeeded, 4 failed
	HResult    uint32
	Reboot     bool
}

// Download fetches one update.
func (m *Machine) Download(ctx context.Context, system bool, id string) (Outcome, error) {
	if err := m.local(system); err != nil {
		return Outcome{}, err
	}
	m.mu.Lock()
	u := m.offered(id)
	m.mu.Unlock()
	switch {
	case u == nil:
		return Outcome{4, 0x80240017, false}, nil
	case m.has("disk-full"):
		return Outcome{4, 0x80070070, false}, nil
	case u.isDownloaded(m):
		return Outcome{2, 0x00240008, false}, nil
	}
	took := u.download
	if m.has("install-slow") {
		took *= 4
	}
	if err := m.clock.Sleep(ctx, took); err != nil {
		return Outcome{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u.Downloaded = true
	return Outcome{2, 0, false}, nil
}

func (u *Update) isDownloaded(m *Machine) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return u.Downloaded
}

// Install installs one update, with component servicing at work meanwhile.
func (m *Machine) Install(ctx context.Context, system bool, id string) (Outcome, error) {
	if err := m.local(system); err != nil {
		return Outcome{}, err
	}
	m.mu.Lock()
	u := m.offered(id)
	if u == nil {
		m.mu.Unlock()
		return Outcome{4, 0x80240017, false}, nil
	}
	if m.has("installer-busy") {
		if m.update.busyUntil.IsZero() {
			m.update.busyUntil = m.clock.Now().Add(3 * time.Minute)
		}
		if m.clock.Now().Before(m.update.busyUntil) {
			m.mu.Unlock()
			return Outcome{4, 0x80240009, false}, nil
		}
	}
	m.update.servicing, m.update.installing = 2, true
	m.mu.Unlock()
	err := m.labour(ctx, u.work)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.update.installing, m.update.servicing = false, 0
	if m.update.rebootRequired {
		m.update.servicing = 1
	}
	if err != nil {
		return Outcome{}, err
	}
	if m.has("update-fails") && u.KB == "5064401" {
		return Outcome{4, 0x80070643, false}, nil
	}
	u.state, u.installs = "installed", u.installs+1
	if u.reboot {
		u.state, m.update.rebootRequired, m.update.servicing = "pending", true, 1
	}
	return Outcome{2, 0, u.reboot}, nil
}

// labour is time in which the installer works, and shows it in its log and its processor time.
func (m *Machine) labour(ctx context.Context, d time.Duration) error {
	if m.has("install-slow") {
		d *= 4
	}
	stuck := m.has("install-stuck")
	for end := m.clock.Now().Add(d); stuck || m.clock.Now().Before(end); {
		if err := m.clock.Sleep(ctx, min(10*time.Second, max(time.Second, end.Sub(m.clock.Now())))); err != nil {
			return err
		}
		if !stuck {
			m.mu.Lock()
			m.update.cbsLog, m.update.cpu = m.update.cbsLog+4096, m.update.cpu+6
			m.mu.Unlock()
		}
	}
	return nil
}

// commit is what the boot does with updates that waited for it; the lock is held.
func (m *Machine) commit() {
	for _, u := range m.update.all {
		if u.state != "pending" {
			continue
		}
		u.state = "installed"
		if m.has("update-loops") && u.KB == "5065432" {
			u.state = "" // rolled back at boot, and offered again
			continue
		}
		m.ubr = u.ubr
	}
	m.update.round++
	m.update.rebootRequired = false
}
