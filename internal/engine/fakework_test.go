package engine

import (
	"context"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

func (h *fakeHost) Work(_ context.Context, c procedure.Change, order procedure.WorkOrder, _ func(procedure.WorkProgress)) (procedure.WorkResult, error) {
	defer h.n.w.locked()()
	n := h.n
	if order.Mode == procedure.WorkInstall {
		n.w.tries("host install " + n.state.Name)
	}
	if err := h.ours(); err != nil {
		return procedure.WorkResult{}, err
	}
	r := procedure.WorkResult{Job: order.Job}
	if len(n.queue) > 0 {
		r.Updates = n.queue[0]
	}
	if order.Mode == procedure.WorkDownload {
		if _, err := n.w.write("host download " + n.state.Name); n.w.died { // after a fault the adapter asks again
			return procedure.WorkResult{}, err
		}
	}
	if order.Mode != procedure.WorkInstall {
		return r, nil
	}
	if n.job == order.Job && n.job != "" { // it is followed, and not begun anew
		h.merge(c)
		return n.result, nil
	}
	apply, err := n.w.write("host install " + n.state.Name)
	if !apply && n.w.died {
		return procedure.WorkResult{}, err
	}
	h.merge(c)                                                                                            // the adapter asks again after a fault, and follows the worker
	if len(n.pending) > 0 && len(r.Taken()) > 0 && n.installs[r.Taken()[0].KBs[0]] > 0 && n.loops == "" { // what waits for a reboot is not offered again
		r.Updates, r.Reboot = nil, true
	}
	for _, u := range r.Taken() {
		kb := u.KBs[0]
		o := procedure.UpdateOutcome{ID: u.ID, Title: u.Title, KBs: u.KBs, Step: "install", Result: "succeeded", Succeeded: true, Reboot: true}
		if kb == n.fails {
			o.Succeeded, o.Result, o.Code, o.Words = false, "failed", "0x80070643", "the installer failed"
		} else {
			n.pending = []string{"Windows Update"}
			if n.installs == nil {
				n.installs = map[string]int{}
			}
			n.installs[kb]++
		}
		r.Outcomes = append(r.Outcomes, o)
	}
	r.Reboot = len(n.pending) > 0
	n.job, n.result = order.Job, r
	if n.w.died {
		return procedure.WorkResult{}, err
	}
	return r, nil
}

func (h *fakeHost) Reboot(_ context.Context, c procedure.Change) error {
	defer h.n.w.locked()()
	_, err := h.change("reboot", c, func() {
		n := h.n
		if len(n.pending) == 0 {
			n.blind++
		}
		if n.rebootIgnored > 0 {
			n.rebootIgnored--
			return
		}
		n.hostDown = true
		n.runs(n.service.Start == "Auto")
		if n.neverBack {
			return
		}
		time.AfterFunc(max(4*time.Minute, n.away), func() {
			defer n.w.locked()()
			n.comesBack()
		})
	})
	return err
}

// comesBack is the host after its restart: what waited for it is installed.
func (n *fakeNode) comesBack() {
	n.hostDown, n.started = false, time.Now()
	if n.pendingSticks--; n.pendingSticks < 0 {
		n.pending = nil
	}
	n.boot++
	if len(n.queue) > 0 && n.queue[0][0].KBs[0] != n.loops && n.queue[0][0].KBs[0] != n.fails {
		n.queue = n.queue[1:]
		n.ubr++
	}
}

func (h *fakeHost) Ready(ctx context.Context, want procedure.Readiness, waiting func(string)) (procedure.Windows, error) {
	h.n.readyCalls++
	if h.n.readyDenied {
		return procedure.Windows{}, &procedure.Fault{Kind: procedure.ErrDenied, Problem: "HTTP 401"}
	}
	deadline := time.Now().Add(want.Limit)
	for time.Now().Before(deadline) {
		unlock := h.n.w.locked()
		err, w := h.up(), h.windows()
		unlock()
		if err == nil && w.Boot != want.BootBefore {
			return w, nil
		}
		waiting("the host to come back")
		select {
		case <-ctx.Done():
			return procedure.Windows{}, ctx.Err()
		case <-time.After(10 * time.Second):
		}
	}
	unlock := h.n.w.locked()
	defer unlock()
	if err := h.up(); err != nil {
		return procedure.Windows{}, err
	}
	return procedure.Windows{}, &procedure.Fault{Kind: procedure.ErrTimeout, Problem: "still the same boot"}
}
