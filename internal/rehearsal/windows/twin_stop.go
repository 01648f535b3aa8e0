package windows

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func twinStop(t *twin) error {
	if err := t.assertUnclaimed(); err != nil {
		return err
	}
	if err := t.openFolder(); err != nil {
		return err
	}
	j, err := t.readJournal()
	if err != nil {
		return err
	}
	if err := t.testChange(j); err != nil {
		return err
	}
	prior, err := t.hostPrior(j)
	if err != nil {
		return err
	}
	if j, err = t.updateJournal(prior); err != nil {
		return err
	}
	if err := t.setDeadman(); err != nil {
		return err
	}
	if err := t.hold(prior); err != nil {
		return err
	}
	for _, name := range t.list("services") {
		for _, one := range append(t.m.runningDependents(name), name) {
			if err := t.stopOne(one); err != nil {
				return err
			}
		}
	}
	if err := t.sleep(time.Second); err != nil {
		return err
	}
	for _, name := range t.list("services") {
		s, err := t.m.look(name)
		switch {
		case err != nil:
			return err
		case s.state != stateStopped:
			return &stop{"service", fmt.Sprintf("service %s is %s again: something starts it", name, s.state), ""}
		case s.start == startAuto:
			return &stop{"service", fmt.Sprintf("service %s still starts at boot", name), ""}
		}
	}
	return t.answer(object{"journal": j})
}

// hostPrior is the host before anything is changed; what the journal recorded before stands. Once all was put back, only
// that a service ran does, and what Windows was when the precaution was taken.
func (t *twin) hostPrior(j object) (object, error) {
	facts := t.m.windowsFacts()
	prior := object{"boot": facts["boot"], "build": facts["build"], "ubr": facts["ubr"], "restored": false}
	recorded := objectOf(j, "host")
	switch {
	case recorded == nil:
	case !flagOf(recorded, "restored"):
		prior = recorded
	case textOf(objectOf(t.change(), "precaution"), "state") == "taken":
		prior["boot"], prior["build"], prior["ubr"] = recorded["boot"], recorded["build"], recorded["ubr"]
	}
	before := objects(recorded["services"])
	services, watchdogs := objects(prior["services"]), objects(prior["watchdogs"])
	for _, name := range t.list("services") {
		if _, err := t.m.look(name); err != nil {
			return nil, err
		}
		dependents := t.m.runningDependents(name)
		dependents = append(dependents, t.lost(before, name, dependents)...)
		for _, one := range append([]string{name}, dependents...) {
			if slices.ContainsFunc(services, isNamed(one)) {
				continue
			}
			s, err := t.m.look(one)
			if err != nil {
				return nil, err
			}
			of := []string{}
			if one == name {
				of = dependents
			}
			service := s.facts(of)
			ran := slices.ContainsFunc(t.list("ran"), func(r string) bool { return strings.EqualFold(r, one) })
			if i := slices.IndexFunc(before, isNamed(one)); ran || i >= 0 && ranThen(before[i]) {
				service["state"] = stateRunning
			}
			services = append(services, service)
		}
	}
	for _, w := range t.m.watchdogs() {
		if !slices.ContainsFunc(watchdogs, isNamed(textOf(w, "name"))) {
			watchdogs = append(watchdogs, w)
		}
	}
	prior["services"], prior["watchdogs"] = some(services), some(watchdogs)
	return prior, nil
}

// ranThen: the service ran, or was about to.
func ranThen(service object) bool {
	return slices.Contains([]string{stateRunning, stateStarting, "Continue Pending"}, textOf(service, "state"))
}

// lost are the services that the journal recorded as dependents of this one and that do not run any more.
func (t *twin) lost(before []object, name string, dependents []string) []string {
	var lost []string
	for _, was := range before {
		if !isNamed(name)(was) {
			continue
		}
		for _, one := range texts(was["dependents"]) {
			if _, err := t.m.look(one); err == nil && !slices.ContainsFunc(dependents, func(d string) bool { return strings.EqualFold(d, one) }) {
				lost = append(lost, one)
			}
		}
	}
	return lost
}

// some is the list, and never nil.
func some(list []object) []object {
	if list == nil {
		return []object{}
	}
	return list
}

func isNamed(name string) func(object) bool {
	return func(o object) bool { return strings.EqualFold(textOf(o, "name"), name) }
}

// hold disables the watchdogs, waits for one that is at work, and keeps the services from starting at boot.
func (t *twin) hold(prior object) error {
	for _, w := range t.m.watchdogTasks() {
		if w.state != taskDisabled {
			if err := t.m.enableTask(w.folder, w.name, false); err != nil {
				return err
			}
		}
	}
	deadline := t.m.clock.Now().Add(90 * time.Second)
	for slices.ContainsFunc(t.m.watchdogTasks(), func(w task) bool { return w.state == taskRunning }) {
		if !t.m.clock.Now().Before(deadline) {
			return &stop{"service", "a watchdog task is still running after 90 s", ""}
		}
		if err := t.sleep(2 * time.Second); err != nil {
			return err
		}
	}
	for _, held := range objects(prior["services"]) {
		s, err := t.m.look(textOf(held, "name"))
		if err != nil {
			return err
		}
		if s.start == startAuto {
			if err := t.m.configure(s.name, startManual, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// watchdogTasks are copies of the watchdogs' tasks.
func (m *Machine) watchdogTasks() []task {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []task
	for _, t := range m.tasks {
		if isWatchdog(t) {
			list = append(list, *t)
		}
	}
	return list
}

// stopOne asks until the service takes it: one that is just starting refuses the control.
func (t *twin) stopOne(name string) error {
	limit := t.seconds("limit")
	deadline := t.m.clock.Now().Add(limit)
	for {
		state := t.m.status(name)
		if state == stateStopped {
			return nil
		}
		if !t.m.clock.Now().Before(deadline) {
			return &stop{"service", fmt.Sprintf("service %s is %s after %d s instead of Stopped", name, state, t.number("limit")), ""}
		}
		if state == stateRunning {
			refused := t.m.stopService(name)
			if refused != nil && t.m.status(name) == state && !t.m.clock.Now().Add(time.Second).Before(deadline) {
				return refused
			}
		}
		if err := t.sleep(500 * time.Millisecond); err != nil {
			return err
		}
	}
}
