package rehearsal

import (
	"encoding/json"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal/fault"
	"github.com/octopatch/octopatch/internal/rehearsal/windows"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
)

// host is a simulated machine with its listener.
type host struct {
	name        string
	computer    *windows.Machine
	listener    *wsman.Server
	fingerprint string
	account     *wsman.Kerberos
	unplugged   atomic.Bool
}

func hostFaults() []fault.Fault { return windows.Faults() }

// newHost puts a machine behind a listener.
func (w *World) newHost(o Options, name string, build func(Options, *host) (*windows.Machine, error)) (*host, error) {
	certificate, err := wsman.SelfSigned(w.loopback, name+".example.com")
	if err != nil {
		return nil, err
	}
	h := &host{name: name, fingerprint: wsman.Fingerprint(certificate)}
	if h.computer, err = build(o, h); err != nil {
		return nil, err
	}
	if h.account, err = wsman.NewKerberos(h.fullName(), random(16)); err != nil {
		return nil, errors.Join(err, h.computer.Close())
	}
	if !w.tls {
		certificate = nil
	}
	h.listener, err = wsman.Listen(net.JoinHostPort(w.loopback, "0"), wsman.Options{
		Clock: w.Clock, User: w.user, Password: w.pass, Certificate: certificate, Basic: true, NTLM: true, Kerberos: h.account, Runner: h.computer, Wire: o.overhears(name), Closed: w.isClosed,
	})
	if err != nil {
		return nil, errors.Join(err, h.computer.Close())
	}
	return h, nil
}

func (w *World) newComputer(o Options, h *host) (*windows.Machine, error) {
	var save func() func()
	if w.faults.Has("database-local", h.name) {
		save = w.cluster.SaveDatabase
	}
	return windows.New(windows.Options{
		SaveDatabase: save,
		Clock:        w.Clock, Seed: o.Seed, Name: h.name, Dir: w.hostDir(h.name), Faults: w.faults, Log: w.Log, PowerShell: o.PowerShell,
		Configuration: func(instance string) string { return w.configuration(h.name, instance) },
		Drain:         func(_ string, drained bool) { w.cluster.DrainLocal(h.name, drained) },
		OnService: func(running, clean bool) {
			if running {
				w.cluster.ServiceStarted(h.name)
			} else {
				w.cluster.ServiceStopped(h.name, clean)
			}
		},
		Down: func() { h.listener.Down() },
		Up:   func() error { return w.backOnline(h) },
	})
}

// backOnline opens a host's listener after a reboot; with a fault it refuses every login for a while, as a host does
// whose domain controller is not found yet.
func (w *World) backOnline(h *host) error {
	if h.unplugged.Load() {
		return nil
	}
	if w.faults.Take("login-late", h.name, 1) {
		h.listener.SetFaults(wsman.Faults{Unauthorized: true})
		w.Clock.AfterFunc(3*time.Minute, func() { h.listener.SetFaults(wsman.Faults{}) })
	}
	if w.faults.Has("login-never", h.name) {
		h.listener.SetFaults(wsman.Faults{Unauthorized: true})
	}
	return h.listener.Up()
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
	source, logs := "SQL01", `\\FILES01\octopus\logs`
	if w.faults.Has("database-local", name) {
		source, logs = ".", `C:\Octopus\Logs`
	}
	text, err := json.Marshal(map[string]string{
		"Octopus.Server.NodeName":                          node,
		"Octopus.WebPortal.ListenPrefixes":                 w.cluster.NodeURL(name) + "/",
		"Octopus.Storage.ExternalDatabaseConnectionString": "Data Source=" + source + ";Initial Catalog=Octopus;User ID=octopus;Password=" + DatabasePassword,
		"Octopus.Folder.LogDirectory":                      logs,
	})
	if err != nil {
		return ""
	}
	return string(text)
}

// DatabasePassword stands in the simulated connection string.
const DatabasePassword = "rehearsal-sql-password"
