package windows

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// point is the name of the checkpoint in these tests.
const pointName = "octopatch-r1-OCTO-01"

// virtualCells are the columns of a Hyper-V host: its script, with all that can be asked of it.
func virtualCells(s state) []cell {
	var list []cell
	for _, action := range []string{"check", "take", "find", "look", "revert", "remove"} {
		request := map[string]any{"action": action, "vm": "OCTO-01", "computer": "OCTO-01", "name": pointName, "expires": "", "disks": []string{`C:\VMs\OCTO-01_0001.avhdx`}}
		if action == "check" {
			request["name"] = ""
		}
		for k, v := range s.ask {
			request[k] = v
		}
		list = append(list, cell{"hyperv " + action, step{"hyperv", request}})
	}
	return list
}

// virtualAftermath is what a command has made of a virtual machine.
type virtualAftermath struct {
	State, Type, Notes string
	Disks              []string
	Checkpoints        []string // those with the memory say so
	Points             []string // of the machine in it
	Boots              int
}

// virtualAftermath awaits what Hyper-V does, and the boot of the machines in it.
func (m *Machine) virtualAftermath() []virtualAftermath {
	var list []virtualAftermath
	for i := range m.vms {
		for range 120 {
			m.mu.Lock()
			v := m.vms[i]
			quiet := len(v.work) == 0 && (v.off || v.guest.Up())
			m.mu.Unlock()
			if quiet || m.clock.Sleep(m.life, 2*time.Second) != nil {
				break
			}
		}
		m.mu.Lock()
		v := m.vms[i]
		a := virtualAftermath{State: v.state(), Type: v.kind, Notes: v.notes, Disks: v.disks(), Points: v.guest.Points(), Boots: v.guest.Snapshot().Boots}
		for _, c := range v.checkpoints {
			name := c.name
			if c.memory {
				name += " with the memory"
			}
			a.Checkpoints = append(a.Checkpoints, name)
		}
		m.mu.Unlock()
		list = append(list, a)
	}
	return list
}

// has gives a machine checkpoints of these names.
func has(names ...string) func(*Machine, *vm) {
	return func(_ *Machine, v *vm) {
		for _, name := range names {
			_ = v.guest.takePoint(name)
			v.disk++
			v.checkpoints = append(v.checkpoints, &checkpoint{id: identity(v.name, name, v.disk), name: name, kind: v.kind, notes: v.notes})
		}
	}
}

// working has Hyper-V do something with the machine for so long.
func busyWith(work string, takes time.Duration) func(*Machine, *vm) {
	return func(h *Machine, v *vm) {
		v.work = append(v.work, work)
		h.spawn(func() {
			if h.clock.Sleep(h.life, takes) == nil {
				h.mu.Lock()
				defer h.mu.Unlock()
				v.work = slices.DeleteFunc(v.work, func(w string) bool { return w == work })
			}
		})
	}
}

func allOf(list ...func(*Machine, *vm)) func(*Machine, *vm) {
	return func(h *Machine, v *vm) {
		for _, f := range list {
			f(h, v)
		}
	}
}

func set(f func(v *vm)) func(*Machine, *vm) { return func(_ *Machine, v *vm) { f(v) } }

// virtualStates are the rows of a Hyper-V host.
func virtualStates() []state {
	held := set(func(v *vm) {
		v.kind, v.notes = typeProductionOnly, v.notes+"\noctopatch: its checkpoint type was Standard"
	})
	ours := has(pointName)
	return []state{
		{name: "virtual machine", virtual: set(func(*vm) {})},
		{name: "production only", virtual: set(func(v *vm) { v.kind = typeProductionOnly })},
		{name: "standard checkpoints", virtual: set(func(v *vm) { v.kind = typeStandard })},
		{name: "checkpoints disabled", virtual: set(func(v *vm) { v.kind = typeDisabled })},
		{name: "before Windows Server 2016", virtual: set(func(v *vm) { v.kind = "" })},
		{name: "no notes", virtual: set(func(v *vm) { v.notes = "" })},
		{name: "type held", virtual: held},
		{name: "type held, with checkpoint", virtual: allOf(held, ours)},
		{name: "type held, notes written since", virtual: set(func(v *vm) {
			v.kind, v.notes = typeProductionOnly, "octopatch: its checkpoint type was Production\r\nask Bob"
		})},
		{name: "type held, and changed since", virtual: set(func(v *vm) { v.kind, v.notes = typeStandard, "a\noctopatch: its checkpoint type was Production" })},
		{name: "checkpoint there", virtual: ours},
		{name: "checkpoint with expiry there", virtual: has(pointName + ", expires 2026-12-03T02:00:00Z")},
		{name: "two checkpoints of the name", virtual: has(pointName, pointName)},
		{name: "checkpoints of others", virtual: has("before the upgrade", "octopatch-r1-OCTO-011", "octopatch-r0-OCTO-01, expires 2026-01-01T00:00:00Z")},
		{name: "kept until then", virtual: set(func(*vm) {}), ask: map[string]any{"expires": ", expires 2026-12-03T02:00:00Z"}},
		{name: "reverted already, off", virtual: allOf(ours, set(func(v *vm) { v.disk, v.off, v.guest.up = 2, true, false }))},
		{name: "reverted already", virtual: allOf(ours, set(func(v *vm) { v.disk = 2 }))},
		{name: "off", virtual: allOf(ours, set(func(v *vm) { v.off, v.guest.up = true, false }))},
		{name: "no such machine", virtual: set(func(v *vm) { v.name = "OCTO-02" })},
		{name: "two machines of the name", virtual: func(h *Machine, v *vm) {
			other := *v
			other.id = identity("other")
			h.vms = append(h.vms, &other)
		}},
		{name: "wildcards in the name", virtual: set(func(v *vm) { v.name = "O'Neil [0]*" }), ask: map[string]any{"vm": "O'Neil [0]*"}},
		{name: "another computer in it", virtual: allOf(ours, set(func(v *vm) { v.guest.computer = "SQL01" }))},
		{name: "a longer name in it", virtual: allOf(ours, set(func(v *vm) { v.guest.computer = "OCTOPUSDEPLOYNODE01" })), ask: map[string]any{"computer": "OCTOPUSDEPLOYNO"}},
		{name: "computer not known", virtual: ours, ask: map[string]any{"computer": ""}},
		{name: "the host is the node", virtual: ours, ask: map[string]any{"computer": "hyperv-01"}},
		{name: "data exchange off", virtual: allOf(ours, set(func(v *vm) { v.exchange = false }))},
		{name: "data exchange off, nothing taken", virtual: set(func(v *vm) { v.exchange = false })},
		{name: "shadow copies off", virtual: set(func(v *vm) { v.shadows = false })},
		{name: "restarting", virtual: allOf(ours, set(func(v *vm) { v.guest.up = false }))},
		{name: "merging", virtual: busyWith("MergingDisks", 40*time.Second)},
		{name: "merging, with checkpoint", virtual: allOf(ours, busyWith("MergingDisks", 40*time.Second))},
		{name: "taking a checkpoint", virtual: allOf(ours, busyWith("CreatingSnapshot", 40*time.Second))},
		{name: "exporting for hours", virtual: busyWith("ExportingVirtualMachine", 5*time.Hour)},
		{name: "not at rest", faults: "checkpoint-fails", virtual: set(func(*vm) {})},
		{name: "no right to manage", faults: "hyperv-denied", virtual: set(func(*vm) {})},
		{name: "constrained on Hyper-V", faults: "constrained-language", virtual: set(func(*vm) {})},
		{name: "no action", virtual: set(func(*vm) {}), ask: map[string]any{"action": "nothing"}},
		{name: "no Hyper-V host", ask: map[string]any{}},
	}
}

// TestCheckpoints: what a Hyper-V host answers in these states, and what it makes of the machine. That PowerShell
// does the same as the twins is the conformance suite's.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	const reverted = `C:\VMs\OCTO-01_0002.avhdx`
	const untouched = "Octopus node, ask Ann"
	for _, c := range []struct {
		state, action string
		kind          string // of the error; empty: it answers
		after         virtualAftermath
	}{
		{"virtual machine", "check", "", virtualAftermath{Type: typeProduction}},
		{"virtual machine", "take", "", virtualAftermath{Type: typeProduction, Checkpoints: []string{pointName}}},
		{"standard checkpoints", "take", "", virtualAftermath{Type: typeStandard, Checkpoints: []string{pointName}}},
		{"no notes", "take", "", virtualAftermath{Type: typeProduction, Notes: "-", Checkpoints: []string{pointName}}},
		{"kept until then", "take", "", virtualAftermath{Type: typeProduction, Checkpoints: []string{pointName + ", expires 2026-12-03T02:00:00Z"}}},
		{"checkpoint there", "take", "", virtualAftermath{Type: typeProduction, Checkpoints: []string{pointName}}},
		{"taking a checkpoint", "take", "", virtualAftermath{Type: typeProduction, Checkpoints: []string{pointName}}},
		{"not at rest", "take", "checkpoint", virtualAftermath{Type: typeProduction}},
		{"another computer in it", "check", "machine", virtualAftermath{Type: typeProduction, Checkpoints: []string{pointName}}},
		{"another computer in it", "revert", "machine", virtualAftermath{Type: typeProduction, Checkpoints: []string{pointName}}},
		{"the host is the node", "check", "machine", virtualAftermath{Type: typeProduction, Checkpoints: []string{pointName}}},
		{"no such machine", "take", "machine", virtualAftermath{Type: typeProduction}},
		{"checkpoints disabled", "take", "unfit", virtualAftermath{Type: typeDisabled}},
		{"shadow copies off", "take", "unfit", virtualAftermath{Type: typeProduction}},
		{"data exchange off, nothing taken", "take", "unfit", virtualAftermath{Type: typeProduction}},
		{"merging", "check", "unfit", virtualAftermath{Type: typeProduction}},
		{"no right to manage", "check", "rights", virtualAftermath{Type: typeProduction}},
		{"two checkpoints of the name", "revert", "checkpoint", virtualAftermath{Type: typeProduction, Checkpoints: []string{pointName, pointName}}},
		{"type held", "find", "", virtualAftermath{Type: typeStandard}},
		{"type held", "check", "", virtualAftermath{Type: typeProductionOnly, Notes: untouched + "\noctopatch: its checkpoint type was Standard"}},
		{"type held, notes written since", "find", "", virtualAftermath{Type: typeProduction, Notes: "\nask Bob"}},
		{"type held, with checkpoint", "revert", "", virtualAftermath{Type: typeStandard, Disks: []string{reverted}, Boots: 2, Checkpoints: []string{pointName}}},
		{"checkpoint there", "revert", "", virtualAftermath{Type: typeProduction, Disks: []string{reverted}, Boots: 2, Checkpoints: []string{pointName}}},
		{"reverted already", "revert", "", virtualAftermath{Type: typeProduction, Disks: []string{reverted}, Checkpoints: []string{pointName}}},
		{"reverted already, off", "revert", "", virtualAftermath{Type: typeProduction, Disks: []string{reverted}, Boots: 2, Checkpoints: []string{pointName}}},
		{"virtual machine", "revert", "", virtualAftermath{Type: typeProduction}},
		{"checkpoint with expiry there", "remove", "", virtualAftermath{Type: typeProduction}},
		{"checkpoints of others", "remove", "", virtualAftermath{Type: typeProduction, Checkpoints: []string{"before the upgrade", "octopatch-r1-OCTO-011", "octopatch-r0-OCTO-01, expires 2026-01-01T00:00:00Z"}}},
	} {
		t.Run(c.state+"/"+c.action, func(t *testing.T) {
			t.Parallel()
			all := virtualStates()
			s := all[slices.IndexFunc(all, func(s state) bool { return s.name == c.state })]
			m := newMachine(t, s, 400, nil)
			columns := virtualCells(s)
			one := columns[slices.IndexFunc(columns, func(one cell) bool { return one.name == "hyperv "+c.action })]
			got := ask(t, m, scripts.Text(one.script), one.request, false)
			answer, _ := got.Answer.(map[string]any)
			fault, _ := answer["error"].(map[string]any)
			if kind, _ := fault["kind"].(string); kind != c.kind {
				t.Errorf("it answers %v, want an error of kind %q", got.Answer, c.kind)
			}
			after := m.virtualAftermath()[0]
			want := c.after
			want.State, want.Points, want.Boots = stateRunning, after.Points, max(1, want.Boots)
			switch want.Notes {
			case "":
				want.Notes = untouched
			case "-":
				want.Notes = ""
			}
			if want.Disks == nil {
				want.Disks = after.Disks
			}
			if diff := cmp.Diff(want, after); diff != "" {
				t.Errorf("the machine afterwards (-want +got):\n%s", diff)
			}
		})
	}
}
