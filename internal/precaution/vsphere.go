package precaution

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// VSphere takes snapshots of virtual machines through vCenter, or one ESXi host.
type VSphere struct {
	URL         string // https://vcenter.example.com; /sdk is added
	Username    string
	Password    secret.Secret
	CAPEM       []byte            // the authority of its certificate; nil: the system's
	Fingerprint string            // SHA-256 of its certificate: trusts exactly that one
	Datacenter  string            // where machines are looked for; empty: everywhere
	VMs         map[string]string // node to the machine's name or inventory path; the node's name when not said
	Memory      bool              // with the memory: a revert goes on in the middle, instead of booting
	Quiesce     bool              // Windows writes out its files first; needs VMware Tools
}

var _ procedure.Provider = VSphere{}

// Rewinds says every disk: which volume lies on an independent one cannot be told from here.
func (VSphere) Rewinds() string { return procedure.RewindsDisks }

// needed are the rights that the four operations need.
var needed = []string{"VirtualMachine.State.CreateSnapshot", "VirtualMachine.State.RevertToSnapshot", "VirtualMachine.State.RemoveSnapshot", "VirtualMachine.Interact.PowerOn"}

// Check proves that the virtual machine is the node's, can have snapshots, and that the account may take,
// revert and remove them.
func (v VSphere) Check(ctx context.Context, m procedure.Machine) (left []procedure.Leftover, err error) {
	err = v.with(ctx, m, func(ctx context.Context, c *govmomi.Client, vm *object.VirtualMachine) error {
		var o mo.VirtualMachine
		if err := vm.Properties(ctx, vm.Reference(), []string{"name", "config.template", "guest", "runtime.consolidationNeeded", "capability.snapshotOperationsSupported", "snapshot"}, &o); err != nil {
			return v.fault(m.Node, "its virtual machine cannot be read", err)
		}
		if err := v.fits(m, o); err != nil {
			return err
		}
		for _, s := range tree(o.Snapshot) {
			if strings.HasPrefix(s.Name, "octopatch-") {
				left = append(left, procedure.LeftoverOf(s.Name, s.Description))
			}
		}
		return v.permitted(ctx, c, m, vm)
	})
	return left, err
}

// netbios is where Windows cuts the name that it gives as a computer's.
const netbios = 15

// fits refuses a machine that is not the node's: reverting another one would destroy somebody's work.
func (v VSphere) fits(m procedure.Machine, o mo.VirtualMachine) error {
	var guest types.GuestInfo
	if o.Guest != nil {
		guest = *o.Guest
	}
	short, _, _ := strings.Cut(guest.HostName, ".")
	short = short[:min(len(short), netbios)]
	runs := guest.ToolsRunningStatus == string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	switch {
	case o.Config != nil && o.Config.Template:
		return procedure.Refuse("node "+m.Node, fmt.Sprintf("%q in vSphere is a template", o.Name), "correct OCTOPATCH_VSPHERE_VMS")
	case guest.HostName == "":
		return procedure.Refuse("node "+m.Node, fmt.Sprintf("vSphere does not know which computer runs in the virtual machine %q, so it is not proved that it is this node's", o.Name), "see to it that VMware Tools run in it")
	case m.Computer != "" && !strings.EqualFold(short, m.Computer):
		return procedure.Refuse("node "+m.Node, fmt.Sprintf("the computer in the virtual machine %q calls itself %s, and the node's is %s", o.Name, guest.HostName, m.Computer), "name the right one in OCTOPATCH_VSPHERE_VMS")
	case v.Quiesce && !runs:
		return procedure.Refuse("node "+m.Node, fmt.Sprintf("VMware Tools do not run in the virtual machine %q, so it cannot be quiesced", o.Name), "start them, or set OCTOPATCH_VSPHERE_QUIESCE=false")
	case o.Runtime.ConsolidationNeeded != nil && *o.Runtime.ConsolidationNeeded:
		return procedure.Refuse("node "+m.Node, fmt.Sprintf("the disks of the virtual machine %q need consolidation", o.Name), "consolidate them in vSphere first")
	case !o.Capability.SnapshotOperationsSupported:
		return procedure.Refuse("node "+m.Node, fmt.Sprintf("the virtual machine %q cannot have snapshots", o.Name), "look at its devices in vSphere, or choose another OCTOPATCH_PRECAUTION")
	}
	return nil
}

func (v VSphere) permitted(ctx context.Context, c *govmomi.Client, m procedure.Machine, vm *object.VirtualMachine) error {
	session, err := c.SessionManager.UserSession(ctx)
	if err != nil || session == nil {
		return v.fault(m.Node, "its login cannot be read", err)
	}
	if c.ServiceContent.AuthorizationManager == nil {
		return nil
	}
	answer, err := methods.HasPrivilegeOnEntities(ctx, c, &types.HasPrivilegeOnEntities{
		This: *c.ServiceContent.AuthorizationManager, Entity: []types.ManagedObjectReference{vm.Reference()}, SessionId: session.Key, PrivId: needed,
	})
	if err != nil {
		return v.fault(m.Node, "the rights of "+v.Username+" cannot be read", err)
	}
	var lacks []string
	for _, entity := range answer.Returnval {
		for _, p := range entity.PrivAvailability {
			if !p.IsGranted {
				lacks = append(lacks, p.PrivId)
			}
		}
	}
	if len(lacks) > 0 {
		return procedure.Refuse("OCTOPATCH_VSPHERE_USERNAME", fmt.Sprintf("lacks rights on the virtual machine of node %s: %s", m.Node, strings.Join(lacks, ", ")), "grant them")
	}
	return nil
}

// Take creates the snapshot. One that somebody is still creating, such as a process before us whose reply was
// lost, is awaited first.
func (v VSphere) Take(ctx context.Context, p procedure.Point, progress func(string)) error {
	return v.with(ctx, p.Machine, func(ctx context.Context, c *govmomi.Client, vm *object.VirtualMachine) error {
		if err := v.awaitSnapshots(ctx, c, vm, progress); err != nil {
			return v.fault(p.Node, "a snapshot that is being taken cannot be awaited", err)
		}
		if s, err := v.snapshot(ctx, vm, p); err != nil {
			return err
		} else if s != nil {
			return v.quiesced(p, s)
		}
		task, err := vm.CreateSnapshot(ctx, p.Name, p.Description(), v.Memory, v.Quiesce)
		if err := v.finish(ctx, task, err, progress); err != nil {
			return v.fault(p.Node, "the snapshot was not taken", err)
		}
		s, err := v.snapshot(ctx, vm, p)
		if err != nil {
			return err
		}
		return v.quiesced(p, s)
	})
}

// quiesced refuses a snapshot that is less than what was asked for, also one that an earlier process has begun.
func (v VSphere) quiesced(p procedure.Point, s *types.VirtualMachineSnapshotTree) error {
	if s == nil || !v.Quiesce || s.Quiesced {
		return nil
	}
	return &procedure.Fault{Subject: p.Node, Problem: "vSphere took the snapshot without quiescing the machine", Remedy: "look at VMware Tools in it, or set OCTOPATCH_VSPHERE_QUIESCE=false"}
}

// Find looks for the snapshot by its name.
func (v VSphere) Find(ctx context.Context, p procedure.Point) (found bool, err error) {
	err = v.with(ctx, p.Machine, func(ctx context.Context, _ *govmomi.Client, vm *object.VirtualMachine) error {
		s, err := v.snapshot(ctx, vm, p)
		found = s != nil
		return err
	})
	return found, err
}

// Revert goes back to the snapshot and powers the machine on, which one without memory leaves off.
func (v VSphere) Revert(ctx context.Context, p procedure.Point, progress func(string)) error {
	return v.with(ctx, p.Machine, func(ctx context.Context, _ *govmomi.Client, vm *object.VirtualMachine) error {
		s, err := v.snapshot(ctx, vm, p)
		if err == nil && s == nil {
			err = procedure.Refuse("node "+p.Node, "there is no snapshot "+p.Name, "look at the virtual machine's snapshots in vSphere")
		}
		if err != nil {
			return err
		}
		task, err := vm.RevertToSnapshot(ctx, s.Snapshot.Value, false)
		if err := v.finish(ctx, task, err, progress); err != nil {
			return v.fault(p.Node, "the machine was not reverted", err)
		}
		state, err := vm.PowerState(ctx)
		if err == nil && state != types.VirtualMachinePowerStatePoweredOn {
			progress("the snapshot leaves the machine off; powering it on")
			task, err = vm.PowerOn(ctx)
			err = v.finish(ctx, task, err, progress)
		}
		if err != nil {
			return v.fault(p.Node, "the machine is reverted and could not be powered on", err)
		}
		return nil
	})
}

// Remove merges the snapshot into its disks; those that somebody took after it stay.
func (v VSphere) Remove(ctx context.Context, p procedure.Point) error {
	return v.with(ctx, p.Machine, func(ctx context.Context, _ *govmomi.Client, vm *object.VirtualMachine) error {
		s, err := v.snapshot(ctx, vm, p)
		if err != nil || s == nil {
			return err
		}
		task, err := vm.RemoveSnapshot(ctx, s.Snapshot.Value, false, types.NewBool(true))
		if err := v.finish(ctx, task, err, nil); err != nil {
			return v.fault(p.Node, "the snapshot was not removed", err)
		}
		return nil
	})
}

// snapshot is the one with the point's name; nil when there is none.
func (v VSphere) snapshot(ctx context.Context, vm *object.VirtualMachine, p procedure.Point) (*types.VirtualMachineSnapshotTree, error) {
	var o mo.VirtualMachine
	if err := vm.Properties(ctx, vm.Reference(), []string{"snapshot"}, &o); err != nil {
		return nil, v.fault(p.Node, "its snapshots cannot be read", err)
	}
	all := slices.DeleteFunc(tree(o.Snapshot), func(s types.VirtualMachineSnapshotTree) bool { return s.Name != p.Name })
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return &all[0], nil
	}
	return nil, &procedure.Fault{Kind: procedure.ErrUnreadable, Subject: p.Node, Problem: fmt.Sprintf("there are %d snapshots called %s", len(all), p.Name), Remedy: "remove all but the right one in vSphere"}
}

// tree lists all snapshots, parents first.
func tree(info *types.VirtualMachineSnapshotInfo) []types.VirtualMachineSnapshotTree {
	if info == nil {
		return nil
	}
	list := slices.Clone(info.RootSnapshotList)
	for i := 0; i < len(list); i++ {
		list = append(list, list[i].ChildSnapshotList...)
	}
	return list
}
