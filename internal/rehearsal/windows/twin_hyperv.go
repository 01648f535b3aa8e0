package windows

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	checkpointing = []string{"CreatingSnapshot", "ApplyingSnapshot", "DeletingSnapshot"}
	working       = append([]string{"MergingDisks", "ExportingVirtualMachine", "MigratingVirtualMachine", "BackingUpVirtualMachine", "ModifyingUpVirtualMachine", "StorageMigrationPhaseOne", "StorageMigrationPhaseTwo"}, checkpointing...)
	remembered    = regexp.MustCompile(`(?m)(?:\r?\n)?^octopatch: its checkpoint type was ([A-Za-z]+)\r?$`)
)

// hyperv is what a run of hyperv.ps1 works on.
type hyperv struct {
	*twin
	id, vm string
}

func twinHyperV(t *twin) error {
	h, err := t.findVirtual()
	if err != nil {
		return err
	}
	switch action := t.text("action"); action {
	case "check":
		err = h.check()
	case "take":
		err = h.take()
	case "find":
		if err = h.await(checkpointing); err == nil {
			err = h.restoreType()
		}
	case "look":
		err = h.await(working)
	case "revert":
		err = h.revert()
	case "remove":
		err = h.remove()
	default:
		err = &stop{"script", "there is no action " + action, ""}
	}
	if err != nil {
		return err
	}
	found, err := h.checkpoint()
	if err != nil {
		return err
	}
	v := h.now()
	names := []string{}
	for _, c := range v.Checkpoints {
		names = append(names, c.Name)
	}
	return t.answer(object{"found": found != "", "disks": v.Disks, "type": typeSet(v), "checkpoints": names})
}

func (t *twin) findVirtual() (hyperv, error) {
	computer, name := t.m.computer, t.text("vm")
	switch {
	case !t.m.isHypervisor():
		return hyperv{}, &stop{"unfit", computer + " is no Hyper-V host, or lacks the feature Hyper-V-PowerShell", ""}
	case !t.m.mayManage():
		return hyperv{}, &stop{"rights", noRights, ""}
	}
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	var found []*vm
	for _, v := range t.m.vms {
		if strings.EqualFold(v.name, name) {
			found = append(found, v)
		}
	}
	if len(found) != 1 {
		return hyperv{}, &stop{"machine", fmt.Sprintf("%s runs %d virtual machines called %s; in a failover cluster it may have moved to another host", computer, len(found), name), ""}
	}
	return hyperv{t, found[0].id, found[0].name}, nil
}

// now is the virtual machine at this moment.
func (h hyperv) now() vmView {
	list, _ := h.m.virtualMachines().(map[string]any)["machines"].([]vmView)
	return list[slices.IndexFunc(list, func(v vmView) bool { return v.ID == h.id })]
}

func (h hyperv) work(kinds []string) string {
	return strings.Join(slices.DeleteFunc(h.now().Work, func(w string) bool { return !slices.Contains(kinds, w) }), ", ")
}

func (h hyperv) await(kinds []string) error {
	deadline := h.m.clock.Now().Add(600 * time.Second)
	for {
		work := h.work(kinds)
		if work == "" {
			return nil
		}
		if !h.m.clock.Now().Before(deadline) {
			return &stop{"checkpoint", fmt.Sprintf("Hyper-V is still at work on the virtual machine %s: %s", h.vm, work), ""}
		}
		if err := h.sleep(2 * time.Second); err != nil {
			return err
		}
	}
}

// checkpoint is the id of the one with our name, empty when there is none.
func (h hyperv) checkpoint() (string, error) {
	var found []string
	name := h.text("name")
	for _, c := range h.now().Checkpoints {
		if name != "" && (c.Name == name || strings.HasPrefix(c.Name, name+", expires ")) {
			found = append(found, c.ID)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", &stop{"checkpoint", fmt.Sprintf("there are %d checkpoints called %s", len(found), name), ""}
}

func (h hyperv) confirmGuest(mustTell bool) error {
	computer := h.text("computer")
	if strings.EqualFold(computer, h.m.computer) {
		return &stop{"machine", h.m.computer + " is the node itself, and not the Hyper-V host of its virtual machine", ""}
	}
	h.m.mu.Lock()
	v, err := h.m.virtual(h.id)
	guest := ""
	if err == nil {
		guest = v.fullName()
	}
	h.m.mu.Unlock()
	short, _, _ := strings.Cut(guest, ".")
	switch {
	case err != nil:
		return err
	case guest == "" && mustTell:
		return &stop{"unfit", fmt.Sprintf("Hyper-V does not know which computer runs in the virtual machine %s, which is %s; its integration service Data Exchange must tell", h.vm, h.now().State), ""}
	case guest != "" && computer != "" && !strings.EqualFold(short[:min(15, len(short))], computer):
		return &stop{"machine", fmt.Sprintf("the computer in the virtual machine %s calls itself %s, and that of the node is %s", h.vm, guest, computer), ""}
	}
	return nil
}

func (h hyperv) confirmFit() error {
	v := h.now()
	switch kind := typeSet(v); {
	case kind == "":
		return &stop{"unfit", fmt.Sprintf("Hyper-V on %s has no production checkpoints; they came with Windows Server 2016", h.m.computer), ""}
	case kind == typeDisabled:
		return &stop{"unfit", fmt.Sprintf("checkpoints of the virtual machine %s are disabled", h.vm), ""}
	case !v.Shadows:
		return &stop{"unfit", fmt.Sprintf("the integration service Backup (volume shadow copy) of the virtual machine %s does not run, without which no production checkpoint can be taken", h.vm), ""}
	}
	return nil
}

// typeSet is the type that somebody has set, also while ours is in its place.
func typeSet(v vmView) string {
	if found := remembered.FindStringSubmatch(v.Notes); found != nil {
		return found[1]
	}
	return v.Type
}

func (h hyperv) holdType() error {
	v := h.now()
	if v.Type == typeProductionOnly {
		return nil
	}
	line, notes := "octopatch: its checkpoint type was "+typeSet(v), remembered.ReplaceAllString(v.Notes, "")
	if notes != "" {
		line = notes + "\n" + line
	}
	return h.m.setVirtual(h.id, typeProductionOnly, line)
}

func (h hyperv) restoreType() error {
	v := h.now()
	if remembered.MatchString(v.Notes) {
		return h.m.setVirtual(h.id, typeSet(v), remembered.ReplaceAllString(v.Notes, ""))
	}
	return nil
}

func (h hyperv) check() error {
	if err := h.confirmGuest(true); err != nil {
		return err
	}
	if err := h.confirmFit(); err != nil {
		return err
	}
	if work := h.work(working); work != "" {
		return &stop{"unfit", fmt.Sprintf("Hyper-V is at work on the virtual machine %s: %s", h.vm, work), ""}
	}
	return nil
}

func (h hyperv) take() error {
	if err := h.await(working); err != nil {
		return err
	}
	id, err := h.checkpoint()
	var failed error
	if err == nil && id == "" {
		if err = h.confirmGuest(true); err == nil {
			err = h.confirmFit()
		}
		if err == nil {
			if failed = h.holdType(); failed == nil {
				failed = h.m.takeCheckpoint(h.ctx, h.id, h.text("name")+h.text("expires"))
			}
		}
	}
	if err == nil && h.ctx.Err() == nil {
		err = h.restoreType()
	}
	if err != nil {
		return err
	}
	return h.failed(failed)
}

// failed is what Hyper-V said, as the script says it.
func (h hyperv) failed(err error) error {
	var own *Error
	switch {
	case err == nil || h.ctx.Err() != nil:
		return err
	case errors.As(err, &own):
		return &stop{"checkpoint", own.Message, ""}
	}
	return &stop{"checkpoint", err.Error(), ""}
}

func (h hyperv) revert() error {
	if err := h.await(working); err != nil {
		return err
	}
	id, err := h.checkpoint()
	if err != nil || id == "" {
		return err
	}
	if err := h.confirmGuest(false); err != nil {
		return err
	}
	if slices.Equal(h.list("disks"), h.now().Disks) {
		err = h.m.applyCheckpoint(h.ctx, h.id, id)
	}
	if err == nil {
		err = h.restoreType()
	}
	if err == nil && h.now().State != stateRunning {
		err = h.m.startVirtual(h.id)
	}
	return h.failed(err)
}

func (h hyperv) remove() error {
	if err := h.await(checkpointing); err != nil {
		return err
	}
	if err := h.restoreType(); err != nil {
		return err
	}
	id, err := h.checkpoint()
	if err != nil || id == "" {
		return err
	}
	if err := h.await(working); err != nil {
		return err
	}
	return h.failed(h.m.removeCheckpoint(h.ctx, h.id, id))
}
