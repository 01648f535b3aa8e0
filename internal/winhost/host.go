// Package winhost does on a Windows host what the phases ask for: it runs the embedded scripts, one command
// each, and decodes their answers. What it may import: procedure, clock, winrm.
package winhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
)

// How long a call may take besides the waits that it was asked for: a PowerShell starts slowly on a small
// host just after boot.
const (
	readLimit   = 5 * time.Minute
	writeLimit  = 5 * time.Minute
	undrainWait = 10 * time.Minute
)

// Host is one Windows machine.
type Host struct {
	name     string // as the operator knows it
	runner   Runner
	clock    clock.Clock
	commands atomic.Int64
	held     held
	refused  atomic.Pointer[error] // the host refused the login for good, after its reboot
}

var _ procedure.Host = (*Host)(nil)

// New returns the host that the runner reaches.
func New(name string, runner Runner, clk clock.Clock) *Host {
	return &Host{name: name, runner: runner, clock: clk}
}

// Commands is the number of PowerShell starts that were asked for so far.
func (h *Host) Commands() int { return int(h.commands.Load()) }

// change is the part of a request that goes into run.json.
type change struct {
	Change procedure.Change `json:"change"`
}

// kept is the answer of every call that writes run.json.
type kept struct {
	Journal *procedure.Journal `json:"journal"`
}

func (k *kept) check() error {
	if k.Journal == nil {
		return errors.New("no journal in it")
	}
	return checkJournal(*k.Journal)
}

func checkJournal(j procedure.Journal) error {
	switch {
	case j.Format != 1:
		return fmt.Errorf("a journal of format %d, and this version knows format 1", j.Format)
	case j.Run == "":
		return errors.New("a journal without a run id")
	case j.Host != nil && (j.Host.Boot == "" || j.Host.Build == ""):
		return errors.New("a journal with half a host")
	}
	return nil
}

// Record merges the change into run.json.
func (h *Host) Record(ctx context.Context, c procedure.Change) (procedure.Journal, error) {
	k, err := call[kept](ctx, h, "record", change{c}, writeLimit, nil)
	return k.journal(), err
}

func (k kept) journal() procedure.Journal {
	if k.Journal == nil {
		return procedure.Journal{}
	}
	return *k.Journal
}

// Stop holds start types and watchdogs and stops the services.
func (h *Host) Stop(ctx context.Context, c procedure.Change, order procedure.StopOrder) (procedure.Journal, error) {
	request := struct {
		change
		Services []string        `json:"services"`
		Ran      []string        `json:"ran"`
		Limit    int64           `json:"limit"`
		Deadman  *deadmanRequest `json:"deadman"`
	}{change{c}, some(order.Services), some(order.Ran), seconds(order.Limit), deadman(order.Deadman)}
	// Dependents stop before their service and each has its own limit; few services have more than one.
	limit := writeLimit + time.Duration(2*len(order.Services))*order.Limit
	k, err := call[kept](ctx, h, "stop", request, limit, nil)
	return k.journal(), err
}

// Start puts back what the journal recorded.
func (h *Host) Start(ctx context.Context, c procedure.Change, order procedure.StartOrder) (procedure.Journal, error) {
	request := struct {
		change
		Limit int64 `json:"limit"`
	}{change{c}, seconds(order.Limit)}
	k, err := call[kept](ctx, h, "start", request, writeLimit+3*order.Limit, nil)
	return k.journal(), err
}

// KeepCopy keeps the journal of another node.
func (h *Host) KeepCopy(ctx context.Context, j procedure.Journal) error {
	return h.copyOf(ctx, j.Node, &j)
}

// DropCopy removes it.
func (h *Host) DropCopy(ctx context.Context, node string) error { return h.copyOf(ctx, node, nil) }

func (h *Host) copyOf(ctx context.Context, node string, j *procedure.Journal) error {
	request := struct {
		Node    string             `json:"node"`
		Journal *procedure.Journal `json:"journal"`
	}{node, j}
	a, err := call[done](ctx, h, "copy", request, writeLimit, nil)
	if err == nil && (a.Kept == nil || *a.Kept != (j != nil)) {
		err = h.unreadable("copy", errors.New("it does not say whether the copy is kept"))
	}
	return err
}

// done is the answer of a call that has nothing more to say.
type done struct {
	Undrained *bool `json:"undrained"`
	Cleared   *bool `json:"cleared"`
	Kept      *bool `json:"kept"`
}

func (d *done) check() error {
	if d.Undrained == nil && d.Cleared == nil && d.Kept == nil {
		return errors.New("it does not say what was done")
	}
	return nil
}

// Undrain exits drain mode through Octopus.Server.exe.
func (h *Host) Undrain(ctx context.Context, c procedure.Change, instance string) error {
	request := struct {
		change
		Instance string `json:"instance"`
	}{change{c}, instance}
	_, err := call[done](ctx, h, "undrain", request, undrainWait, nil)
	return err
}

// Clear removes our task and folder.
func (h *Host) Clear(ctx context.Context, run string) error {
	request := struct {
		Run string `json:"run"`
	}{run}
	_, err := call[done](ctx, h, "clear", request, writeLimit, nil)
	return err
}

// some makes a list that is an array in JSON, also when it is empty: PowerShell takes null for one element.
func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// seconds rounds up: a limit of half a second is not none.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// sign decodes a progress line; one that cannot be read is no progress.
func sign[T any](raw json.RawMessage) (T, bool) {
	var t T
	return t, decode(raw, &t, false) == nil
}
