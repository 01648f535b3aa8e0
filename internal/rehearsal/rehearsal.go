// Package rehearsal is the simulated world: an Octopus Server and Windows hosts that answer over real HTTP and
// real WS-Management on loopback, on a clock that runs faster. It is handed to a client as environment
// variables and nothing else, so whoever drives it does so through the same doors as production.
package rehearsal

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/rehearsal/fault"
	"github.com/octopatch/octopatch/internal/rehearsal/record"
	"github.com/octopatch/octopatch/internal/rehearsal/server"
)

// Options say which world to build.
type Options struct {
	Nodes      int     // 1 is a single server
	Speed      float64 // simulated seconds per wall second; 0 chooses
	Seed       int64
	Faults     string // "name[@node],…"
	PowerShell bool   // real PowerShell executes the scripts
	Program    string // this program, as a shell starts it; empty: the world offers no precaution
	WinRM      string // how the client is told to reach the hosts: ntlm, kerberos or basic, and -https or -http; "": ntlm-https
}

// Default speeds: with PowerShell each script takes real tenths of a second, which must stay short in
// simulated time as well.
const (
	defaultSpeed    = 250
	powerShellSpeed = 30
)

// octopusVersion is what the simulated server says of itself.
const octopusVersion = "2026.3.4711"

// World is a running simulation. Close ends it.
type World struct {
	Clock     clock.Clock
	Log       *record.Log
	cluster   *server.Cluster
	hosts     []*host
	faults    *fault.Set
	dir       string
	key       string
	user      string
	pass      string
	auth      string // ntlm, kerberos or basic
	tls       bool
	program   string // this program, for the precaution's commands
	snapshots *hypervisor
}

// ErrFaults: the faults that were asked for are not understood.
var ErrFaults = errors.New("faults not understood")

// New builds and starts a world.
func New(o Options) (*World, error) {
	if o.Speed == 0 {
		o.Speed = defaultSpeed
		if o.PowerShell {
			o.Speed = powerShellSpeed
		}
	}
	faults, err := fault.Parse(o.Faults, Faults())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFaults, err)
	}
	dir, err := os.MkdirTemp("", "rehearsal-")
	if err != nil {
		return nil, err
	}
	w := &World{
		Clock: clock.New(time.Now(), o.Speed), Log: &record.Log{}, faults: faults, dir: dir,
		key: "API-" + strings.ToUpper(random(16)), user: "octopatch", pass: random(12),
	}
	auth, over, _ := strings.Cut(o.WinRM, "-")
	w.program = o.Program
	w.auth, w.tls = cmp.Or(auth, "ntlm"), over != "http"
	if err := w.start(o); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *World) start(o Options) error {
	var names []string
	for i := range o.Nodes {
		names = append(names, fmt.Sprintf("OCTO-%02d", i+1))
	}
	var err error
	w.cluster, err = server.New(server.Options{Clock: w.Clock, Seed: o.Seed, Nodes: names, Version: octopusVersion, Key: w.key, Log: w.Log, Faults: w.faults})
	if err != nil {
		return err
	}
	if err := w.openHypervisor(); err != nil {
		return err
	}
	for _, name := range names {
		h, err := w.newHost(o, name)
		if err != nil {
			return err
		}
		w.hosts = append(w.hosts, h)
	}
	if w.auth == "kerberos" {
		return w.handOutTickets()
	}
	return nil
}

// Close ends the world and removes its files.
func (w *World) Close() error {
	var errs []error
	if w.snapshots != nil {
		errs = append(errs, w.snapshots.Close())
	}
	for _, h := range w.hosts {
		errs = append(errs, h.close())
	}
	if w.cluster != nil {
		w.cluster.Close()
	}
	errs = append(errs, os.RemoveAll(w.dir))
	return errors.Join(errs...)
}

// Environ is all that a client needs to reach this world, as NAME=value.
func (w *World) Environ() []string {
	var nodes, urls, prints []string
	for _, h := range w.hosts {
		nodes = append(nodes, h.name+"="+h.listener.Addr())
		urls = append(urls, h.name+"="+w.cluster.NodeURL(h.name))
		print := h.fingerprint
		if w.faults.Has("untrusted-certificate", h.name) {
			print = strings.Repeat("00", 32)
		}
		prints = append(prints, h.name+"="+print)
	}
	pass := w.pass
	if len(w.hosts) > 0 && w.faults.Has("wrong-password", w.hosts[0].name) {
		pass = "not-" + pass
	}
	env := w.logins(pass, prints)
	if w.program != "" {
		env = append(env, w.precautionEnviron(w.program)...)
	}
	return append(env,
		"OCTOPUS_URL="+w.cluster.URL(),
		"OCTOPUS_API_KEY="+w.key,
		"OCTOPATCH_NODES="+strings.Join(nodes, ","),
		"OCTOPATCH_NODE_URLS="+strings.Join(urls, ","),
		"OCTOPATCH_PRECAUTION=none",
		"OCTOPATCH_REHEARSAL_CLOCK="+w.Clock.String(),
	)
}

// Faults lists all that can be broken, sorted by name.
func Faults() []fault.Fault {
	all := slices.Concat(server.Faults(), hostFaults(), []fault.Fault{
		{Name: "wrong-password", Help: "The client is given a wrong password for the hosts."},
		{Name: "untrusted-certificate", Help: "The client is given another fingerprint than the host's certificate has."},
	})
	slices.SortFunc(all, func(a, b fault.Fault) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) //nolint:errcheck // crypto/rand.Read never fails since Go 1.24
	return hex.EncodeToString(b)
}

func (w *World) hostDir(name string) string { return filepath.Join(w.dir, name) }
