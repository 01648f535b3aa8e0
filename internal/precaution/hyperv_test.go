package precaution

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/rehearsal/fault"
	"github.com/octopatch/octopatch/internal/rehearsal/windows"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
	"github.com/octopatch/octopatch/internal/winhost"
)

// inProcess runs commands on a simulated machine, without the network between.
type inProcess struct{ machine *windows.Machine }

func (r inProcess) Run(ctx context.Context, line string, stdin []byte, limit time.Duration, stdout func(string)) (int, string, error) {
	var out, errs strings.Builder
	exit, err := r.machine.Run(ctx, wsman.Command{Line: line, Stdin: strings.NewReader(string(stdin)), Stdout: &out, Stderr: &errs})
	for text := range strings.Lines(out.String()) {
		stdout(text)
	}
	if err != nil {
		err = &procedure.Fault{Kind: procedure.ErrNoReply, Subject: "HYPERV-01", Problem: "the connection ended", Cause: err}
	}
	return exit, errs.String(), err
}

// site is a Hyper-V host with the virtual machine of one node.
type site struct {
	provider *HyperV
	node     *windows.Machine
	host     *windows.Machine
	dir      string // the node's disk
	said     []string
}

func newSite(t *testing.T, faults string) *site {
	t.Helper()
	set, err := fault.Parse(faults, windows.Faults())
	if err != nil {
		t.Fatal(err)
	}
	clk := clock.New(time.Now(), 2000)
	build := func(name string, guests []windows.Guest) (*windows.Machine, string) {
		dir := t.TempDir()
		m, err := windows.New(windows.Options{
			Clock: clk, Name: name, Dir: dir, Faults: set, Guests: guests, Still: true, Configuration: func(string) string { return "{}" },
			Drain: func(string, bool) {}, OnService: func(bool, bool) {}, Down: func() {}, Up: func() error { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		return m, dir
	}
	s := &site{}
	s.node, s.dir = build("OCTO-01", nil)
	s.host, _ = build("HYPERV-01", []windows.Guest{{VM: "Octopus 1", Machine: s.node}})
	remote := winhost.New("Hyper-V host HYPERV-01", inProcess{s.host}, clk)
	s.provider = &HyperV{
		Open: func(procedure.Machine) (Remote, error) { return remote, nil }, VMs: map[string]string{"octo-01": "Octopus 1"}, Limit: 30 * time.Minute,
		Say: func(node, text string) { s.said = append(s.said, node+": "+text) },
	}
	return s
}

func (s *site) vm() windows.VirtualMachine { return s.host.VirtualMachines()["Octopus 1"] }

// unchanged fails where the machine has other settings than before.
func (s *site) unchanged(t *testing.T, checkpoints ...string) {
	t.Helper()
	want := windows.VirtualMachine{State: "Running", Type: "Production", Notes: "Octopus node, ask Ann", Checkpoints: checkpoints}
	if diff := cmp.Diff(want, s.vm()); diff != "" {
		t.Errorf("the virtual machine (-want +got):\n%s", diff)
	}
}

func hypervPoint(run string) procedure.Point {
	p := point("1", run)
	p.Machine = procedure.Machine{Node: "OCTO-01", Host: "octo-01.example.com", Computer: "OCTO-01"}
	return p
}

// TestHyperV: a production checkpoint through its whole life, by what the Hyper-V host shows after each step.
func TestHyperV(t *testing.T) {
	t.Parallel()
	s, ctx := newSite(t, ""), context.Background()
	p := hypervPoint("run1")
	if left, err := s.provider.Check(ctx, p.Machine); err != nil || len(left) != 0 {
		t.Fatalf("check: %v, %v", left, err)
	}
	if want := []string{"OCTO-01: the checkpoint type of its virtual machine is Production; it is ProductionOnly while the checkpoint is taken, and then Production again"}; !slices.Equal(s.said, want) {
		t.Errorf("said %q", s.said)
	}
	journal := filepath.Join(s.dir, "ProgramData", "run.json")
	write := func(text string) {
		if err := os.WriteFile(journal, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before")
	for range 2 { // the second time it is there
		if err := s.provider.Take(ctx, p, quiet); err != nil {
			t.Fatalf("take: %v", err)
		}
	}
	s.unchanged(t, p.Name)
	kept := hypervPoint("run2")
	kept.Expires = kept.Taken.Add(72 * time.Hour)
	if err := s.provider.Take(ctx, kept, quiet); err != nil {
		t.Fatal(err)
	}
	s.unchanged(t, p.Name, kept.Name+", expires "+kept.Expires.UTC().Format(time.RFC3339))
	for _, one := range []procedure.Point{p, kept} {
		if found, err := s.provider.Find(ctx, one); !found || err != nil {
			t.Errorf("find: %v, %v", found, err)
		}
	}
	left, err := s.provider.Check(ctx, p.Machine)
	if want := []procedure.Leftover{{Name: p.Name}, {Name: kept.Name, Expires: kept.Expires}}; err != nil || !cmp.Equal(left, want) {
		t.Errorf("leftovers %v, %v; want %v", left, err, want)
	}
	write("after")
	if err := s.provider.Revert(ctx, p, quiet); err != nil {
		t.Fatalf("revert: %v", err)
	}
	if text, err := os.ReadFile(journal); string(text) != "before" {
		t.Errorf("after the revert the disk holds %q, %v", text, err)
	}
	s.unchanged(t, p.Name, kept.Name+", expires "+kept.Expires.UTC().Format(time.RFC3339))
	for range 2 { // the second time there is nothing to remove
		if err := s.provider.Remove(ctx, kept); err != nil {
			t.Fatalf("remove: %v", err)
		}
	}
	s.unchanged(t, p.Name)
	if err := s.provider.Remove(ctx, p); err != nil {
		t.Fatalf("remove: %v", err)
	}
	s.unchanged(t)
	if found, err := s.provider.Find(ctx, p); found || err != nil {
		t.Errorf("find: %v, %v", found, err)
	}
	other := hypervPoint("run3")
	if err := s.provider.Revert(ctx, other, quiet); !errors.Is(err, procedure.ErrRefused) || !strings.Contains(err.Error(), "there is no checkpoint "+other.Name) {
		t.Errorf("reverting to what is not there: %v", err)
	}
}

// TestHyperVWritesThreeWays: each write works, fails unapplied and fails applied; the phases ask for it again after
// an answer that was lost, and the world is the same each time. A revert is made once.
func TestHyperVWritesThreeWays(t *testing.T) {
	t.Parallel()
	again := func(do func() error) error {
		err := do()
		if err != nil && procedure.Transient(err) {
			err = do()
		}
		return err
	}
	for fate, name := range map[windows.Fate]string{0: "works", windows.Unapplied: "unapplied", windows.Lost: "applied, and not answered", windows.Failed: "refused"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, ctx, p := newSite(t, ""), context.Background(), hypervPoint("run1")
			for _, write := range []string{"checkpoint-take", "checkpoint-revert", "checkpoint-remove"} {
				if fate != 0 {
					s.host.Inject(write, 1, fate)
				}
			}
			if err := again(func() error { return s.provider.Take(ctx, p, quiet) }); err != nil {
				t.Errorf("take: %v", err)
			}
			s.unchanged(t, p.Name)
			boots := s.node.Snapshot().Boots
			if err := again(func() error { return s.provider.Revert(ctx, p, quiet) }); err != nil {
				t.Errorf("revert: %v", err)
			}
			for range 100 {
				if s.node.Up() {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			if got := s.node.Snapshot().Boots - boots; got != 1 {
				t.Errorf("the machine was started %d times", got)
			}
			s.unchanged(t, p.Name)
			if err := again(func() error { return s.provider.Remove(ctx, p) }); err != nil {
				t.Errorf("remove: %v", err)
			}
			s.unchanged(t)
		})
	}
}

// TestHyperVTakeThatIsCutOff: PowerShell dies while Hyper-V takes the checkpoint, which goes on. Whoever asks next
// awaits it, finds it, and puts back the type that was set.
func TestHyperVTakeThatIsCutOff(t *testing.T) {
	t.Parallel()
	s, p := newSite(t, ""), hypervPoint("run1")
	ctx, cut := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.provider.Take(ctx, p, quiet) }()
	for s.vm().Type != "ProductionOnly" {
		time.Sleep(time.Millisecond)
	}
	cut()
	if err := <-ended; err == nil {
		t.Fatal("it was not cut off")
	}
	if vm := s.vm(); vm.Type != "ProductionOnly" || !strings.HasSuffix(vm.Notes, "\noctopatch: its checkpoint type was Production") || len(vm.Checkpoints) > 0 {
		t.Fatalf("the virtual machine is %+v; it was cut off too late", vm)
	}
	if found, err := s.provider.Find(context.Background(), p); !found || err != nil {
		t.Errorf("find: %v, %v", found, err)
	}
	s.unchanged(t, p.Name)
}

// TestHyperVRefuses: what preflight refuses is refused again when it is to be taken, and nothing is changed.
func TestHyperVRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, faults string
		alter        func(*HyperV, *procedure.Machine)
		kind         error
		says         string
	}{
		{"another_machine", "", func(_ *HyperV, m *procedure.Machine) { m.Computer = "SQL01" }, procedure.ErrRefused, "calls itself octo-01.rehearsal.example, and that of the node is SQL01 (correct OCTOPATCH_HYPERV_HOST or OCTOPATCH_HYPERV_VMS)"},
		{"no_such_machine", "", func(h *HyperV, _ *procedure.Machine) { h.VMs = nil }, procedure.ErrRefused, "runs 0 virtual machines called OCTO-01; in a failover cluster it may have moved"},
		{"the_host_itself", "", func(_ *HyperV, m *procedure.Machine) { m.Computer = "HYPERV-01" }, procedure.ErrRefused, "is the node itself"},
		{"no_rights", "hyperv-denied", func(*HyperV, *procedure.Machine) {}, procedure.ErrDenied, "group Hyper-V Administrators"},
		{"constrained", "constrained-language", func(*HyperV, *procedure.Machine) {}, procedure.ErrRefused, "restricted language mode"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, ctx, p := newSite(t, c.faults), context.Background(), hypervPoint("run1")
			c.alter(s.provider, &p.Machine)
			_, checked := s.provider.Check(ctx, p.Machine)
			for what, err := range map[string]error{"check": checked, "take": s.provider.Take(ctx, p, quiet)} {
				if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.says) {
					t.Errorf("%s: %v, want one of kind %v that says %q", what, err, c.kind, c.says)
				}
			}
			s.unchanged(t)
		})
	}
	t.Run("not_at_rest", func(t *testing.T) {
		t.Parallel()
		s, p := newSite(t, "checkpoint-fails"), hypervPoint("run1")
		err := s.provider.Take(context.Background(), p, quiet)
		if err == nil || procedure.Transient(err) || errors.Is(err, procedure.ErrRefused) || !strings.Contains(err.Error(), "Production checkpoints cannot be created") {
			t.Errorf("take: %v", err)
		}
		s.unchanged(t)
	})
}

// refusing is a Hyper-V host that takes no login.
type refusing struct {
	mu    sync.Mutex
	asked int
}

func (r *refusing) Run(context.Context, string, []byte, time.Duration, func(string)) (int, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	return 0, "", &procedure.Fault{Kind: procedure.ErrDenied, Subject: "HYPERV-01", Problem: "the login was refused"}
}

// TestHyperVLoginIsProvedOnce: a wrong password is tried on one Hyper-V host, for one node, and no more.
func TestHyperVLoginIsProvedOnce(t *testing.T) {
	t.Parallel()
	wrong := &refusing{}
	h := &HyperV{Open: func(m procedure.Machine) (Remote, error) {
		return winhost.New("Hyper-V host of "+m.Node, wrong, clock.Clock{}), nil
	}}
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			if _, err := h.Check(context.Background(), procedure.Machine{Node: fmt.Sprintf("OCTO-%02d", i)}); !errors.Is(err, procedure.ErrDenied) {
				t.Errorf("check: %v", err)
			}
		})
	}
	all.Wait()
	if wrong.asked != 1 {
		t.Errorf("the password was tried %d times", wrong.asked)
	}
}
