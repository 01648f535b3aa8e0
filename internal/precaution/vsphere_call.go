package precaution

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/progress"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// with logs on, finds the node's virtual machine, and logs off again: a session of its own for each call, since
// hours may lie between two and vCenter ends idle ones.
func (v VSphere) with(ctx context.Context, m procedure.Machine, do func(context.Context, *govmomi.Client, *object.VirtualMachine) error) error {
	c, err := v.login(ctx)
	if err != nil {
		return v.fault(m.Node, "vSphere at "+v.URL+" cannot be used", err)
	}
	defer func() {
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutLimit)
		defer cancel()
		_ = c.Logout(leave) // a session that is not ended ends by itself
		c.CloseIdleConnections()
	}()
	vm, err := v.machine(ctx, c, m)
	if err != nil {
		return err
	}
	return do(ctx, c, vm)
}

const logoutLimit = 10 * time.Second

func (v VSphere) login(ctx context.Context) (*govmomi.Client, error) {
	address, err := soap.ParseURL(v.URL)
	if err != nil {
		return nil, err
	}
	address.User = nil
	wire := soap.NewClient(address, false)
	if v.CAPEM != nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(v.CAPEM)
		wire.DefaultTransport().TLSClientConfig.RootCAs = pool
	}
	if v.Fingerprint != "" {
		wire.SetThumbprint(address.Host, colons(v.Fingerprint))
	}
	c, err := vim25.NewClient(ctx, wire)
	if err != nil {
		return nil, err
	}
	client := &govmomi.Client{Client: c, SessionManager: session.NewManager(c)}
	if err := client.Login(ctx, url.UserPassword(v.Username, v.Password.Reveal())); err != nil {
		client.CloseIdleConnections()
		return nil, err
	}
	return client, nil
}

// colons writes a fingerprint as govmomi compares it: AA:BB:….
func colons(fingerprint string) string {
	digits := strings.ToUpper(strings.ReplaceAll(fingerprint, ":", ""))
	var pairs []string
	for ; len(digits) >= 2; digits = digits[2:] {
		pairs = append(pairs, digits[:2])
	}
	return strings.Join(pairs, ":")
}

// machine finds the virtual machine by inventory path, or by name wherever it lies.
func (v VSphere) machine(ctx context.Context, c *govmomi.Client, m procedure.Machine) (*object.VirtualMachine, error) {
	name := m.Node
	for node, vm := range v.VMs {
		if strings.EqualFold(node, m.Node) {
			name = vm
		}
	}
	within := c.ServiceContent.RootFolder
	finder := find.NewFinder(c.Client)
	if v.Datacenter != "" {
		dc, err := finder.Datacenter(ctx, v.Datacenter)
		if err != nil {
			return nil, v.fault(m.Node, "the data centre "+v.Datacenter+" (OCTOPATCH_VSPHERE_DATACENTER) cannot be found", err)
		}
		within = dc.Reference()
		finder.SetDatacenter(dc)
	}
	if strings.Contains(name, "/") {
		vm, err := finder.VirtualMachine(ctx, name)
		if err != nil {
			return nil, v.fault(m.Node, fmt.Sprintf("the virtual machine %q cannot be found", name), err)
		}
		return vm, nil
	}
	found, err := named(ctx, c, within, name)
	switch {
	case err != nil:
		return nil, v.fault(m.Node, "the virtual machines cannot be listed", err)
	case len(found) != 1:
		return nil, procedure.Refuse("node "+m.Node, fmt.Sprintf("vSphere knows %d virtual machines called %q", len(found), name), "name the node's in OCTOPATCH_VSPHERE_VMS, by its inventory path where several share a name")
	}
	return object.NewVirtualMachine(c.Client, found[0]), nil
}

func named(ctx context.Context, c *govmomi.Client, within types.ManagedObjectReference, name string) ([]types.ManagedObjectReference, error) {
	all, err := view.NewManager(c.Client).CreateContainerView(ctx, within, []string{"VirtualMachine"}, true)
	if err != nil {
		return nil, err
	}
	defer all.Destroy(context.WithoutCancel(ctx)) //nolint:errcheck // it goes with the session
	var vms []mo.VirtualMachine
	if err := all.Retrieve(ctx, []string{"VirtualMachine"}, []string{"name"}, &vms); err != nil {
		return nil, err
	}
	var found []types.ManagedObjectReference
	for _, vm := range vms {
		if strings.EqualFold(vm.Name, name) {
			found = append(found, vm.Self)
		}
	}
	return found, nil
}

// finish awaits a task. When the time is over it is cancelled: nobody would look at what it still does.
func (v VSphere) finish(ctx context.Context, t *object.Task, err error, say func(string)) error {
	if err != nil {
		return err
	}
	told := &sink{say: say}
	_, err = t.WaitForResult(ctx, told)
	told.told.Wait()
	if ctx.Err() != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutLimit)
		defer cancel()
		if refused := t.Cancel(last); refused != nil { // not every task can be
			err = fmt.Errorf("%w; vSphere does not cancel its task, whose work may still come to be (%w)", err, refused)
		}
	}
	return err
}

// sink tells of a task's progress, not more often than anybody wants to read.
type sink struct {
	say  func(string)
	told sync.WaitGroup
}

// Sink is what govmomi writes to; it closes the channel when the task has ended.
func (s *sink) Sink() chan<- progress.Report {
	reports := make(chan progress.Report)
	s.told.Go(func() {
		last := float32(-1)
		for r := range reports {
			if p := r.Percentage(); s.say != nil && p-last >= 25 {
				last = p
				s.say(fmt.Sprintf("vSphere: %.0f %%", p))
			}
		}
	})
	return reports
}

// awaitSnapshots waits for snapshots of the machine that are being created.
func (v VSphere) awaitSnapshots(ctx context.Context, c *govmomi.Client, vm *object.VirtualMachine, say func(string)) error {
	var o mo.VirtualMachine
	if err := vm.Properties(ctx, vm.Reference(), []string{"recentTask"}, &o); err != nil || len(o.RecentTask) == 0 {
		return err
	}
	var tasks []mo.Task
	if err := property.DefaultCollector(c.Client).Retrieve(ctx, o.RecentTask, []string{"info"}, &tasks); err != nil {
		return err
	}
	for _, t := range tasks {
		open := t.Info.State == types.TaskInfoStateRunning || t.Info.State == types.TaskInfoStateQueued
		if open && strings.Contains(strings.ToLower(t.Info.DescriptionId), "createsnapshot") {
			_ = v.finish(ctx, object.NewTask(c.Client, t.Self), nil, say) // how it ended shows in the list of snapshots
		}
	}
	return ctx.Err()
}

// fault says what vSphere's error means for us: what it answered is known, what did not answer is not.
func (v VSphere) fault(node, problem string, err error) error {
	f := &procedure.Fault{Subject: node, Problem: problem, Cause: err, Remedy: "look at the tasks and events of the virtual machine in vSphere"}
	var told task.Error
	var own *procedure.Fault
	switch {
	case errors.As(err, &own):
		return err
	case fault.Is(err, &types.InvalidLogin{}), fault.Is(err, &types.NoPermission{}):
		f.Kind, f.Remedy = procedure.ErrDenied, "correct OCTOPATCH_VSPHERE_USERNAME and OCTOPATCH_VSPHERE_PASSWORD, or grant the account its rights"
	case errors.Is(err, context.DeadlineExceeded):
		f.Kind, f.Remedy = procedure.ErrTimeout, "allow it more with OCTOPATCH_PRECAUTION_TIMEOUT, or find out what keeps vSphere"
	case soap.IsSoapFault(err), soap.IsVimFault(err), errors.As(err, &told), errors.Is(err, context.Canceled):
	default:
		var certificate x509.UnknownAuthorityError
		f.Kind = procedure.ErrNoReply
		if errors.As(err, &certificate) || soap.IsCertificateUntrusted(err) || strings.Contains(err.Error(), "thumbprint does not match") {
			f.Kind, f.Remedy = nil, "name its authority in OCTOPATCH_VSPHERE_CA_FILE, or its certificate in OCTOPATCH_VSPHERE_FINGERPRINT"
		}
	}
	return f
}
