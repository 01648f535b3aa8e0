package main

import (
	"crypto/tls"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// vcenter is govmomi's own simulator over HTTPS, with a virtual machine for node OCTO-01.
func vcenter(t *testing.T) (m *simulator.Model, environ []string, list func() []string) {
	t.Helper()
	m = simulator.VPX()
	m.Machine = 1
	if err := m.Create(); err != nil {
		t.Fatal(err)
	}
	m.Service.TLS = new(tls.Config)
	m.Service.Listen = &url.URL{User: url.UserPassword("patcher", "a-password"), Host: "127.0.0.1:0"}
	server := m.Service.NewServer()
	t.Cleanup(func() { server.Close(); m.Remove() })
	var vm *simulator.VirtualMachine
	for _, e := range m.Map().All("VirtualMachine") {
		if v := e.(*simulator.VirtualMachine); v.Name == "DC0_H0_VM0" {
			vm = v
		}
	}
	vm.Guest.HostName, vm.Guest.ToolsRunningStatus = "octo-01.example.com", string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	vm.Capability.SnapshotOperationsSupported = true
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return m, []string{"OCTOPATCH_PRECAUTION=vsphere", "OCTOPATCH_VSPHERE_URL=https://" + server.URL.Host, "OCTOPATCH_VSPHERE_USERNAME=patcher", "OCTOPATCH_VSPHERE_PASSWORD=a-password",
			"OCTOPATCH_VSPHERE_CA_FILE=" + ca, "OCTOPATCH_VSPHERE_VMS=OCTO-01=DC0_H0_VM0"}, func() []string {
			var names []string
			m.Service.Context.WithLock(vm, func() {
				if vm.Snapshot != nil {
					for _, s := range vm.Snapshot.RootSnapshotList {
						names = append(names, s.Name)
					}
				}
			})
			return names
		}
}

// asMachine has the virtual machine be the machine of OCTO-01 in a world: what vSphere does to the one happens to the
// other. It calls seen with vSphere's own list of snapshots before and after each such task.
func asMachine(t *attempt, m *simulator.Model, w *rehearsal.World, seen func(string)) {
	address, name := value(w.Environ(), "OCTOPATCH_REHEARSAL_SNAPSHOTS"), ""
	m.Map().Handler = func(_ *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
		what := ""
		switch order := method.Body.(type) {
		case *types.CreateSnapshot_Task:
			what, name = rehearsal.SnapshotTake, order.Name
		case *types.RevertToSnapshot_Task:
			what = rehearsal.SnapshotRevert
		case *types.RemoveSnapshot_Task:
			what = rehearsal.SnapshotRemove
		default:
			return nil, nil
		}
		seen(what)
		if err := rehearsal.AskSnapshots(t.Context(), address, what, "OCTO-01", name); err != nil {
			t.Errorf("%s %s: %v", what, name, err)
		}
		return nil, nil
	}
}

// TestVSphereSnapshots prints vSphere's own list of snapshots (go test -v) before and after each task of vSphere and at
// the end of each command: taken after stop, kept while the node's health is not proved, gone after the soak, and after
// recover, which goes back to it.
func TestVSphereSnapshots(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, fault string
		commands    []string
		exits       []int
		tasks       string
		left        []int // after each command
	}{
		{"soaked", "", []string{"run"}, []int{0}, "take remove", []int{0}},
		{"failed health, then recover", "service-wont-start@OCTO-01", []string{"run", "recover"}, []int{1, 0}, "take revert remove", []int{1, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Nodes: 1, Faults: c.fault, Program: program(t.T)})
				m, environ, list := vcenter(t.T)
				tasks := []string{}
				asMachine(t, m, w, func(what string) {
					tasks = append(tasks, what)
					t.Logf("vSphere is asked to %s; its snapshots until then: %q", what, list())
				})
				environ = with(w.Environ(), append(environ, "OCTOPATCH_STATE_DIR="+t.TempDir(), "OCTOPATCH_NODE=OCTO-01", "OCTOPATCH_PRECAUTION_TAKE=", "OCTOPATCH_PRECAUTION_VERIFY=", "OCTOPATCH_PRECAUTION_REVERT=", "OCTOPATCH_PRECAUTION_REMOVE=")...)
				before := w.State()
				for i, command := range c.commands {
					got := octopatch(t.Context(), environ, command)
					t.Logf("octopatch %s has ended in %d; vSphere's snapshots: %q", command, got.exit, list())
					got.wants(t, c.exits[i], "!a-password")
					if left := list(); len(left) != c.left[i] || len(left) > 0 && !strings.HasPrefix(left[0], "octopatch-") {
						t.Errorf("after %s vSphere has the snapshots %q, want %d", command, left, c.left[i])
					}
					if command == "run" {
						got.wants(t, c.exits[i], "is taken and was found again")
					}
				}
				if got := strings.Join(tasks, " "); got != c.tasks {
					t.Errorf("vSphere was asked to %s, want %s", got, c.tasks)
				}
				for _, p := range rehearsal.Compare(before, w.State()) {
					if recovered := c.commands[len(c.commands)-1] == "recover"; !p.Kept && (!recovered || !p.Asked) {
						t.Errorf("%s: broken: %s", p.Node, p.What)
					}
				}
			})
		})
	}
}
