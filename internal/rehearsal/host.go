package rehearsal

import (
	"encoding/json"
	"errors"

	"github.com/octopatch/octopatch/internal/rehearsal/fault"
	"github.com/octopatch/octopatch/internal/rehearsal/machine"
	"github.com/octopatch/octopatch/internal/rehearsal/windows"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
)

// computer is a simulated machine: one that real PowerShell runs on, or one whose scripts have twins.
type computer interface {
	wsman.Runner
	State() machine.State
	Close() error
}

// host is a simulated machine with its listener.
type host struct {
	name        string
	computer    computer
	listener    *wsman.Server
	fingerprint string
	account     *wsman.Kerberos
}

func hostFaults() []fault.Fault { return machine.Faults() }

func (w *World) newHost(o Options, name string) (*host, error) {
	certificate, err := wsman.SelfSigned("127.0.0.1", name+".example.com")
	if err != nil {
		return nil, err
	}
	h := &host{name: name, fingerprint: wsman.Fingerprint(certificate)}
	if h.computer, err = w.newComputer(o, h); err != nil {
		return nil, err
	}
	if h.account, err = wsman.NewKerberos(h.fullName(), random(16)); err != nil {
		return nil, errors.Join(err, h.computer.Close())
	}
	if !w.tls {
		certificate = nil
	}
	h.listener, err = wsman.Listen("127.0.0.1:0", wsman.Options{
		Clock: w.Clock, User: w.user, Password: w.pass, Certificate: certificate, Basic: true, NTLM: true, Kerberos: h.account, Runner: h.computer,
	})
	if err != nil {
		return nil, errors.Join(err, h.computer.Close())
	}
	return h, nil
}

func (w *World) newComputer(o Options, h *host) (computer, error) {
	configuration := func(instance string) string { return w.configuration(h.name, instance) }
	drain := func(_ string, drained bool) { w.cluster.DrainLocal(h.name, drained) }
	service := func(running, clean bool) {
		if running {
			w.cluster.ServiceStarted(h.name)
		} else {
			w.cluster.ServiceStopped(h.name, clean)
		}
	}
	down := func() { h.listener.Down() }
	up := func() error { return h.listener.Up() }
	if o.PowerShell {
		m, err := windows.New(windows.Options{
			Clock: w.Clock, Seed: o.Seed, Name: h.name, Dir: w.hostDir(h.name), Faults: w.faults, Log: w.Log, PowerShell: true,
			Configuration: configuration, Drain: drain, OnService: service, Down: down, Up: up,
		})
		return real{m}, err
	}
	return machine.New(machine.Options{
		Clock: w.Clock, Seed: o.Seed, Name: h.name, Dir: w.hostDir(h.name), Faults: w.faults, Log: w.Log,
		Configuration: configuration, Drain: drain, OnService: service, Down: down, Up: up,
	})
}

// real is the machine that real PowerShell runs on.
type real struct{ *windows.Machine }

// State is its state in the words of the other.
func (r real) State() machine.State {
	s := r.Snapshot()
	state := machine.State{Tasks: s.Tasks, Files: s.Files, UBR: s.UBR, Boots: s.Boots, Installed: s.Installed}
	for _, v := range s.Services {
		state.Services = append(state.Services, machine.ServiceState(v))
	}
	for _, t := range s.Watchdogs {
		state.Watchdogs = append(state.Watchdogs, machine.TaskState(t))
	}
	return state
}

func (h *host) close() error {
	if h.listener != nil {
		h.listener.Close()
	}
	return h.computer.Close()
}

// configuration is what show-configuration prints. The connection string is a secret that must never leave
// the host; tests search for its password on the wire.
func (w *World) configuration(name, instance string) string {
	node := name
	if instance != "OctopusServer" {
		node = name + "-" + instance
	}
	if w.faults.Has("wrong-machine", name) {
		node = "SOMEBODY-ELSE"
	}
	text, err := json.Marshal(map[string]string{
		"Octopus.Server.NodeName":                          node,
		"Octopus.WebPortal.ListenPrefixes":                 w.cluster.NodeURL(name) + "/",
		"Octopus.Storage.ExternalDatabaseConnectionString": "Data Source=SQL01;Initial Catalog=Octopus;User ID=octopus;Password=" + DatabasePassword,
		"Octopus.Folder.LogDirectory":                      `\\FILES01\octopus\logs`,
	})
	if err != nil {
		return ""
	}
	return string(text)
}

// DatabasePassword stands in the simulated connection string.
const DatabasePassword = "rehearsal-sql-password"
