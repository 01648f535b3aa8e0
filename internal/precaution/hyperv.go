package precaution

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// HyperV takes production checkpoints of virtual machines, on the Hyper-V hosts that they run on.
type HyperV struct {
	Open  Open                    // the Hyper-V host of a node
	VMs   map[string]string       // node to the machine's name; the node's name when not said
	Limit time.Duration           // how long taking it, and reverting to it, may take
	Say   func(node, text string) // is told before the first change what else is changed for a while; nil: nobody

	login  sync.Mutex
	proved bool  // a Hyper-V host has taken the login
	denied error // or refused it, for good

	mu    sync.Mutex
	disks map[string][]string // by checkpoint: the machine's disks before the first attempt to revert to it
}

var _ procedure.Provider = (*HyperV)(nil)

// How long a script may take besides its work. It waits up to ten minutes for Hyper-V to end what it does.
const (
	hypervLook = 15 * time.Minute
	hypervOwn  = 15 * time.Minute
)

// expires stands in a checkpoint's name behind ours: Hyper-V's cmdlets give a checkpoint no description.
const expires = ", expires "

// hypervRequest is what hyperv.ps1 is asked.
type hypervRequest struct {
	Action   string   `json:"action"`
	VM       string   `json:"vm"`
	Computer string   `json:"computer"`
	Name     string   `json:"name"`
	Expires  string   `json:"expires"`
	Disks    []string `json:"disks"`
}

// checkpointed is what it answers.
type checkpointed struct {
	Found       *bool    `json:"found"`
	Disks       []string `json:"disks"`
	Type        string   `json:"type"`
	Checkpoints []string `json:"checkpoints"`
}

// Check reports whether all that was asked for is there.
func (c *checkpointed) Check() error {
	if c.Found == nil || c.Disks == nil || c.Checkpoints == nil || c.Type == "" {
		return errors.New("it does not say how the virtual machine's checkpoints are")
	}
	return nil
}

func (h *HyperV) ask(ctx context.Context, m procedure.Machine, r hypervRequest, limit time.Duration) (checkpointed, error) {
	var a checkpointed
	host, err := h.Open(m)
	if err != nil {
		return a, err
	}
	r.VM, r.Computer = m.Node, m.Computer
	for node, vm := range h.VMs {
		if strings.EqualFold(node, m.Node) {
			r.VM = vm
		}
	}
	if r.Disks == nil {
		r.Disks = []string{} // null is one element to PowerShell
	}
	return a, h.once(func() error { return host.Script(ctx, "hyperv", r, &a, limit, nil) })
}

// once lets one call prove the login before others use it: a wrong password must not be tried for each node, which
// would lock the account.
func (h *HyperV) once(do func() error) error {
	h.login.Lock()
	if h.proved {
		h.login.Unlock()
		return do()
	}
	defer h.login.Unlock()
	if h.denied != nil {
		return h.denied
	}
	err := do()
	switch {
	case errors.Is(err, procedure.ErrDenied):
		h.denied = err
	case err == nil || !procedure.Transient(err):
		h.proved = true
	}
	return err
}

// Check proves that the virtual machine is the node's and that a production checkpoint can be taken of it.
func (h *HyperV) Check(ctx context.Context, m procedure.Machine) ([]procedure.Leftover, error) {
	a, err := h.ask(ctx, m, hypervRequest{Action: "check"}, hypervLook)
	if err != nil {
		return nil, err
	}
	if a.Type != "ProductionOnly" && h.Say != nil {
		h.Say(m.Node, fmt.Sprintf("the checkpoint type of its virtual machine is %s; it is ProductionOnly while the checkpoint is taken, and then %s again", a.Type, a.Type))
	}
	var left []procedure.Leftover
	for _, name := range a.Checkpoints {
		if strings.HasPrefix(name, "octopatch-") {
			own, _, _ := strings.Cut(name, expires)
			left = append(left, procedure.LeftoverOf(own, name))
		}
	}
	return left, nil
}

// Take takes a production checkpoint, or fails: never one with the memory instead.
func (h *HyperV) Take(ctx context.Context, p procedure.Point, _ func(string)) error {
	r := hypervRequest{Action: "take", Name: p.Name}
	if !p.Expires.IsZero() {
		r.Expires = expires + p.Expires.UTC().Format(time.RFC3339)
	}
	_, err := h.ask(ctx, p.Machine, r, h.Limit+hypervOwn)
	return err
}

// Find looks for the checkpoint by its name.
func (h *HyperV) Find(ctx context.Context, p procedure.Point) (bool, error) {
	a, err := h.ask(ctx, p.Machine, hypervRequest{Action: "find", Name: p.Name}, hypervLook)
	return err == nil && *a.Found, err
}

// Revert goes back to the checkpoint and starts the machine, which it leaves off. Asked again after a lost answer
// it only starts the machine where it was reverted already.
func (h *HyperV) Revert(ctx context.Context, p procedure.Point, progress func(string)) error {
	disks, err := h.before(ctx, p)
	if err == nil {
		progress("the machine is reverted, and started afterwards: a production checkpoint leaves it off")
		var a checkpointed
		if a, err = h.ask(ctx, p.Machine, hypervRequest{Action: "revert", Name: p.Name, Disks: disks}, h.Limit+hypervOwn); err == nil && !*a.Found {
			err = h.gone(p)
		}
	}
	return err
}

// before is what the machine's disks were before the first attempt.
func (h *HyperV) before(ctx context.Context, p procedure.Point) ([]string, error) {
	h.mu.Lock()
	disks, known := h.disks[p.Name]
	h.mu.Unlock()
	if known {
		return disks, nil
	}
	a, err := h.ask(ctx, p.Machine, hypervRequest{Action: "look", Name: p.Name}, hypervLook)
	switch {
	case err != nil:
		return nil, err
	case !*a.Found:
		return nil, h.gone(p)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.disks == nil {
		h.disks = map[string][]string{}
	}
	h.disks[p.Name] = a.Disks
	return a.Disks, nil
}

func (h *HyperV) gone(p procedure.Point) error {
	return procedure.Refuse("node "+p.Node, "there is no checkpoint "+p.Name, "look at the virtual machine's checkpoints in Hyper-V")
}

// Remove removes the checkpoint, also where somebody took others after it; Hyper-V merges its disks in the
// background.
func (h *HyperV) Remove(ctx context.Context, p procedure.Point) error {
	_, err := h.ask(ctx, p.Machine, hypervRequest{Action: "remove", Name: p.Name}, hypervLook)
	return err
}

// Rewinds says every disk: which one is left out of checkpoints cannot be told from here.
func (*HyperV) Rewinds() string { return procedure.RewindsDisks }
