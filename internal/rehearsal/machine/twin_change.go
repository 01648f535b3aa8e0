package machine

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

func twinRecord(p *process) error {
	j, err := p.updateJournal(nil)
	if err != nil {
		return err
	}
	return p.answer(object{"journal": j})
}

// hostPrior is the host before anything is changed; what the journal recorded before stands.
func (p *process) hostPrior(j object) (object, error) {
	m := p.m
	m.mu.Lock()
	defer m.mu.Unlock()
	facts := m.windowsFacts()
	prior := object{"services": []any{}, "watchdogs": []any{}, "boot": facts["boot"], "build": m.build, "ubr": m.ubr, "restored": false}
	if recorded, ok := j["host"].(object); ok {
		if restored, _ := recorded["restored"].(bool); !restored {
			prior = recorded
		}
	}
	services, _ := prior["services"].([]any)
	watchdogs, _ := prior["watchdogs"].([]any)
	for _, name := range p.list("services") {
		if m.find(name) == nil {
			return nil, &stop{"service", "there is no service " + name, ""}
		}
		dependents := m.runningDependents(name)
		for _, one := range append([]string{name}, dependents...) {
			if slices.ContainsFunc(services, named(one)) {
				continue
			}
			of := []string{}
			if one == name {
				of = dependents
			}
			services = append(services, m.find(one).facts(of))
		}
	}
	for _, w := range m.watchdogFacts() {
		if !slices.ContainsFunc(watchdogs, named(fmt.Sprint(w["name"]))) {
			watchdogs = append(watchdogs, w)
		}
	}
	prior["services"], prior["watchdogs"] = services, watchdogs
	return prior, nil
}

func named(name string) func(any) bool {
	return func(v any) bool {
		o, ok := v.(object)
		return ok && o["name"] == name
	}
}

func twinStop(p *process) error {
	if err := p.openFolder(); err != nil {
		return err
	}
	j, err := p.readJournal()
	if err != nil {
		return err
	}
	if err := p.testChange(j, p.change()); err != nil {
		return err
	}
	prior, err := p.hostPrior(j)
	if err != nil {
		return err
	}
	if j, err = p.updateJournal(prior); err != nil {
		return err
	}
	p.hold(prior)
	for _, name := range p.list("services") {
		p.m.mu.Lock()
		dependents := p.m.runningDependents(name)
		p.m.mu.Unlock()
		for _, one := range append(dependents, name) {
			if err := p.stopOne(one); err != nil {
				return err
			}
		}
	}
	if err := p.sleep(time.Second); err != nil {
		return err
	}
	for _, name := range p.list("services") {
		if state, start := p.service(name); state != "Stopped" {
			return &stop{"service", fmt.Sprintf("service %s is %s again: something starts it", name, state), ""}
		} else if start == "Auto" {
			return &stop{"service", fmt.Sprintf("service %s still starts at boot", name), ""}
		}
	}
	return p.answer(object{"journal": j})
}

// hold disables the watchdogs and keeps the services from starting at boot.
func (p *process) hold(prior object) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	for _, t := range p.m.tasks {
		if strings.HasPrefix(t.Name, "Octopus Watchdog ") {
			t.Enabled = false
		}
	}
	services, _ := prior["services"].([]any)
	for _, v := range services {
		if s := p.m.find(nameOf(v)); s != nil && s.Start == "Auto" {
			s.Start, s.Delayed = "Manual", false
		}
	}
}

func nameOf(v any) string {
	o, _ := v.(object)
	s, _ := o["name"].(string)
	return s
}

func (p *process) service(name string) (state, start string) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if s := p.m.find(name); s != nil {
		return s.State, s.Start
	}
	return "", ""
}

func (p *process) stopOne(name string) error {
	limit := p.seconds("limit")
	deadline := p.m.clock.Now().Add(limit)
	for {
		state, _ := p.service(name)
		if state == "Stopped" {
			return nil
		}
		if !p.m.clock.Now().Before(deadline) {
			return &stop{"service", fmt.Sprintf("service %s is %s after %d s instead of Stopped", name, strings.ReplaceAll(state, " ", ""), int(limit.Seconds())), ""}
		}
		if state == "Running" {
			_ = p.m.StopService(name) // one that is just starting refuses; it is asked again
		}
		if err := p.sleep(500 * time.Millisecond); err != nil {
			return err
		}
	}
}

func (p *process) startOne(name string) string {
	limit := p.seconds("limit")
	deadline := p.m.clock.Now().Add(limit)
	for {
		state, _ := p.service(name)
		if state == "Running" {
			return ""
		}
		if !p.m.clock.Now().Before(deadline) {
			return fmt.Sprintf("service %s is %s after %d s instead of Running", name, strings.ReplaceAll(state, " ", ""), int(limit.Seconds()))
		}
		wait := 500 * time.Millisecond
		if state == "Stopped" && p.m.StartService(name) != nil {
			wait += 5 * time.Second
		}
		if p.sleep(wait) != nil {
			return "interrupted"
		}
	}
}

func twinStart(p *process) error {
	j, err := p.updateJournal(nil)
	if err != nil {
		return err
	}
	prior, ok := j["host"].(object)
	if !ok {
		return p.answer(object{"journal": j})
	}
	services := objects(prior["services"])
	for _, s := range services {
		delayed, _ := s["delayed"].(bool)
		if err := p.m.SetStartType(nameOf(s), fmt.Sprint(s["start"]), delayed); err != nil {
			return err
		}
	}
	faults := p.startAll(services)
	faults = append(faults, p.enableWatchdogs(objects(prior["watchdogs"]))...)
	if len(faults) > 0 {
		return &stop{"service", strings.Join(faults, "; "), ""}
	}
	prior["restored"] = true
	if err := p.writeJournal(j); err != nil {
		return err
	}
	return p.answer(object{"journal": j})
}

// startAll starts what ran before: first the services, then their dependents in the reverse order of stopping.
func (p *process) startAll(services []object) []string {
	var held, order, dependents, faults []string
	for _, s := range services {
		held = append(held, texts(s["dependents"])...)
	}
	for _, s := range services {
		if slices.Contains(held, nameOf(s)) {
			dependents = append([]string{nameOf(s)}, dependents...)
		} else {
			order = append(order, nameOf(s))
		}
	}
	for _, name := range append(order, dependents...) {
		i := slices.IndexFunc(services, func(s object) bool { return nameOf(s) == name })
		switch services[i]["state"] {
		case "Running", "Start Pending", "Continue Pending":
			if fault := p.startOne(name); fault != "" {
				faults = append(faults, fault)
			}
		}
	}
	return faults
}

func (p *process) enableWatchdogs(watchdogs []object) []string {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	var faults []string
	for _, w := range watchdogs {
		if on, _ := w["enabled"].(bool); !on {
			continue
		}
		i := slices.IndexFunc(p.m.tasks, func(t *task) bool { return t.path() == w["name"] })
		if i < 0 {
			faults = append(faults, fmt.Sprintf("the scheduled task %s is gone", w["name"]))
			continue
		}
		p.m.tasks[i].Enabled = true
	}
	return faults
}

func twinUndrain(p *process) error {
	if _, err := p.updateJournal(nil); err != nil {
		return err
	}
	p.m.o.Drain(p.text("instance"), false)
	return p.answer(object{"undrained": true})
}

func twinReboot(p *process) error {
	if _, err := p.updateJournal(nil); err != nil {
		return err
	}
	if t := p.worker(); t != nil && t.running {
		if mode, _ := p.readWork("work.json")["mode"].(string); mode == "install" {
			return &stop{"busy", "the worker is still installing", ""}
		}
	}
	code := p.m.Shutdown(true, 5*time.Second)
	if code == 1190 {
		p.m.Shutdown(false, 0)
		code = p.m.Shutdown(true, 5*time.Second)
	}
	switch code {
	case 0:
		return p.answer(object{"state": "issued"})
	case 1115, 1717:
		return p.answer(object{"state": "restarting"})
	}
	return &stop{"reboot", fmt.Sprintf("shutdown.exe ended with %d", code), fmt.Sprintf("0x%08X", 0x80070000|code)}
}

func twinClear(p *process) error {
	state := p.folderState()
	if state != "absent" && state != "ours" {
		return &stop{"folder", p.folder + " " + state, ""}
	}
	if state == "ours" {
		_, err := os.Stat(p.journalPath())
		if p.text("run") == "" && err == nil {
			return p.answer(object{"cleared": false})
		}
		j, err := p.readJournal()
		if err != nil {
			return err
		}
		if j != nil && j["run"] != p.text("run") {
			return &stop{"journal", fmt.Sprintf("%s belongs to run %v", p.journalPath(), j["run"]), ""}
		}
	}
	if err := p.stopWorker(); err != nil {
		return err
	}
	_ = p.m.DeleteTask(workerFolder, workerName) // absent is as good
	if err := p.removeFolder(); err != nil {
		return err
	}
	return p.answer(object{"cleared": true})
}
