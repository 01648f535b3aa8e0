package windows

import (
	"html"
	"strings"
)

// virtualCall addresses a virtual machine and one of its checkpoints.
type virtualCall struct{ VM, Checkpoint, Name, Type, Notes string }

// vmView is a virtual machine as Hyper-V's objects show it.
type vmView struct {
	ID          string           `json:"id"`
	Name        string           `json:"name"`
	State       string           `json:"state"`
	Type        string           `json:"type"`
	Notes       string           `json:"notes"`
	Work        []string         `json:"work"`
	Disks       []string         `json:"disks"`
	Checkpoints []checkpointView `json:"checkpoints"`
	Shadows     bool             `json:"shadows"`
}

type checkpointView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// virtualMachines are all machines of this Hyper-V host.
func (m *Machine) virtualMachines() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []vmView{}
	for _, v := range m.vms {
		one := vmView{ID: v.id, Name: v.name, State: v.state(), Type: v.kind, Notes: v.notes, Work: []string{"Ok"}, Disks: v.disks(), Checkpoints: []checkpointView{}, Shadows: v.shadows}
		if len(v.work) > 0 {
			one.Work = append([]string{"InService"}, v.work...)
		}
		for _, c := range v.checkpoints {
			one.Checkpoints = append(one.Checkpoints, checkpointView{c.id, c.name})
		}
		list = append(list, one)
	}
	return map[string]any{"denied": !m.mayManage(), "machines": list}
}

// exchanges are the objects of Msvm_KvpExchangeComponent. The caller holds the lock.
func (m *Machine) exchanges() []any {
	list := []any{}
	for _, v := range m.vms {
		items := []string{}
		if name := v.fullName(); name != "" {
			items = []string{exchangeItem("OSName", caption), exchangeItem("FullyQualifiedDomainName", name)}
		}
		list = append(list, map[string]any{"SystemName": strings.ToUpper(v.id), "GuestIntrinsicExchangeItems": items})
	}
	return list
}

// exchangeItem is an embedded Msvm_KvpExchangeDataItem.
func exchangeItem(name, data string) string {
	property := func(name, value string) string {
		if value != "" {
			value = "<VALUE>" + html.EscapeString(value) + "</VALUE>"
		}
		return `<PROPERTY NAME="` + name + `" PROPAGATED="true" TYPE="string">` + value + `</PROPERTY>`
	}
	return `<INSTANCE CLASSNAME="Msvm_KvpExchangeDataItem">` + property("Caption", "") + property("Data", data) + property("Name", name) + `<PROPERTY NAME="Source" TYPE="uint16"><VALUE>2</VALUE></PROPERTY></INSTANCE>`
}
