package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

func (m *Machine) windowsFacts() object {
	return object{"boot": fileTime(m.boot), "bootTime": m.boot.Unix(), "caption": "Microsoft Windows Server 2022 Standard", "build": m.build, "ubr": m.ubr}
}

func (s *service) facts(dependents []string) object {
	if dependents == nil {
		dependents = []string{}
	}
	return object{"name": s.Name, "state": s.State, "start": s.Start, "delayed": s.Delayed, "dependents": dependents}
}

// runningDependents lists what depends on the service and runs, those first that must stop first.
func (m *Machine) runningDependents(name string) []string {
	list := []string{}
	for _, d := range m.dependents(name) {
		list = append(list, m.runningDependents(d.Name)...)
		if d.State != "Stopped" {
			list = append(list, d.Name)
		}
	}
	return list
}

func (m *Machine) hardPending() []string {
	list := []string{}
	if m.update.rebootRequired {
		list = append(list, "Windows Update: RebootRequired", "component servicing: RebootPending")
	}
	if m.update.servicing != 0 {
		list = append(list, fmt.Sprintf("component servicing: ServicingInProgress %d", m.update.servicing))
	}
	return list
}

// softPending: component servicing keeps its packages listed until the reboot.
func (m *Machine) softPending() []string {
	if m.update.rebootRequired {
		return []string{"component servicing: PackagesPending"}
	}
	return []string{}
}

func (m *Machine) watchdogFacts() []object {
	list := []object{}
	for _, t := range m.tasks {
		if strings.HasPrefix(t.Name, "Octopus Watchdog ") {
			list = append(list, object{"name": t.path(), "enabled": t.Enabled})
		}
	}
	return list
}

var (
	instanceName = regexp.MustCompile(`--?instance[= ]"?([^" ]+)"?`)
	dataSource   = regexp.MustCompile(`(?i)(?:^|;)\s*(?:Data Source|Server)\s*=\s*([^;]+)`)
)

// instance is what probe says of one Octopus Server service.
func (m *Machine) instance(s *service) object {
	name := "OctopusServer"
	if match := instanceName.FindStringSubmatch(s.PathName); match != nil {
		name = match[1]
	}
	o := object{"service": s.facts(m.runningDependents(s.Name)), "name": name, "node": "", "prefixes": []string{}, "version": octopusVersion, "localData": false}
	var configuration map[string]string
	if json.Unmarshal([]byte(m.o.Configuration(name)), &configuration) != nil {
		return o
	}
	o["node"] = configuration["Octopus.Server.NodeName"]
	prefixes := []string{}
	for part := range strings.FieldsFuncSeq(configuration["Octopus.WebPortal.ListenPrefixes"], func(r rune) bool { return r == ',' || r == ';' }) {
		prefixes = append(prefixes, strings.TrimSpace(part))
	}
	o["prefixes"] = prefixes
	for _, v := range configuration {
		if match := dataSource.FindStringSubmatch(v); match != nil {
			source, _, _ := strings.Cut(strings.TrimSpace(match[1]), `\`)
			o["localData"] = source == "." || strings.EqualFold(source, "localhost") || strings.EqualFold(source, m.computer())
		}
	}
	return o
}

func twinProbe(p *process) error {
	folder := p.folderState()
	var journal object
	if folder == "ours" {
		var err error
		if journal, err = p.readJournal(); err != nil {
			return err
		}
	}
	m := p.m
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := sha256.Sum256([]byte(strings.ToLower(m.guid)))
	instances := []object{}
	for _, s := range m.service {
		if strings.Contains(s.PathName, octopusProgram) {
			instances = append(instances, m.instance(s))
		}
	}
	busy := ""
	if m.update.servicing == 2 {
		busy = "component servicing (TiWorker)"
	}
	return p.answer(object{
		"computer": m.computer(), "fqdn": strings.ToLower(m.computer()) + "." + domain, "machineId": hex.EncodeToString(sum[:]), "powershell": "5.1.20348.2700",
		"time": m.clock.Now().Unix(), "windows": m.windowsFacts(), "freeBytes": m.free, "pending": m.hardPending(),
		"soft": m.softPending(), "busy": busy, "instances": instances, "watchdogs": m.watchdogFacts(),
		"folder": folder, "journal": journal,
	})
}

func twinHealth(p *process) error {
	ping, fault := object{"status": 0, "name": "", "version": ""}, ""
	prefixes := p.list("prefixes")
	for _, prefix := range prefixes {
		var err error
		if ping, err = p.ping(strings.TrimRight(prefix, "/") + "/api/octopusservernodes/ping"); err == nil {
			fault = ""
			break
		}
		ping, fault = object{"status": 0, "name": "", "version": ""}, err.Error()
	}
	if len(prefixes) == 0 {
		fault = "the instance has no listen prefix"
	}
	names, err := p.heldToo(p.list("services"))
	if err != nil {
		return err
	}
	m := p.m
	m.mu.Lock()
	defer m.mu.Unlock()
	services := []object{}
	for _, name := range names {
		s := m.find(name)
		if s == nil {
			return &stop{"service", "there is no service " + name, ""}
		}
		services = append(services, s.facts(nil))
	}
	return p.answer(object{"windows": m.windowsFacts(), "services": services, "pending": m.hardPending(), "ping": ping, "pingError": fault})
}

// heldToo adds what this run stopped besides, such as dependents: it must be back as well.
func (p *process) heldToo(names []string) ([]string, error) {
	if p.folderState() != "ours" {
		return names, nil
	}
	j, err := p.readJournal()
	if err != nil {
		return nil, err
	}
	host, _ := j["host"].(object)
	for _, s := range objects(host["services"]) {
		if !slices.Contains(names, nameOf(s)) {
			names = append(names, nameOf(s))
		}
	}
	return names, nil
}

// ping asks the instance on the host itself, over real HTTP.
func (p *process) ping(address string) (object, error) {
	if p.m.has("ping-dead") {
		return nil, fmt.Errorf("%s: Unable to connect to the remote server", address)
	}
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != 200 && response.StatusCode != 418 {
		return nil, fmt.Errorf("%s: HTTP %d", address, response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	var body struct{ Name, Version string }
	if err := json.Unmarshal(text, &body); err != nil {
		return nil, err
	}
	return object{"status": response.StatusCode, "name": body.Name, "version": body.Version}, nil
}

func twinReady(p *process) error {
	m := p.m
	deadline := m.clock.Now().Add(p.seconds("limit"))
	before, quiet := p.text("bootBefore"), p.seconds("quiet")
	boot, said, since := "", "", m.clock.Now()
	for {
		m.mu.Lock()
		facts := m.windowsFacts()
		awaited := ""
		switch {
		case before != "" && facts["boot"] == before:
			awaited = "the restart to begin"
		case !m.logonUI:
			awaited = "the logon screen"
		case m.update.servicing > 1:
			awaited = "component servicing (TiWorker) to finish"
		}
		m.mu.Unlock()
		if awaited != "" || facts["boot"] != boot {
			since = m.clock.Now()
		}
		boot, _ = facts["boot"].(string)
		if awaited == "" {
			if m.clock.Since(since) >= quiet {
				return p.answer(object{"ready": true, "waiting": "", "windows": facts})
			}
			awaited = fmt.Sprintf("a quiet period of %d s", int(quiet.Seconds()))
		}
		if awaited != said {
			p.line("progress", object{"waiting": awaited})
			said = awaited
		}
		if !m.clock.Now().Before(deadline) {
			return p.answer(object{"ready": false, "waiting": awaited, "windows": facts})
		}
		if err := p.sleep(3 * time.Second); err != nil {
			return err
		}
	}
}
