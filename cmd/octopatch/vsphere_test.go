package main

import (
	"crypto/tls"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// vcenter is govmomi's own simulator over HTTPS, with a virtual machine for node OCTO-01.
func vcenter(t *testing.T) (environ []string, list func() []string) {
	t.Helper()
	m := simulator.VPX()
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
	return []string{"OCTOPATCH_PRECAUTION=vsphere", "OCTOPATCH_VSPHERE_URL=https://" + server.URL.Host, "OCTOPATCH_VSPHERE_USERNAME=patcher", "OCTOPATCH_VSPHERE_PASSWORD=a-password",
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

// TestVSphereSnapshots prints vSphere's own list of snapshots as the phases pass: taken after stop, there while the
// node is patched and soaked, removed at the end; kept when the node's health is not proved.
func TestVSphereSnapshots(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, fault string
		exit        int
		left        int
	}{{"soaked", "", 0, 0}, {"failed health", "service-wont-start@OCTO-01", 1, 1}} {
		t.Run(c.name, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Nodes: 1, Faults: c.fault})
				environ, list := vcenter(t.T)
				var got ending
				seen := inTurn(list, func() { got = octopatch(t.Context(), with(w.Environ(), environ...), "run") })
				got.wants(t, c.exit)
				t.Logf("snapshots in turn: %s", strings.Join(seen, " then "))
				if len(seen) != 3-c.left || seen[0] != "[]" || !strings.HasPrefix(seen[1], "[octopatch-") || len(list()) != c.left {
					t.Errorf("snapshots in turn: %q", seen)
				}
				if out := got.out; !slices.ContainsFunc(strings.Split(out, "\n"), func(l string) bool { return strings.Contains(l, "is taken and was found again") }) || strings.Contains(out, "a-password") {
					t.Error("the log does not say that it was taken, or shows the password")
				}
			})
		})
	}
}
