package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// fakeHost is one process's way to the Windows machine of a fakeNode.
type fakeHost struct {
	n       *fakeNode
	nonce   string // of the lease that it has taken; every call renews it
	every   time.Duration
	renewed time.Time
}

// ours renews the lease, or says that it is somebody else's.
func (h *fakeHost) ours() error {
	if err := h.up(); err != nil || h.nonce == "" {
		return err
	}
	l := h.n.lease
	if l == nil || l.Nonce != h.nonce {
		return &procedure.Fault{Kind: procedure.ErrTaken, Problem: "another process works on this host"}
	}
	l.Every, l.Renewed, l.Released, h.renewed = int64(h.every.Seconds()), time.Now().Unix(), false, time.Now()
	return nil
}

func (h *fakeHost) Take(_ context.Context, c procedure.Claim) (procedure.Claimed, error) {
	defer h.n.w.locked()()
	if err := h.up(); err != nil {
		return procedure.Claimed{}, err
	}
	l := h.n.lease
	apply, err := true, error(nil)
	if l == nil || l.Nonce != c.Nonce { // renewing one's own is no change that anybody waits for
		apply, err = h.n.w.write("host lease " + h.n.state.Name)
	}
	if apply && (l == nil || l.Nonce == c.Nonce || !l.Live(time.Now()) && c.Expect == l.Nonce) {
		h.n.lease = &procedure.Lease{Format: 1, Run: c.Run, Owner: c.Owner, Nonce: c.Nonce, Every: int64(c.Every.Seconds()), Renewed: time.Now().Unix()}
	}
	if err != nil {
		return procedure.Claimed{}, err
	}
	got := procedure.Claimed{Lease: h.n.lease, Live: h.n.lease.Live(time.Now()), Held: h.n.lease.Nonce == c.Nonce, Journal: h.n.journal}
	if got.Held {
		h.nonce, h.every, h.renewed = c.Nonce, c.Every, time.Now()
	}
	return got, nil
}

func (h *fakeHost) LetGo() {
	defer h.n.w.locked()()
	h.nonce, h.renewed = "", time.Time{}
}

func (h *fakeHost) Release(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	defer h.n.w.locked()()
	h.n.w.tries("host release " + h.n.state.Name)
	if err := h.up(); err != nil || h.nonce == "" {
		return err
	}
	apply, err := h.n.w.write("host release " + h.n.state.Name)
	if l := h.n.lease; apply && l != nil && l.Nonce == h.nonce {
		l.Released = true
		if h.n.journal == nil && h.n.copy == nil {
			h.n.lease = nil
		}
	}
	if err == nil {
		h.nonce, h.renewed = "", time.Time{}
	}
	return err
}

func (h *fakeHost) Pace(every time.Duration) {
	defer h.n.w.locked()()
	h.every = every
}

func (h *fakeHost) Renewed() time.Time {
	defer h.n.w.locked()()
	return h.renewed
}

func (h *fakeHost) Arm(_ context.Context, c procedure.Change, d procedure.Deadman) (procedure.Journal, error) {
	defer h.n.w.locked()()
	return h.change("arm", c, func() { h.n.deadman = d })
}

func (h *fakeHost) up() error {
	if h.n.w.died {
		return errDead
	}
	if h.n.hostDown {
		return &procedure.Fault{Kind: procedure.ErrUnreachable, Problem: "no route to host"}
	}
	return nil
}

func (h *fakeHost) windows() procedure.Windows {
	return procedure.Windows{Boot: fmt.Sprint(h.n.boot), Build: "20348", UBR: h.n.ubr}
}

func (h *fakeHost) Probe(context.Context) (procedure.HostFacts, error) {
	defer h.n.w.locked()()
	n := h.n
	f := procedure.HostFacts{Computer: n.state.Name, MachineID: n.state.Name, Time: time.Now().Add(n.ahead), Windows: h.windows(), Pending: n.pending, Folder: "absent", FreeBytes: 100 << 30,
		Instances: []procedure.Instance{{Service: n.service, Name: "OctopusServer", Node: n.state.Name, Version: n.version, OnDisks: n.onDisks}}}
	if n.journal != nil {
		j := *n.journal
		f.Folder, f.Journal = "ours", &j
	}
	f.Copy = n.copy
	if n.lease != nil {
		l := *n.lease
		f.Folder, f.Lease = "ours", &l
	}
	if d := n.deadman; !d.Until.IsZero() || d.After != 0 {
		f.Deadman = &procedure.Armed{After: int64(d.After.Seconds())}
		if !d.Until.IsZero() {
			f.Deadman.Until = d.Until.Unix()
		}
	}
	return f, h.ours()
}

func (h *fakeHost) Health(context.Context, []string, []string) (procedure.HostHealth, error) {
	defer h.n.w.locked()()
	health := procedure.HostHealth{Windows: h.windows(), BootTime: h.n.started, Services: []procedure.Service{h.n.service}, Pending: h.n.pending}
	if ping, err := h.n.ping(); err == nil {
		health.Ping = ping
	} else {
		health.PingError = err.Error()
	}
	return health, h.ours()
}

// merge is what run.json becomes.
func (h *fakeHost) merge(c procedure.Change) {
	j := procedure.Journal{Format: 1, Run: c.Run, Node: c.Node, Owner: c.Owner, Topology: c.Topology}
	if h.n.journal != nil {
		j = *h.n.journal
	}
	j.Counter, j.Intent, j.Phases = c.Counter, c.Intent, maps.Clone(j.Phases)
	if j.Phases == nil {
		j.Phases = map[string]procedure.PhaseRecord{}
	}
	maps.Copy(j.Phases, c.Phases) // as the host does
	if c.Octopus != nil {
		j.Octopus = *c.Octopus
	}
	if c.Precaution != nil {
		j.Precaution = c.Precaution
	}
	h.n.journal = &j
}

// change makes one journalled change.
func (h *fakeHost) change(what string, c procedure.Change, do func()) (procedure.Journal, error) {
	h.n.w.tries("host " + what + " " + h.n.state.Name)
	if err := h.ours(); err != nil {
		return procedure.Journal{}, err
	}
	apply, err := h.n.w.write("host " + what + " " + h.n.state.Name)
	if apply {
		h.merge(c)
		do()
	}
	if err != nil {
		return procedure.Journal{}, err
	}
	return *h.n.journal, nil
}

func (h *fakeHost) Record(_ context.Context, c procedure.Change) (procedure.Journal, error) {
	defer h.n.w.locked()()
	return h.change("record", c, func() {})
}

func (h *fakeHost) KeepCopy(_ context.Context, j procedure.Journal) error {
	j = written(j)
	return h.copyOf("copy", func() { h.n.copy = &j })
}

func (h *fakeHost) DropCopy(context.Context, string) error {
	return h.copyOf("drop", func() { h.n.copy = nil })
}

func (h *fakeHost) copyOf(what string, do func()) error {
	defer h.n.w.locked()()
	h.n.w.tries("host " + what + " " + h.n.state.Name)
	if err := h.ours(); err != nil {
		return err
	}
	apply, err := h.n.w.write("host " + what + " " + h.n.state.Name)
	if apply {
		do()
	}
	return err
}

func (h *fakeHost) Clear(_ context.Context, run string) error {
	defer h.n.w.locked()()
	h.n.w.tries("host clear " + h.n.state.Name)
	if err := h.ours(); err != nil {
		return err
	}
	apply, err := h.n.w.write("host clear " + h.n.state.Name)
	if apply && (h.n.journal == nil || h.n.journal.Run == run) {
		h.n.journal, h.n.deadman, h.n.job = nil, procedure.Deadman{}, ""
	}
	return err
}

func (h *fakeHost) Stop(_ context.Context, c procedure.Change, order procedure.StopOrder) (procedure.Journal, error) {
	defer h.n.w.locked()()
	return h.change("stop", c, func() {
		h.n.deadman = order.Deadman
		if was := h.n.journal.Host; was == nil || was.Restored {
			now := procedure.HostPrior{Services: []procedure.Service{h.n.service}, Watchdogs: []procedure.Watchdog{{Name: "w", Enabled: h.n.watchdog}},
				Boot: h.windows().Boot, Build: h.windows().Build, UBR: h.n.ubr}
			if was != nil && was.Services[0].State == "Running" || slices.Contains(order.Ran, h.n.service.Name) { // and fell over since
				now.Services[0].State = "Running"
			}
			if taken := c.Precaution; was != nil && taken != nil && taken.State == procedure.PrecautionTaken {
				now.Boot, now.Build, now.UBR = was.Boot, was.Build, was.UBR
			}
			h.n.journal.Host = &now
		}
		h.n.service.Start, h.n.service.Delayed, h.n.watchdog = "Manual", false, false
		h.n.runs(false)
	})
}

func (h *fakeHost) Start(_ context.Context, c procedure.Change, _ procedure.StartOrder) (procedure.Journal, error) {
	defer h.n.w.locked()()
	j, err := h.change("start", c, func() {
		prior := h.n.journal.Host
		if prior == nil {
			return // nothing on this host was changed
		}
		h.n.service.Start, h.n.service.Delayed, h.n.watchdog = prior.Services[0].Start, prior.Services[0].Delayed, prior.Watchdogs[0].Enabled
		h.n.runs(prior.Services[0].State == "Running")
		if h.n.neverRuns {
			return // as long as it does not run nothing is restored, and the switch stays as it is
		}
		restored := *prior
		restored.Restored = true
		h.n.journal.Host, h.n.deadman = &restored, procedure.Deadman{}
	})
	if err == nil && h.n.neverRuns {
		err = &procedure.Fault{Subject: h.n.state.Name, Problem: "the service does not reach Running", Remedy: "look at its log"}
	}
	return j, err
}

func (h *fakeHost) Undrain(_ context.Context, c procedure.Change, _ string) error {
	defer h.n.w.locked()()
	_, err := h.change("undrain", c, func() { h.n.drain(false) })
	return err
}
