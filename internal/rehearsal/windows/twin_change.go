package windows

import (
	"fmt"
	"strings"
)

func twinUndrain(t *twin) error {
	if _, err := t.updateJournal(nil); err != nil {
		return err
	}
	instance, found := t.text("instance"), 0
	for _, s := range t.m.servers() {
		if strings.EqualFold(s.instanceName(), instance) {
			found++
		}
	}
	if found != 1 {
		return &stop{"service", fmt.Sprintf("%d services belong to the instance %s", found, instance), ""}
	}
	if _, exit := t.m.octopusCommand([]string{"node", "--drain=false", "--instance=" + instance}); exit != 0 {
		return &stop{"octopus", fmt.Sprintf("Octopus.Server.exe node --drain=false ended with %d", exit), ""}
	}
	return t.answer(object{"undrained": true})
}

func twinReboot(t *twin) error {
	if _, err := t.updateJournal(nil); err != nil {
		return err
	}
	if t.workerRuns() && t.workMode() == "install" {
		return &stop{"busy", "the worker is still installing", ""}
	}
	state, err := t.restart(t.text("comment"))
	if err != nil {
		return err
	}
	return t.answer(object{"state": state})
}

// restart asks for a restart in five seconds.
func (t *twin) restart(comment string) (string, error) {
	restart := []string{"/r", "/t", "5", "/d", "p:2:17", "/c", comment}
	_, code := t.m.shutdownCommand(restart)
	if code == 1190 {
		t.m.shutdownCommand([]string{"/a"})
		_, code = t.m.shutdownCommand(restart)
	}
	switch code {
	case 0:
		return "issued", nil
	case 1115, 1717:
		return "restarting", nil
	}
	return "", &stop{"reboot", fmt.Sprintf("shutdown.exe ended with %d", code), hresult(0x80070000 | uint32(code))}
}

func twinClear(t *twin) error {
	if err := t.assertUnclaimed(); err != nil {
		return err
	}
	found, err := t.trustFolder()
	if err != nil {
		return err
	}
	if found {
		if t.text("run") == "" && t.exists(journalFile) {
			return t.answer(object{"cleared": false})
		}
		j, err := t.readJournal()
		if err != nil {
			return err
		}
		if j != nil && j["run"] != t.text("run") {
			return t.refuseJournal("%s belongs to run %v", t.file(journalFile), j["run"])
		}
	}
	if err := t.stopWorker(); err != nil {
		return err
	}
	if err := t.removeTasks(); err != nil {
		return err
	}
	if err := t.removeFolder(objectOf(t.request, "lease") != nil); err != nil {
		return err
	}
	return t.answer(object{"cleared": true})
}
