package precaution

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// vcenter is govmomi's own simulator over HTTPS.
type vcenter struct {
	provider VSphere
	model    *simulator.Model
	url      *url.URL
}

func newVCenter(t *testing.T) *vcenter {
	t.Helper()
	m := simulator.VPX()
	m.Machine = 2
	if err := m.Create(); err != nil {
		t.Fatal(err)
	}
	m.Service.TLS = new(tls.Config)
	m.Service.Listen = &url.URL{User: url.UserPassword("patcher", "s3cret-password"), Host: "127.0.0.1:0"}
	server := m.Service.NewServer()
	t.Cleanup(func() { server.Close(); m.Remove() })
	c := &vcenter{model: m, url: server.URL}
	c.provider = VSphere{
		URL: "https://" + server.URL.Host, Username: "patcher", Password: secret.New("s3cret-password"), Quiesce: true, Datacenter: "DC0",
		CAPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
		VMs:   map[string]string{"OCTO-01": "DC0_H0_VM0", "octo-02": "/DC0/vm/DC0_H0_VM1"},
	}
	c.guest("DC0_H0_VM0", "octo-01.example.com")
	c.guest("DC0_H0_VM1", "OCTO-02")
	return c
}

func (c *vcenter) vm(name string) *simulator.VirtualMachine {
	for _, e := range c.model.Map().All("VirtualMachine") {
		if vm := e.(*simulator.VirtualMachine); vm.Name == name {
			return vm
		}
	}
	return nil
}

// guest lets VMware Tools run in the machine and tell its name.
func (c *vcenter) guest(vm, name string) {
	m := c.vm(vm)
	m.Guest.HostName, m.Guest.ToolsRunningStatus = name, string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	m.Capability.SnapshotOperationsSupported = true // the simulator leaves it out
}

func (c *vcenter) snapshots(name string) []string {
	var names []string
	for _, s := range tree(c.vm(name).Snapshot) {
		names = append(names, s.Name)
	}
	return names
}

func machine(n string) procedure.Machine {
	return procedure.Machine{Node: "OCTO-0" + n, Host: "octo-0" + n + ".example.com", Computer: "OCTO-0" + n}
}

func point(n, run string) procedure.Point {
	p := procedure.Point{Machine: machine(n), Run: run, Taken: time.Date(2026, 12, 13, 2, 0, 0, 0, time.UTC)}
	p.Name = procedure.PointName(run, p.Node)
	return p
}

func quiet(string) {}

// TestVSphere takes, finds, reverts to and removes snapshots, and prints the simulator's own list in between.
func TestVSphere(t *testing.T) {
	c, ctx := newVCenter(t), context.Background()
	for _, n := range []string{"1", "2"} {
		vm := "DC0_H0_VM" + string(n[0]-1)
		expect := func(when string, want ...string) {
			t.Helper()
			got := c.snapshots(vm)
			t.Logf("%s %s: %v", vm, when, got)
			if !slices.Equal(got, want) {
				t.Errorf("%s: snapshots %v, want %v", when, got, want)
			}
		}
		p := point(n, "run1")
		if left, err := c.provider.Check(ctx, p.Machine); err != nil || len(left) != 0 {
			t.Fatalf("check: %v, %v", left, err)
		}
		if found, err := c.provider.Find(ctx, p); found || err != nil {
			t.Errorf("found before it was taken: %t, %v", found, err)
		}
		expect("before")
		for range 2 { // the second time finds it
			if err := c.provider.Take(ctx, p, quiet); err != nil {
				t.Fatalf("take: %v", err)
			}
		}
		expect("taken", p.Name)
		if found, err := c.provider.Find(ctx, p); !found || err != nil {
			t.Errorf("not found: %v", err)
		}
		kept := point(n, "run2")
		kept.Expires = kept.Taken.Add(72 * time.Hour)
		if err := c.provider.Take(ctx, kept, quiet); err != nil {
			t.Fatal(err)
		}
		expect("taken by a later run too", p.Name, kept.Name)
		left, err := c.provider.Check(ctx, p.Machine)
		if want := []procedure.Leftover{{Name: p.Name}, {Name: kept.Name, Expires: kept.Expires}}; err != nil || !slices.Equal(left, want) {
			t.Errorf("leftovers %v, %v; want %v", left, err, want)
		}
		if s := tree(c.vm(vm).Snapshot)[0]; !s.Quiesced || s.State != types.VirtualMachinePowerStatePoweredOn && s.State != types.VirtualMachinePowerStatePoweredOff {
			t.Errorf("the snapshot is %+v", s)
		}
		c.vm(vm).Runtime.PowerState, c.vm(vm).Summary.Runtime.PowerState = types.VirtualMachinePowerStatePoweredOff, types.VirtualMachinePowerStatePoweredOff // as one without memory leaves it
		if err := c.provider.Revert(ctx, p, quiet); err != nil {
			t.Fatalf("revert: %v", err)
		}
		if got := c.vm(vm).Runtime.PowerState; got != types.VirtualMachinePowerStatePoweredOn {
			t.Errorf("after the revert the machine is %s", got)
		}
		if current := c.vm(vm).Snapshot.CurrentSnapshot; current == nil || *current != tree(c.vm(vm).Snapshot)[0].Snapshot {
			t.Error("it was reverted to another snapshot")
		}
		expect("reverted", p.Name, kept.Name)
		for range 2 { // the second time there is nothing to remove
			if err := c.provider.Remove(ctx, kept); err != nil {
				t.Fatalf("remove: %v", err)
			}
		}
		expect("the later one removed", p.Name)
		if err := c.provider.Remove(ctx, p); err != nil {
			t.Fatalf("remove: %v", err)
		}
		expect("removed")
		if err := c.provider.Revert(ctx, p, quiet); !errors.Is(err, procedure.ErrRefused) {
			t.Errorf("reverting to what is not there: %v", err)
		}
	}
}

func TestVSphereRefuses(t *testing.T) {
	c := newVCenter(t)
	for _, w := range []struct {
		name  string
		alter func(*VSphere, *procedure.Machine)
		says  string
		kind  error
	}{
		{"wrong_password", func(v *VSphere, _ *procedure.Machine) { v.Password = secret.New("wrong") }, "OCTOPATCH_VSPHERE_PASSWORD", procedure.ErrDenied},
		{"unknown_authority", func(v *VSphere, _ *procedure.Machine) { v.CAPEM = nil }, "OCTOPATCH_VSPHERE_CA_FILE", nil},
		{"other_fingerprint", func(v *VSphere, _ *procedure.Machine) { v.CAPEM, v.Fingerprint = nil, strings.Repeat("00", 32) }, "OCTOPATCH_VSPHERE_FINGERPRINT", nil},
		{"no_such_machine", func(v *VSphere, _ *procedure.Machine) { v.VMs = nil }, `0 virtual machines called "OCTO-01"`, procedure.ErrRefused},
		{"no_such_path", func(v *VSphere, _ *procedure.Machine) { v.VMs = map[string]string{"OCTO-01": "/DC0/vm/none"} }, "cannot be found", nil},
		{"no_such_datacenter", func(v *VSphere, _ *procedure.Machine) { v.Datacenter = "DC9" }, "OCTOPATCH_VSPHERE_DATACENTER", nil},
		{"another_computer", func(_ *VSphere, m *procedure.Machine) { m.Computer = "SQL01" }, "calls itself octo-01.example.com, and the node's is SQL01", procedure.ErrRefused},
		{"nobody_listens", func(v *VSphere, _ *procedure.Machine) { v.URL = "https://127.0.0.1:1" }, "cannot be used", procedure.ErrNoReply},
	} {
		t.Run(w.name, func(t *testing.T) {
			v, m := c.provider, machine("1")
			w.alter(&v, &m)
			_, err := v.Check(context.Background(), m)
			if err == nil || !strings.Contains(err.Error(), w.says) || w.kind != nil && !errors.Is(err, w.kind) {
				t.Errorf("got %v, want one of kind %v that says %q", err, w.kind, w.says)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret-password") {
				t.Error("the error shows the password")
			}
		})
	}
	for name, spoil := range map[string]func(){
		"so it cannot be quiesced": func() { c.vm("DC0_H0_VM0").Guest.ToolsRunningStatus = "guestToolsNotRunning" },
		"need consolidation":       func() { c.vm("DC0_H0_VM0").Runtime.ConsolidationNeeded = types.NewBool(true) },
		"not proved that it is":    func() { c.vm("DC0_H0_VM0").Guest.HostName = "" },
		"cannot have snapshots":    func() { c.vm("DC0_H0_VM0").Capability.SnapshotOperationsSupported = false },
	} {
		c.guest("DC0_H0_VM0", "OCTO-01")
		c.vm("DC0_H0_VM0").Runtime.ConsolidationNeeded = nil
		spoil()
		if _, err := c.provider.Check(context.Background(), machine("1")); !errors.Is(err, procedure.ErrRefused) || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want a refusal that says %q", err, name)
		}
	}
}

func TestVSphereFingerprint(t *testing.T) {
	c := newVCenter(t)
	block, _ := pem.Decode(c.provider.CAPEM)
	sum := sha256.Sum256(block.Bytes)
	c.provider.CAPEM, c.provider.Fingerprint = nil, hex.EncodeToString(sum[:])
	if _, err := c.provider.Check(context.Background(), machine("1")); err != nil {
		t.Error(err)
	}
}

// TestVSphereLostReply: the request to create the snapshot arrives and its answer is lost. The error says that
// it is not known, and the second attempt finds or awaits what the first began: there is one snapshot.
func TestVSphereLostReply(t *testing.T) {
	c, ctx := newVCenter(t), context.Background()
	var lose atomic.Bool
	lose.Store(true)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "https", Host: c.url.Host})
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("SOAPAction")+body(r), "CreateSnapshot") && lose.Swap(false) {
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	defer front.Close()
	v := c.provider
	v.URL, v.CAPEM = front.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	p := point("1", "run1")
	if err := v.Take(ctx, p, quiet); !errors.Is(err, procedure.ErrNoReply) {
		t.Fatalf("got %v, want one of kind no reply", err)
	}
	if err := v.Take(ctx, p, quiet); err != nil {
		t.Fatal(err)
	}
	if got := c.snapshots("DC0_H0_VM0"); !slices.Equal(got, []string{p.Name}) {
		t.Errorf("snapshots %v", got)
	}
}

// TestVSphereIsAsQuietAsAsked: a snapshot that an earlier process has begun, before its answer was lost, counts for no
// more than one of our own.
func TestVSphereIsAsQuietAsAsked(t *testing.T) {
	c, ctx := newVCenter(t), context.Background()
	p, loud := point("1", "run1"), c.provider
	loud.Quiesce = false
	if err := loud.Take(ctx, p, quiet); err != nil {
		t.Fatal(err)
	}
	if s := tree(c.vm("DC0_H0_VM0").Snapshot)[0]; s.Quiesced {
		t.Fatal("the simulator quiesces what nobody asks it to")
	}
	if err := c.provider.Take(ctx, p, quiet); err == nil || !strings.Contains(err.Error(), "without quiescing") {
		t.Errorf("got %v", err)
	}
	if err := loud.Take(ctx, p, quiet); err != nil {
		t.Errorf("where nobody asks for it: %v", err)
	}
}

// TestVSphereLongNames: a computer's name is cut at 15 characters, and its host name is not.
func TestVSphereLongNames(t *testing.T) {
	c := newVCenter(t)
	m := machine("1")
	c.guest("DC0_H0_VM0", "octopus-server-production.example.com")
	m.Computer = "OCTOPUS-SERVER-"
	if _, err := c.provider.Check(context.Background(), m); err != nil {
		t.Error(err)
	}
	m.Computer = "OCTOPUS-SERVERS"
	if _, err := c.provider.Check(context.Background(), m); !errors.Is(err, procedure.ErrRefused) {
		t.Errorf("another computer: %v", err)
	}
}

// TestVSphereIsAskedAsChosen: memory and quiescing are asked for as they were chosen, and neither of them otherwise.
func TestVSphereIsAskedAsChosen(t *testing.T) {
	for _, chosen := range []struct{ memory, quiesce bool }{{false, true}, {true, false}, {false, false}} {
		c := newVCenter(t)
		var asked *types.CreateSnapshot_Task
		c.model.Map().Handler = func(_ *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
			if order, is := method.Body.(*types.CreateSnapshot_Task); is {
				asked = order
			}
			return nil, nil
		}
		c.provider.Memory, c.provider.Quiesce = chosen.memory, chosen.quiesce
		if err := c.provider.Take(context.Background(), point("1", "run1"), quiet); err != nil {
			t.Fatal(err)
		}
		if asked == nil || asked.Memory != chosen.memory || asked.Quiesce != chosen.quiesce {
			t.Errorf("chosen %+v, asked for %+v", chosen, asked)
		}
	}
}

// TestVSphereDoesNotCancel: a snapshot that is not ready in time, and whose task vSphere does not cancel, may still
// come; the error says so, and whoever looks later finds it.
func TestVSphereDoesNotCancel(t *testing.T) {
	c := newVCenter(t)
	simulator.TaskDelay.MethodDelay = map[string]int{"CreateSnapshotEx": 3000, "LockHandoff": 0}
	defer func() { simulator.TaskDelay.MethodDelay = nil }()
	c.model.Map().Handler = func(_ *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
		if method.Name == "CancelTask" {
			return nil, new(types.NotSupported)
		}
		return nil, nil
	}
	p := point("1", "run1")
	limited, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := c.provider.Take(limited, p, quiet)
	if !errors.Is(err, procedure.ErrTimeout) || !strings.Contains(err.Error(), "may still come to be") {
		t.Errorf("got %v", err)
	}
	if err := c.provider.Take(context.Background(), p, quiet); err != nil { // the next one awaits it
		t.Error(err)
	}
	if got := c.snapshots("DC0_H0_VM0"); !slices.Equal(got, []string{p.Name}) {
		t.Errorf("snapshots %v", got)
	}
}
