package winhost_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
	"github.com/octopatch/octopatch/internal/winhost"
	"github.com/octopatch/octopatch/internal/winrm"
)

// small is the largest update that the test downloads.
const small = 300 << 20

// realHost is the host that OCTOPATCH_TEST_HOST (host:port, HTTPS) names, with the node OCTOPATCH_TEST_NODE and its
// service OCTOPATCH_TEST_SERVICE; account and fingerprint come from OCTOPATCH_WINRM_USERNAME, _PASSWORD and
// _FINGERPRINT. The service is stopped and started again, the dead-man switch armed and taken back, and an update
// of at most 300 MB is downloaded; nothing is installed and nothing restarts.
type realHost struct {
	*winhost.Host
	*testing.T
	client  *winrm.Client
	node    string
	service string
	clock   clock.Clock
	counter int64
}

func openRealHost(t *testing.T) *realHost {
	address := os.Getenv("OCTOPATCH_TEST_HOST")
	if address == "" {
		t.Skip("OCTOPATCH_TEST_HOST names no host")
	}
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	clk := clock.New(time.Now(), 1)
	if text := os.Getenv("OCTOPATCH_REHEARSAL_CLOCK"); text != "" {
		if clk, err = clock.Parse(text); err != nil {
			t.Fatal(err)
		}
	}
	client, err := winrm.New(winrm.Options{
		Host: name, Port: number, TLS: true, Auth: "ntlm", Username: os.Getenv("OCTOPATCH_WINRM_USERNAME"), Password: secret.New(os.Getenv("OCTOPATCH_WINRM_PASSWORD")),
		Fingerprint: os.Getenv("OCTOPATCH_WINRM_FINGERPRINT"), Clock: clk,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &realHost{Host: winhost.New(name, winhost.OverWinRM(client), clk), T: t, client: client, node: os.Getenv("OCTOPATCH_TEST_NODE"), service: os.Getenv("OCTOPATCH_TEST_SERVICE"), clock: clk}
}

// change is the next change of the journal.
func (h *realHost) change(what string) procedure.Change {
	h.counter++
	return procedure.Change{Run: "real-host-test", Counter: h.counter, Node: h.node, Owner: "test", Topology: procedure.Single, At: h.clock.Now().Unix(),
		Intent: &procedure.Intent{Phase: procedure.Stop, What: what, At: h.clock.Now().Unix()}}
}

// TestRealHost does on a host what a run does, short of installing and of restarting.
func TestRealHost(t *testing.T) {
	h := openRealHost(t)
	ctx := t.Context()
	before := h.probe(ctx)
	if before.Folder != "absent" {
		t.Fatalf("the folder of a run %s: this is no host for a test", before.Folder)
	}
	prior := h.state(ctx)
	update := h.scan(ctx)
	h.cleaned(ctx)
	claimed, err := h.Take(ctx, procedure.Claim{Run: "real-host-test", Owner: "test", Nonce: "0123456789abcdef", Every: 5 * time.Minute})
	if err != nil || !claimed.Held {
		t.Fatalf("the lease: %+v, %v", claimed, err)
	}
	// Whatever fails below, the host is left as it was.
	defer h.leave(prior)
	h.stop(ctx, prior)
	h.rights(ctx)
	h.download(ctx, update)
	h.start(ctx, prior)
}

func (h *realHost) probe(ctx context.Context) procedure.HostFacts {
	h.Helper()
	f, err := h.Probe(ctx)
	if err != nil {
		h.Fatal(err)
	}
	h.Logf("%s, %s build %s.%d, PowerShell %s, %d MB free, pending %q, soft %q, busy %q, folder %s", f.Computer, f.Windows.Caption, f.Windows.Build, f.Windows.UBR, f.PowerShell, f.FreeBytes>>20, f.Pending, f.Soft, f.Busy, f.Folder)
	if f.MachineID == "" || f.Windows.UBR == 0 || f.FreeBytes < 1<<30 {
		h.Errorf("the probe leaves something out: %+v", f)
	}
	if skew := f.Time.Sub(h.clock.Now()).Abs(); skew > 5*time.Minute {
		h.Errorf("the clocks differ by %s", skew)
	}
	if !slices.ContainsFunc(f.Instances, func(i procedure.Instance) bool { return i.Service.Name == h.service && i.Node == h.node }) {
		h.Errorf("no instance is node %s with service %q: %+v", h.node, h.service, f.Instances)
	}
	return f
}

// state is the service as Windows shows it.
func (h *realHost) state(ctx context.Context) procedure.Service {
	h.Helper()
	health, err := h.Health(ctx, []string{h.service}, nil)
	if err != nil {
		h.Fatal(err)
	}
	at := slices.IndexFunc(health.Services, func(s procedure.Service) bool { return s.Name == h.service })
	if at < 0 {
		h.Fatalf("no service %q in %+v", h.service, health.Services)
	}
	return health.Services[at]
}

func (h *realHost) stop(ctx context.Context, prior procedure.Service) {
	h.Helper()
	j, err := h.Stop(ctx, h.change("stop"), procedure.StopOrder{Services: []string{h.service}, Limit: 2 * time.Minute, Deadman: procedure.Deadman{After: 45 * time.Minute}})
	if err != nil {
		h.Fatal(err)
	}
	if j.Host == nil || len(j.Host.Services) == 0 || j.Host.Services[0].Start != prior.Start || j.Host.Services[0].Delayed != prior.Delayed {
		h.Errorf("the journal keeps %+v of a service that was %+v", j.Host, prior)
	}
	if s := h.state(ctx); s.State != "Stopped" || s.Start == "Auto" {
		h.Errorf("after stop the service is %+v", s)
	}
	f := h.probe(ctx)
	if f.Folder != "ours" || f.Journal == nil {
		h.Errorf("folder %s, journal %+v", f.Folder, f.Journal)
	}
	if f.Deadman == nil || f.Deadman.After != 45*60 {
		h.Errorf("the dead-man switch is %+v", f.Deadman)
	}
	h.wants(ctx, `schtasks.exe /query /tn \octopatch\deadman`, 0, "deadman")
}

// rights: nobody but SYSTEM and Administrators gets at the folder; asked with Windows' own program.
func (h *realHost) rights(ctx context.Context) {
	h.Helper()
	text := h.wants(ctx, `icacls.exe %ProgramData%\octopatch`, 0, "octopatch")
	for _, who := range []string{`Everyone`, `\Users`, `Authenticated Users`} {
		if strings.Contains(text, who) {
			h.Errorf("%s may get at the folder:\n%s", who, text)
		}
	}
}

// wants runs a program of Windows and returns what it says.
func (h *realHost) wants(ctx context.Context, line string, exit int, says string) string {
	h.Helper()
	var out bytes.Buffer
	got, err := h.client.Run(ctx, winrm.Command{Line: line, Stdout: func(l string) { out.WriteString(l + "\n") }, Limit: time.Minute})
	if err != nil || got.Code != exit || !strings.Contains(out.String(), says) {
		h.Errorf("%s ended with %d, %v, and said %q; want %d and %q", line, got.Code, err, out.String()+got.Stderr, exit, says)
	}
	return out.String()
}

// work hands an order to the worker, which runs as SYSTEM.
func (h *realHost) work(ctx context.Context, c procedure.Change, mode string, filter procedure.UpdateFilter) procedure.WorkResult {
	h.Helper()
	began, lines := h.clock.Now(), 0
	order := procedure.WorkOrder{Job: "real-host-test-" + mode, Mode: mode, Filter: filter, Keep: true, Stall: 30 * time.Minute}
	r, err := h.Work(ctx, c, order, func(procedure.WorkProgress) { lines++ })
	if err != nil {
		h.Fatal(err)
	}
	h.Logf("%s: %d updates, %d outcomes, %d lines of progress in %s", mode, len(r.Updates), len(r.Outcomes), lines, h.clock.Since(began).Round(time.Second))
	if r.Code != "" || r.Problem != "" || lines == 0 {
		h.Fatalf("%s: %s %s (%s), %d lines of progress", mode, r.Code, r.Problem, r.Next, lines)
	}
	return r
}

// scan looks for a small update, outside of a run; none is no fault of ours.
func (h *realHost) scan(ctx context.Context) *procedure.Update {
	h.Helper()
	all := procedure.UpdateFilter{Source: "default", Classifications: []string{
		"0fa1201d-4330-4fa8-8ae9-b877473b6441", "e6cf1350-c01b-414d-a61f-263d14d133b4", "28bc880e-0592-4cbf-8f95-c79b17911d5f",
		"cd5ffd1e-e932-4e3a-bf74-18bf0b1bbd83", "e0789628-ce08-4437-be74-2495b842f43b",
	}}
	var found *procedure.Update
	for _, u := range h.work(ctx, procedure.Change{}, procedure.WorkScan, all).Updates {
		h.Logf("on offer: KB%s, %d MB, %s; %s", strings.Join(u.KBs, ","), u.Bytes>>20, u.Title, u.Skip)
		if u.Skip == "" && len(u.KBs) > 0 && u.Bytes < small && (found == nil || u.Bytes < found.Bytes) {
			found = &u
		}
	}
	return found
}

// cleaned: what a scan leaves whose runner died is there, and the next look removes it.
func (h *realHost) cleaned(ctx context.Context) {
	h.Helper()
	if f := h.probe(ctx); f.Folder != "ours" || f.Journal != nil {
		h.Errorf("after a scan whose files were kept: folder %s, journal %+v", f.Folder, f.Journal)
	}
	h.wants(ctx, `schtasks.exe /query /tn \octopatch\worker`, 0, "worker")
	if err := h.Clear(ctx, ""); err != nil {
		h.Fatal(err)
	}
	if f := h.probe(ctx); f.Folder != "absent" {
		h.Errorf("dead files are left: folder %s", f.Folder)
	}
	h.wants(ctx, `schtasks.exe /query /tn \octopatch\worker`, 1, "")
}

func (h *realHost) download(ctx context.Context, u *procedure.Update) {
	h.Helper()
	if u == nil {
		h.Log("no small update is on offer: nothing was downloaded")
		return
	}
	r := h.work(ctx, h.change("download"), procedure.WorkDownload, procedure.UpdateFilter{Source: "default", Include: u.KBs})
	at := slices.IndexFunc(r.Outcomes, func(o procedure.UpdateOutcome) bool { return o.ID == u.ID })
	if at < 0 || !r.Outcomes[at].Succeeded || r.Outcomes[at].Step != "download" {
		h.Errorf("the download of %s: %+v", u.Title, r.Outcomes)
	}
}

func (h *realHost) start(ctx context.Context, prior procedure.Service) {
	h.Helper()
	if _, err := h.Start(ctx, h.change("start"), procedure.StartOrder{Limit: 2 * time.Minute}); err != nil {
		h.Fatal(err)
	}
	h.as(ctx, prior)
	if _, err := h.Arm(ctx, h.change("disarm"), procedure.Deadman{Off: true}); err != nil {
		h.Fatal(err)
	}
	if f := h.probe(ctx); f.Deadman != nil {
		h.Errorf("the dead-man switch is still %+v", f.Deadman)
	}
}

// as: the service is as it was.
func (h *realHost) as(ctx context.Context, prior procedure.Service) {
	h.Helper()
	if s := h.state(ctx); s.State != prior.State || s.Start != prior.Start || s.Delayed != prior.Delayed {
		h.Errorf("the service is %+v, and was %+v", s, prior)
	}
}

// leave puts everything back, whatever went before, and sees that no file and no task is left.
func (h *realHost) leave(prior procedure.Service) {
	ctx, cancel := h.clock.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	if _, err := h.Start(ctx, h.change("start"), procedure.StartOrder{Limit: 2 * time.Minute}); err != nil {
		h.Error(err)
	}
	if err := h.Clear(ctx, "real-host-test"); err != nil {
		h.Error(err)
	}
	if err := h.Release(ctx); err != nil {
		h.Error(err)
	}
	h.as(ctx, prior)
	if f := h.probe(ctx); f.Folder != "absent" || f.Deadman != nil || f.Lease != nil {
		h.Errorf("left behind: folder %s, dead-man %+v, lease %+v", f.Folder, f.Deadman, f.Lease)
	}
	h.wants(ctx, `schtasks.exe /query /tn \octopatch\worker`, 1, "")
	h.wants(ctx, `schtasks.exe /query /tn \octopatch\deadman`, 1, "")
}
