package rehearsal

import "github.com/octopatch/octopatch/internal/rehearsal/windows"

// hypervName is the Hyper-V host that the nodes' virtual machines run on.
const hypervName = "HYPERV-01"

// newHyperV is a Hyper-V host whose virtual machines are called like their nodes.
func (w *World) newHyperV(o Options, h *host) (*windows.Machine, error) {
	var guests []windows.Guest
	for _, node := range w.hosts {
		guests = append(guests, windows.Guest{VM: node.name, Machine: node.computer})
	}
	return windows.New(windows.Options{Clock: w.Clock, Seed: o.Seed, Name: h.name, Dir: w.hostDir(h.name), Faults: w.faults, Log: w.Log, PowerShell: o.PowerShell, Guests: guests})
}

// hypervEnviron is what a client needs to reach it; account and password are those of the hosts.
func (w *World) hypervEnviron() []string {
	env := []string{"OCTOPATCH_HYPERV_HOST=" + w.hyperv.listener.Addr()}
	if w.tls {
		env = append(env, "OCTOPATCH_HYPERV_FINGERPRINT="+w.hyperv.fingerprint)
	}
	if w.auth == "kerberos" {
		env = append(env, "OCTOPATCH_HYPERV_SERVER_NAME="+w.hyperv.fullName())
	}
	return env
}

// VirtualMachines are the virtual machines on the Hyper-V host, by name; none where there is no such host.
func (w *World) VirtualMachines() map[string]windows.VirtualMachine {
	if w.hyperv == nil {
		return nil
	}
	return w.hyperv.computer.VirtualMachines()
}
