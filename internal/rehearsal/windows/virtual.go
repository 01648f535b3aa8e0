package windows

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
)

// Guest is a virtual machine of a Hyper-V host, and the machine that runs in it.
type Guest struct {
	VM      string // the virtual machine's name
	Machine *Machine
}

// The types of checkpoints, in Hyper-V's words.
const (
	typeDisabled       = "Disabled"
	typeProduction     = "Production"
	typeProductionOnly = "ProductionOnly"
	typeStandard       = "Standard"
)

// vm is a virtual machine.
type vm struct {
	id, name    string
	guest       *Machine
	off         bool
	kind        string // CheckpointType; empty before Windows Server 2016
	notes       string
	exchange    bool     // the integration service Data Exchange tells the guest's name
	shadows     bool     // the integration service of the volume shadow copies is at work
	work        []string // what Hyper-V does with it
	disk        int      // counts the files that it has written to
	checkpoints []*checkpoint
}

// checkpoint is one checkpoint: the settings, and with the memory where it is no production checkpoint.
type checkpoint struct {
	id, name    string
	kind, notes string
	memory      bool
}

// How long Hyper-V works on a machine.
const (
	checkpointTakes = 15 * time.Second
	mergeTakes      = 90 * time.Second
)

func (m *Machine) isHypervisor() bool { return len(m.o.Guests) > 0 }

func (m *Machine) makeVirtualMachines() {
	for _, g := range m.o.Guests {
		m.vms = append(m.vms, &vm{id: identity(g.VM), name: g.VM, guest: g.Machine, kind: typeProduction, notes: "Octopus node, ask Ann", exchange: true, shadows: true})
	}
}

// identity is a GUID that is the same each time.
func identity(of ...any) string {
	sum := fnv.New128a()
	fmt.Fprint(sum, of...) //nolint:errcheck // a hash never fails
	b := sum.Sum(nil)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// disks are the files that the machine writes to.
func (v *vm) disks() []string {
	if v.disk == 0 {
		return []string{`C:\VMs\` + v.name + `.vhdx`}
	}
	return []string{fmt.Sprintf(`C:\VMs\%s_%04d.avhdx`, v.name, v.disk)}
}

func (v *vm) state() string {
	if v.off {
		return "Off"
	}
	return stateRunning
}

// fullName is what the guest calls itself, empty while it does not tell.
func (v *vm) fullName() string {
	if v.off || !v.exchange || !v.guest.Up() {
		return ""
	}
	return strings.ToLower(v.guest.computer) + "." + domain
}

// noRights is what Hyper-V says to an account that may not manage it.
const noRights = "You do not have the required permission to complete this task. Contact the administrator of the authorization policy for the computer."

// mayManage is whether the account may manage Hyper-V.
func (m *Machine) mayManage() bool { return !m.has("hyperv-denied") }

// virtual is the machine with that id. The caller holds the lock.
func (m *Machine) virtual(id string) (*vm, error) {
	for _, v := range m.vms {
		if strings.EqualFold(v.id, id) {
			return v, nil
		}
	}
	return nil, &Error{Kind: "com", Code: 0x80131500, Message: "Hyper-V was unable to find a virtual machine with id " + id + "."}
}

// busy is how Hyper-V refuses what does not go with the state of a machine.
func busy(v *vm) error {
	return &Error{Kind: "com", Code: 0x80131500, Message: fmt.Sprintf("The operation cannot be performed while the virtual machine '%s' is in its current state.", v.name)}
}

// job is what Hyper-V does with a machine; it goes on when who asked for it has gone.
func (m *Machine) job(ctx context.Context, id, work string, took time.Duration, do func(*vm) error) error {
	m.mu.Lock()
	v, err := m.virtual(id)
	if err == nil && len(v.work) > 0 {
		err = busy(v)
	}
	if err != nil {
		m.mu.Unlock()
		return err
	}
	v.work = append(v.work, work)
	m.mu.Unlock()
	done := make(chan error, 1)
	m.spawn(func() {
		err := m.clock.Sleep(m.life, took)
		if err == nil {
			err = do(v)
		}
		m.mu.Lock()
		v.work = slices.DeleteFunc(v.work, func(w string) bool { return w == work })
		m.mu.Unlock()
		done <- err
	})
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case err := <-done:
		return err
	}
}

// takeCheckpoint is Checkpoint-VM.
func (m *Machine) takeCheckpoint(ctx context.Context, id, name string) error {
	return m.job(ctx, id, "CreatingSnapshot", checkpointTakes, func(v *vm) error {
		m.mu.Lock()
		kind := v.kind
		m.mu.Unlock()
		rests := v.off || v.shadows && v.guest.Up() && !v.guest.has("checkpoint-fails")
		switch {
		case kind == typeDisabled:
			return &Error{Kind: "com", Code: 0x80131500, Message: "Checkpoints have been disabled for '" + v.name + "'."}
		case kind == typeProductionOnly && !rests:
			return &Error{Kind: "com", Code: 0x80131500, Message: "Checkpoint operation failed. Production checkpoints cannot be created for '" + v.name + "'."}
		}
		if err := v.guest.takePoint(name); err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		v.disk++
		v.checkpoints = append(v.checkpoints, &checkpoint{id: identity(v.name, name, v.disk), name: name, kind: kind, notes: v.notes, memory: !v.off && (kind == typeStandard || !rests)})
		return nil
	})
}

// find is the checkpoint with that id. The caller holds the lock.
func (v *vm) find(id string) (*checkpoint, error) {
	for _, c := range v.checkpoints {
		if strings.EqualFold(c.id, id) {
			return c, nil
		}
	}
	return nil, &Error{Kind: "com", Code: 0x80131500, Message: "Hyper-V was unable to find the checkpoint."}
}

// applyCheckpoint is Restore-VMSnapshot: disks and settings are as they were. Without the memory the machine is
// off afterwards.
func (m *Machine) applyCheckpoint(ctx context.Context, id, which string) error {
	return m.job(ctx, id, "ApplyingSnapshot", 0, func(v *vm) error {
		m.mu.Lock()
		c, err := v.find(which)
		m.mu.Unlock()
		if err != nil {
			return err
		}
		if err := v.guest.applyPoint(c.name); err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		v.disk++
		v.kind, v.notes, v.off = c.kind, c.notes, !c.memory
		if c.memory {
			v.guest.powerOn()
		}
		return nil
	})
}

// removeCheckpoint is Remove-VMSnapshot: the disks are merged afterwards.
func (m *Machine) removeCheckpoint(ctx context.Context, id, which string) error {
	return m.job(ctx, id, "DeletingSnapshot", 0, func(v *vm) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		c, err := v.find(which)
		if err != nil {
			return err
		}
		v.checkpoints = slices.DeleteFunc(v.checkpoints, func(one *checkpoint) bool { return one == c })
		v.work = append(v.work, "MergingDisks")
		m.spawn(func() { m.merge(v) })
		return v.guest.removePoint(c.name)
	})
}

func (m *Machine) merge(v *vm) {
	if m.clock.Sleep(m.life, mergeTakes) != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v.work = slices.DeleteFunc(v.work, func(w string) bool { return w == "MergingDisks" })
	if len(v.checkpoints) == 0 {
		v.disk = 0
	}
}

// setVirtual is Set-VM.
func (m *Machine) setVirtual(id, kind, notes string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.virtual(id)
	if err == nil {
		v.kind, v.notes = kind, notes
	}
	return err
}

// startVirtual is Start-VM.
func (m *Machine) startVirtual(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.virtual(id)
	if err == nil && (!v.off || len(v.work) > 0) {
		err = busy(v)
	}
	if err == nil {
		v.off = false
		v.guest.powerOn()
	}
	return err
}

// VirtualMachine is a virtual machine as an administrator sees it.
type VirtualMachine struct {
	State, Type, Notes string
	Checkpoints        []string // oldest first
}

// Forgotten lists the checkpoints without an expiry: those are kept as asked.
func (v VirtualMachine) Forgotten() []string {
	return slices.DeleteFunc(slices.Clone(v.Checkpoints), func(name string) bool { return strings.Contains(name, ", expires ") })
}

// VirtualMachines are the virtual machines of this Hyper-V host, by name.
func (m *Machine) VirtualMachines() map[string]VirtualMachine {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]VirtualMachine{}
	for _, v := range m.vms {
		one := VirtualMachine{State: v.state(), Type: v.kind, Notes: v.notes}
		for _, c := range v.checkpoints {
			one.Checkpoints = append(one.Checkpoints, c.name)
		}
		all[v.name] = one
	}
	return all
}

// MoveAway takes a virtual machine to another Hyper-V host, as a failover cluster does.
func (m *Machine) MoveAway(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.vms = slices.DeleteFunc(m.vms, func(v *vm) bool { return v.name == name })
}
