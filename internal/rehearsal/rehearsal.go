// Package rehearsal is the simulated world: an Octopus Server and Windows hosts that answer over real HTTP and
// real WS-Management on loopback, on a clock that runs faster. It is handed to a client as environment
// variables and nothing else, so whoever drives it does so through the same doors as production.
package rehearsal

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/rehearsal/fault"
	"github.com/octopatch/octopatch/internal/rehearsal/github"
	"github.com/octopatch/octopatch/internal/rehearsal/record"
	"github.com/octopatch/octopatch/internal/rehearsal/server"
)

// Options say which world to build.
type Options struct {
	Nodes      int     // 1 is a single server
	Speed      float64 // simulated seconds per wall second; 0 chooses
	Seed       int64
	Faults     string        // "name[@node],…"
	PowerShell bool          // real PowerShell executes the scripts
	Program    string        // this program, as a shell starts it; empty: the world offers no precaution
	HyperV     bool          // the nodes are virtual machines on a Hyper-V host
	Keyless    bool          // the client logs on with GitHub's ID tokens, and has no key
	Wire       func(Message) // is told each message of the client and to it; nil: nobody looks
	WinRM      string        // how the client is told to reach the hosts: ntlm, kerberos or basic, and -https or -http; "": ntlm-https
}

// Message is one HTTP message between the client and the world, in clear.
type Message struct {
	Node   string // of a host; empty: the Octopus Server
	Action string // SOAP action, or method and path
	Sent   bool   // by the client
	Header http.Header
	Body   []byte
}

// overhears is what a listener tells of its messages to.
func (o Options) overhears(node string) func(string, bool, http.Header, []byte) {
	if o.Wire == nil {
		return nil
	}
	return func(action string, sent bool, header http.Header, body []byte) {
		o.Wire(Message{node, action, sent, header.Clone(), bytes.Clone(body)})
	}
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
	issuer    *github.Issuer // nil where there is a key
	dir       string
	loopback  string // the address that its servers listen on
	key       string
	user      string
	pass      string
	auth      string // ntlm, kerberos or basic
	tls       bool
	program   string // this program, for the precaution's commands
	snapshots *hypervisor
	closed    atomic.Bool
	turned    atomic.Int64 // requests that were cut off since
	hyperv    *host        // the Hyper-V host of all nodes; nil: they run on nothing that can be asked
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
	faults, err := fault.Parse(o.Faults, Faults(), o.machines()...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFaults, err)
	}
	dir, err := os.MkdirTemp("", "rehearsal-")
	if err != nil {
		return nil, err
	}
	w := &World{
		Clock: clock.New(time.Now(), o.Speed), Log: &record.Log{}, faults: faults, dir: dir, loopback: loopback(),
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

func (o Options) nodeNames() (names []string) {
	for i := range o.Nodes {
		names = append(names, fmt.Sprintf("OCTO-%02d", i+1))
	}
	return names
}

// machines are those that a fault may strike.
func (o Options) machines() []string {
	if o.HyperV {
		return append(o.nodeNames(), hypervName)
	}
	return o.nodeNames()
}

func (w *World) start(o Options) error {
	names := o.nodeNames()
	keyless, err := w.trust(o)
	if err != nil {
		return err
	}
	w.cluster, err = server.New(server.Options{Clock: w.Clock, Seed: o.Seed, Nodes: names, Version: octopusVersion, Address: net.JoinHostPort(w.loopback, "0"), Key: w.key, Keyless: keyless, Log: w.Log, Faults: w.faults, Wire: o.overhears(""), Closed: w.isClosed})
	if err != nil {
		return err
	}
	if err := w.openHypervisor(); err != nil {
		return err
	}
	for _, name := range names {
		h, err := w.newHost(o, name, w.newComputer)
		if err != nil {
			return err
		}
		w.hosts = append(w.hosts, h)
	}
	if o.HyperV {
		if w.hyperv, err = w.newHost(o, hypervName, w.newHyperV); err != nil {
			return err
		}
	}
	if w.auth == "kerberos" {
		return w.handOutTickets()
	}
	return nil
}

// account is the id of the service account that logs on without a key.
const account = "8e2a2a51-26b4-4f29-9fd9-1c4ae4f5d3c0"

// shortJob is how long the job is given ID tokens under the fault job-token-short.
const shortJob = 30 * time.Minute

// trust makes the issuer whose ID tokens Octopus trusts, where the client is to have no key.
func (w *World) trust(o Options) (*server.Keyless, error) {
	short := w.faults.Has("job-token-short", "")
	if !o.Keyless && !short && !w.faults.Has("token-refused", "") {
		return nil, nil
	}
	lasts := time.Duration(0)
	if short {
		lasts = shortJob
	}
	var err error
	if w.issuer, err = github.New(w.Clock, lasts); err != nil {
		return nil, err
	}
	return &server.Keyless{Account: account, Verify: w.issuer.Verify}, nil
}

// Close ends the world and removes its files.
func (w *World) Close() error {
	var errs []error
	if w.snapshots != nil {
		errs = append(errs, w.snapshots.Close())
	}
	if w.hyperv != nil {
		errs = append(errs, w.hyperv.close())
	}
	for _, h := range w.hosts {
		errs = append(errs, h.close())
	}
	if w.cluster != nil {
		w.cluster.Close()
	}
	if w.issuer != nil {
		errs = append(errs, w.issuer.Close())
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
	env := append(w.logins(pass, prints), "OCTOPUS_API_KEY="+w.key)
	if w.issuer != nil {
		env[len(env)-1] = "OCTOPATCH_SERVICE_ACCOUNT_ID=" + account
		env = append(env, w.issuer.Environ()...)
	}
	env = append(env, w.precautionEnviron()...)
	return append(env,
		"OCTOPUS_URL="+w.cluster.URL(),
		"OCTOPATCH_NODES="+strings.Join(nodes, ","),
		"OCTOPATCH_NODE_URLS="+strings.Join(urls, ","),
		"OCTOPATCH_PRECAUTION=none",
		"OCTOPATCH_REHEARSAL_CLOCK="+w.Clock.String(),
	)
}

// Refuse has the world cut off every request, whoever sends it, or answer again; it returns how many were cut off so
// far. What is on its way already is carried out.
func (w *World) Refuse(yes bool) int {
	w.closed.Store(yes)
	return int(w.turned.Load())
}

func (w *World) isClosed() bool {
	closed := w.closed.Load()
	if closed {
		w.turned.Add(1)
	}
	return closed
}

// Faults lists all that can be broken, sorted by name.
func Faults() []fault.Fault {
	all := slices.Concat(server.Faults(), hostFaults(), []fault.Fault{
		{Name: "wrong-password", Help: "The client is given a wrong password for the hosts."},
		{Name: "database-local", Help: "Octopus' database and files lie on the host's own disks."},
		{Name: "job-token-short", Help: "The client logs on without a key, and GitHub gives it no ID tokens from half an hour on."},
		{Name: "untrusted-certificate", Help: "The client is given another fingerprint than the host's certificate has."},
	})
	slices.SortFunc(all, func(a, b fault.Fault) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// loopback is an address of 127.0.0.0/8 that this world has for itself, where the system answers to all of them:
// a node or a host that is down for a while must find its port free again, and other worlds take ports too.
func loopback() string {
	var b [3]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never fails since Go 1.24
	own := net.IPv4(127, b[0]|1, b[1], 1+b[2]%250).String()
	probe, err := net.Listen("tcp", net.JoinHostPort(own, "0")) //nolint:noctx // it does not wait
	if err != nil {
		return "127.0.0.1"
	}
	_ = probe.Close()
	return own
}

func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) //nolint:errcheck // crypto/rand.Read never fails since Go 1.24
	return hex.EncodeToString(b)
}

func (w *World) hostDir(name string) string { return filepath.Join(w.dir, name) }
