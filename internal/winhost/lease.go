package winhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// held is the lease of this host as this process holds it. Every request carries it once it is taken.
type held struct {
	mu      sync.Mutex
	nonce   string // empty: not taken
	asked   string // the nonce that the lease was last asked with: the answer may have been lost
	every   time.Duration
	renewed time.Time
	calls   int // on their way
}

// begin adds the lease to a request; the function that it returns notes that the call has ended.
func (l *held) begin(clk clock.Clock, request *[]byte, script string) (end func(renewed bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nonce == "" || script == "lease" {
		return func(bool) {}
	}
	lease, _ := json.Marshal(struct { //nolint:errchkjson // a string and a number
		Nonce string `json:"nonce"`
		Every int64  `json:"every"`
	}{l.nonce, seconds(l.every)})
	text := (*request)[:len(*request)-1]
	if len(text) > 1 {
		text = append(text, ',')
	}
	*request = append(append(append(text, `"lease":`...), lease...), '}')
	l.calls++
	return func(renewed bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls--
		if renewed {
			l.renewed = clk.Now()
		}
	}
}

func (l *held) ask(nonce string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = nonce
}

// busy keeps everybody else from renewing the lease meanwhile: a host that is not quite back must not be sent more
// logins than Ready counts.
func (l *held) busy() (end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls--
	}
}

func (l *held) took(nonce string, every time.Duration, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nonce, l.every, l.renewed = nonce, every, at
}

// Pace sets how often the lease is renewed from the next call on.
func (h *Host) Pace(every time.Duration) {
	h.held.mu.Lock()
	defer h.held.mu.Unlock()
	h.held.every = every
}

// Renewed is when a call last renewed the lease; now, while one is on its way, for long ones renew it themselves.
func (h *Host) Renewed() time.Time {
	h.held.mu.Lock()
	defer h.held.mu.Unlock()
	if h.held.calls > 0 {
		return h.clock.Now()
	}
	return h.held.renewed
}

// leaseRequest takes the lease or lets it go.
type leaseRequest struct {
	Action  string `json:"action"`
	Run     string `json:"run"`
	Owner   string `json:"owner"`
	Attempt string `json:"attempt"`
	Nonce   string `json:"nonce"`
	Every   int64  `json:"every"`
	Expect  string `json:"expect"`
}

// claimed is the answer of lease.
type claimed struct {
	Held    bool               `json:"held"`
	Lease   *procedure.Lease   `json:"lease"`
	Live    bool               `json:"live"`
	Journal *procedure.Journal `json:"journal"`
}

func (c *claimed) check() error {
	if c.Held && c.Lease == nil {
		return errors.New("the lease is held, and it does not say which")
	}
	if c.Journal != nil {
		if err := checkJournal(*c.Journal); err != nil {
			return err
		}
	}
	return checkLease(c.Lease)
}

func checkLease(l *procedure.Lease) error {
	switch {
	case l == nil:
		return nil
	case l.Format != 1:
		return fmt.Errorf("a lease of format %d, and this version knows format 1", l.Format)
	case l.Run == "" || l.Nonce == "" || l.Every <= 0 || l.Renewed <= 0:
		return errors.New("half a lease")
	}
	return nil
}

// Take asks for the host's lease.
func (h *Host) Take(ctx context.Context, c procedure.Claim) (procedure.Claimed, error) {
	h.held.ask(c.Nonce)
	a, err := call[claimed](ctx, h, "lease", leaseRequest{"take", c.Run, c.Owner, c.Attempt, c.Nonce, seconds(c.Every), c.Expect}, writeLimit, nil)
	if err == nil && !a.Held || err != nil && !procedure.Transient(err) {
		h.held.ask("") // it is known that there is nothing to let go of
	}
	if err != nil {
		return procedure.Claimed{}, err
	}
	if a.Held && a.Lease.Nonce != c.Nonce {
		return procedure.Claimed{}, h.unreadable("lease", errors.New("it is held with another nonce than ours"))
	}
	if a.Held {
		h.held.took(c.Nonce, c.Every, h.clock.Now())
	}
	return procedure.Claimed{Held: a.Held, Lease: a.Lease, Live: a.Live, Journal: a.Journal}, nil
}

// LetGo makes the calls from now on go without the lease, which stays as it is on the host.
func (h *Host) LetGo() { h.held.took("", 0, time.Time{}) }

// Release lets the lease go, also one that was asked for and whose answer was lost. It ends as ErrTaken where the
// lease is somebody else's by now.
func (h *Host) Release(ctx context.Context) error {
	h.held.mu.Lock()
	nonce, held := h.held.nonce, h.held.nonce != ""
	if !held {
		nonce = h.held.asked
	}
	h.held.mu.Unlock()
	if nonce == "" {
		return nil
	}
	a, err := call[claimed](ctx, h, "lease", leaseRequest{Action: "release", Nonce: nonce}, writeLimit, nil)
	if err != nil {
		return err
	}
	h.held.took("", 0, time.Time{})
	h.held.ask("")
	if held && a.Lease != nil && a.Lease.Nonce != nonce {
		return &procedure.Fault{Kind: procedure.ErrTaken, Subject: h.name, Problem: fmt.Sprintf("run %s of %s holds its lease now", a.Lease.Run, a.Lease.Owner), Remedy: "octopatch status shows who works on it"}
	}
	return nil
}

// deadmanRequest arms or disarms the dead-man switch.
type deadmanRequest struct {
	Off    bool   `json:"off"`
	Script string `json:"script"`
	After  int64  `json:"after"`
	Until  int64  `json:"until"`
}

// deadman is nil where the switch stays as it is.
func deadman(d procedure.Deadman) *deadmanRequest {
	switch {
	case d.Off:
		return &deadmanRequest{Off: true}
	case d.After == 0 && d.Until.IsZero():
		return nil
	}
	r := &deadmanRequest{Script: scripts.Text("deadman"), After: seconds(d.After)}
	if !d.Until.IsZero() {
		r.Until = d.Until.Unix()
	}
	return r
}

// Arm sets the dead-man switch and merges the change into run.json.
func (h *Host) Arm(ctx context.Context, c procedure.Change, d procedure.Deadman) (procedure.Journal, error) {
	request := struct {
		change
		Deadman *deadmanRequest `json:"deadman"`
	}{change{c}, deadman(d)}
	k, err := call[kept](ctx, h, "record", request, writeLimit, nil)
	return k.journal(), err
}
