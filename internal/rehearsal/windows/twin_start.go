package windows

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

func twinStart(t *twin) error {
	if t.workerRuns() && t.workMode() == "install" {
		return &stop{"busy", "the worker is still installing", ""}
	}
	j, err := t.updateJournal(nil)
	if err != nil {
		return err
	}
	prior := objectOf(j, "host")
	if prior == nil {
		return t.answer(object{"journal": j})
	}
	faults, err := t.restore(prior)
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return &stop{"service", strings.Join(faults, "; "), ""}
	}
	prior["restored"] = true
	if err := t.writeJSON(journalFile, j); err != nil {
		return err
	}
	if err := t.disableDeadman(); err != nil {
		return err
	}
	return t.answer(object{"journal": j})
}

// restore puts start types, services, dependents and watchdogs back, and lists what did not come back.
func (t *twin) restore(prior object) ([]string, error) {
	var services []object
	var faults []string
	for _, was := range objects(prior["services"]) {
		if name := textOf(was, "name"); t.m.status(name) != "" {
			services = append(services, was)
		} else {
			faults = append(faults, fmt.Sprintf("service %s is gone", name))
		}
	}
	types, err := t.restoreStartTypes(services)
	if err != nil {
		return nil, err
	}
	faults = append(faults, types...)
	started, err := t.startAll(services)
	if err != nil {
		return nil, err
	}
	faults = append(faults, started...)
	watchdogs, err := t.enableWatchdogs(objects(prior["watchdogs"]))
	if err != nil {
		return nil, err
	}
	faults = append(faults, watchdogs...)
	for _, was := range services {
		s, err := t.m.look(textOf(was, "name"))
		if err != nil {
			return nil, err
		}
		if !s.startsAs(was) {
			faults = append(faults, fmt.Sprintf("service %s has the start type %s instead of %s", s.name, s.start, was["start"]))
		}
	}
	return faults, nil
}

// startsAs: the service has the start type that was recorded. Delayed counts for automatic start only.
func (s *service) startsAs(was object) bool {
	start := textOf(was, "start")
	return strings.EqualFold(s.start, start) && (start != startAuto || s.delayed == flagOf(was, "delayed"))
}

// restoreStartTypes says which start types cannot be set.
func (t *twin) restoreStartTypes(services []object) (faults []string, err error) {
	for _, was := range services {
		s, err := t.m.look(textOf(was, "name"))
		if err != nil {
			return nil, err
		}
		start := textOf(was, "start")
		switch {
		case s.startsAs(was):
			continue
		case !slices.Contains([]string{startAuto, startManual, startDisabled}, start):
			faults = append(faults, fmt.Sprintf("service %s has the start type %s, which is not ours to set", s.name, start))
			continue
		}
		if err := t.m.configure(s.name, start, flagOf(was, "delayed")); err != nil {
			return nil, err
		}
	}
	return faults, nil
}

// startAll starts what ran before: first the services, then their dependents in the reverse order of stopping.
func (t *twin) startAll(services []object) ([]string, error) {
	var held, order, dependents, faults []string
	for _, s := range services {
		held = append(held, texts(s["dependents"])...)
	}
	for _, s := range services {
		if name := textOf(s, "name"); slices.Contains(held, name) {
			dependents = append([]string{name}, dependents...)
		} else {
			order = append(order, name)
		}
	}
	for _, name := range append(order, dependents...) {
		was := services[slices.IndexFunc(services, isNamed(name))]
		if !slices.Contains([]string{stateRunning, stateStarting, "Continue Pending"}, textOf(was, "state")) {
			continue
		}
		fault, err := t.startOne(name)
		if err != nil {
			return nil, err
		}
		if fault != "" {
			faults = append(faults, fault)
		}
	}
	return faults, nil
}

// startOne starts the service, again if it falls back, and says why it does not run.
func (t *twin) startOne(name string) (fault string, err error) {
	if err := t.updateLease(); err != nil {
		return "", err
	}
	deadline := t.m.clock.Now().Add(t.seconds("limit"))
	refused := ""
	for {
		state := t.m.status(name)
		if state == stateRunning {
			return "", nil
		}
		if !t.m.clock.Now().Before(deadline) {
			return strings.TrimSpace(fmt.Sprintf("service %s is %s after %d s instead of Running %s", name, state, t.number("limit"), refused)), nil
		}
		wait := 500 * time.Millisecond
		if state == stateStopped {
			if err := t.m.startService(name); err != nil {
				refused = wordsOf(err)
				wait += 5 * time.Second
			}
		}
		if err := t.sleep(wait); err != nil {
			return "", err
		}
	}
}

// wordsOf is Windows' own text of an error.
func wordsOf(err error) string {
	var windows *Error
	if errors.As(err, &windows) {
		return windows.Message
	}
	return err.Error()
}

func (t *twin) enableWatchdogs(recorded []object) ([]string, error) {
	var faults []string
	for _, w := range recorded {
		if !flagOf(w, "enabled") {
			continue
		}
		tasks := t.m.watchdogTasks()
		i := slices.IndexFunc(tasks, func(one task) bool {
			return strings.EqualFold(strings.TrimLeft(one.path(), `\`), textOf(w, "name"))
		})
		if i < 0 {
			faults = append(faults, fmt.Sprintf("the scheduled task %s is gone", w["name"]))
			continue
		}
		if tasks[i].state == taskDisabled {
			if err := t.m.enableTask(tasks[i].folder, tasks[i].name, true); err != nil {
				return nil, err
			}
		}
	}
	return faults, nil
}
