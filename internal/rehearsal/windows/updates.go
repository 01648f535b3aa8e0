package windows

import (
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	build    = "20348"
	caption  = "Microsoft Windows Server 2022 Standard"
	firstUBR = 3932
)

// Classifications and products of Windows Update, by their GUIDs.
const (
	classSecurity   = "0fa1201d-4330-4fa8-8ae9-b877473b6441"
	classCritical   = "e6cf1350-c01b-414d-a61f-263d14d133b4"
	classRollup     = "28bc880e-0592-4cbf-8f95-c79b17911d5f"
	classUpdate     = "cd5ffd1e-e932-4e3a-bf74-18bf0b1bbd83"
	classDefinition = "e0789628-ce08-4437-be74-2495b842f43b"
	classDriver     = "ebfc1fc5-71a4-4f7b-9aca-3b9a503104a0"
	productServer   = "2c7888b6-f9e9-4ee9-87af-a77705193893"
	productSQL      = "c96c35fc-a21f-481b-917c-10c4f64792cb"
	productDefender = "8c3fcc84-7410-4a95-8b89-a166a0190486"
	productExchange = "26bb6be1-37d1-4ca6-baee-ec00b2f7d0f1"
)

// update is one update as Windows Update knows it for this machine.
type update struct {
	id, kb, title  string
	class          string
	product        string // its name; not translated
	productID      string
	bytes          int64
	driver         bool
	optional       bool // BrowseOnly
	hidden         bool
	userInput      bool // may ask somebody at the screen
	exclusive      bool // must be installed alone
	plain          bool // without an InstallationBehavior
	reboot         bool
	eula           bool // accepted
	second         bool // offered only once the first round is committed
	ubr            int  // what the build becomes with it
	downloaded     bool
	waits          bool // installed, and waiting for the reboot
	installed      bool
	installs       int
	download, work time.Duration
}

// catalogue is what this machine will be offered.
func (m *Machine) catalogue(rng *rand.Rand) {
	m.updates = []*update{
		{kb: "5065432", title: "2026-11 Cumulative Update for Microsoft server operating system version 21H2 for x64-based Systems (KB5065432)", class: classSecurity, bytes: 431 << 20, reboot: true, ubr: 4171, work: between(rng, 3*time.Minute, 6*time.Minute)},
		{kb: "5064401", title: "2026-11 Cumulative Update for .NET Framework 3.5, 4.8 and 4.8.1 for Microsoft server operating system version 21H2 for x64 (KB5064401)", class: classRollup, bytes: 74 << 20, work: between(rng, time.Minute, 2*time.Minute)},
		{kb: "5066131", title: "2026-11 Security Update for Microsoft server operating system version 21H2 for x64-based Systems (KB5066131)", class: classSecurity, bytes: 38 << 20, reboot: true, second: true, ubr: 4175, work: between(rng, time.Minute, 2*time.Minute)},
		{kb: "2267602", title: "Security Intelligence Update for Microsoft Defender Antivirus - KB2267602 (Version 1.441.512.0)", class: classDefinition, product: "Microsoft Defender Antivirus", productID: productDefender, bytes: 2 << 20, work: between(rng, 20*time.Second, 40*time.Second)},
		{title: "VMware, Inc. - Net - 1.9.17.0", class: classDriver, product: "Windows Server Drivers", bytes: 1 << 20, driver: true, reboot: true, work: between(rng, 30*time.Second, time.Minute)},
		{kb: "5067890", title: "2026-11 Preview of Cumulative Update for Microsoft server operating system version 21H2 for x64-based Systems (KB5067890)", class: classUpdate, bytes: 433 << 20, optional: true, reboot: true, work: between(rng, 3*time.Minute, 6*time.Minute)},
		{kb: "5063762", title: "Security Update for SQL Server 2022 RTM CU (KB5063762)", class: classSecurity, product: "Microsoft SQL Server 2022", productID: productSQL, bytes: 512 << 20, work: between(rng, 4*time.Minute, 6*time.Minute)},
	}
	if m.has("odd-updates") {
		m.updates = append(m.updates, oddUpdates()...)
	}
	for _, u := range m.updates {
		u.id = fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", rng.Uint32(), rng.Uint32()&0xffff, rng.Uint32()&0xfff, rng.Uint32()&0xfff, rng.Uint64()&0xffffffffffff)
		u.download = between(rng, 15*time.Second, 45*time.Second) + time.Duration(u.bytes>>20)*200*time.Millisecond
		if u.product == "" {
			u.product, u.productID = "Microsoft Server operating system-21H2", productServer
		}
	}
}

// oddUpdates are those with which a client goes wrong.
func oddUpdates() []*update {
	const minute = time.Minute
	return []*update{
		{kb: "5063500", title: "2026-11 Servicing Stack Update for Windows Server (KB5063500)", class: classSecurity, bytes: 14 << 20, exclusive: true, work: minute},
		{kb: "5063501", title: "Windows Security platform (KB5063501)", class: classSecurity, bytes: 9 << 20, userInput: true, work: minute},
		{kb: "5063502", title: "Security Update that this host hides (KB5063502)", class: classSecurity, bytes: 9 << 20, hidden: true, work: minute},
		{kb: "5063503", title: "Windows Server 2025", class: featureUpgrade, bytes: 90 << 30, reboot: true, work: minute},
		{kb: "5063504", title: "Security Update For Exchange Server 2019 CU15 (KB5063504)", class: classSecurity, product: "Exchange Server 2019", productID: productExchange, bytes: 151 << 20, reboot: true, work: minute},
		{kb: "5063505", title: "An update without a classification (KB5063505)", bytes: 1 << 20, work: minute},
		{kb: "5063506", title: "2026-11 Security Update for Ünïcode $Äpps [x64] (KB5063506)", class: classSecurity, bytes: 1 << 20, work: minute},
		{kb: "5063506", title: "2026-11 Security Update for Ünïcode $Äpps [x64] (KB5063506)", class: classSecurity, bytes: 1 << 20, work: minute},
		{title: "Microsoft .NET 8.0.22 Update (no KB field, KB5063507 in its title)", class: classCritical, bytes: 29 << 20, work: minute},
	}
}

// offered lists what a search finds; what waits for a reboot stays on offer. The caller holds the lock.
func (m *Machine) offered() []*update {
	committed := true
	for _, u := range m.updates {
		if u.reboot && u.ubr != 0 && !u.second && !u.installed {
			committed = false
		}
	}
	var list []*update
	for _, u := range m.updates {
		if u.installed || u.second && !committed {
			continue
		}
		list = append(list, u)
	}
	return list
}

// commit is what the machine does with installed updates while it restarts; it says whether there were any.
// The caller holds the lock.
func (m *Machine) commit() bool {
	any := false
	for _, u := range m.updates {
		if !u.waits {
			continue
		}
		u.waits, u.installed = false, true
		u.installs++
		any = true
		if u.ubr != 0 {
			m.setValue(keyVersion, "UBR", u.ubr)
		}
	}
	return any
}
