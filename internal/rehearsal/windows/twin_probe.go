package windows

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

func twinProbe(t *twin) error {
	m := t.m
	own := []string{".", "(local)", "(localdb)", "localhost", "127.0.0.1", "::1", "[::1]", m.computer, strings.ToLower(m.computer) + "." + domain}
	instances := []object{}
	for _, s := range m.servers() {
		instances = append(instances, m.instance(s, own))
	}
	folder, err := t.folderState()
	if err != nil {
		return err
	}
	var journal, other, lease, deadman object
	if folder == "ours" {
		if journal, err = t.readJournal(); err != nil {
			return err
		}
		if other, err = t.readJournalFile(copyFile); err != nil {
			return err
		}
		if lease, err = t.readLease(); err != nil {
			return err
		}
		deadman = t.readWork(deadmanFile)
	}
	guid, _ := m.readValue(keyCrypto, "MachineGuid").(string)
	return t.answer(object{
		"computer": m.computer, "fqdn": own[len(own)-1], "machineId": fmt.Sprintf("%x", sha256.Sum256([]byte(strings.ToLower(guid)))), "powershell": "5.1.20348.2700",
		"time": m.clock.Now().Add(m.skew()).Unix(), "windows": m.windowsFacts(), "freeBytes": m.freeBytes(), "pending": m.hardPending(),
		"soft": m.softPending(), "busy": m.installing(), "policy": m.policy(), "agents": m.runningAgents(texts(t.request["agents"])), "instances": instances, "watchdogs": m.watchdogs(), "folder": folder, "journal": journal, "copy": other,
		"lease": lease, "deadman": deadman,
	})
}

var (
	quotedServer = regexp.MustCompile(`(?i)^\s*"([^"]*[\\/]Octopus\.Server\.exe)"`)
	plainServer  = regexp.MustCompile(`(?i)^\s*([^"]*?[\\/]Octopus\.Server\.exe)(\s|$)`)
	instanceOf   = []*regexp.Regexp{regexp.MustCompile(`(?i)--?instance[= ]"([^"]+)"`), regexp.MustCompile(`(?i)--?instance[= ]([^" ]+)`)}
	dataSource   = regexp.MustCompile(`(?i)(?:^|;)\s*(?:Data Source|Server|Address|Addr|Network Address)\s*=\s*([^;]+)`)
	protocol     = regexp.MustCompile(`(?i)^(?:tcp|np|lpc|admin):`)
	share        = regexp.MustCompile(`^\\\\([^\\]+)\\`)
)

// servers are copies of the services whose program is Octopus.Server.exe.
func (m *Machine) servers() []service {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []service
	for _, s := range m.services {
		if quotedServer.MatchString(s.path) || plainServer.MatchString(s.path) {
			list = append(list, *s)
		}
	}
	return list
}

func (s *service) instanceName() string {
	for _, pattern := range instanceOf {
		if found := pattern.FindStringSubmatch(s.path); found != nil {
			return found[1]
		}
	}
	if name, ok := strings.CutPrefix(s.name, "OctopusDeploy: "); ok && name != "" {
		return name
	}
	return "OctopusServer"
}

// instance is what probe says of one Octopus Server service.
func (m *Machine) instance(s service, own []string) object {
	name := s.instanceName()
	facts := object{"service": s.facts(m.runningDependents(s.name)), "name": name, "node": "", "prefixes": []string{}, "version": m.o.Version, "localData": false, "onDisks": []string{"unknown source", "unknown path"}}
	text, _ := m.octopusCommand([]string{"show-configuration", "--format=JSON", "--noconsolelogging", "--instance=" + name})
	start, end := strings.Index(text, "{"), strings.LastIndex(text, "}")
	var configuration object
	if start < 0 || end <= start || json.Unmarshal([]byte(text[start:end+1]), &configuration) != nil {
		return facts
	}
	node := findSetting(configuration, "Octopus.Server.NodeName")
	if node == "" {
		node = findSetting(configuration, "Octopus.Storage.NodeName")
	}
	prefixes := []string{}
	for part := range strings.FieldsFuncSeq(findSetting(configuration, "Octopus.WebPortal.ListenPrefixes"), func(r rune) bool { return r == ',' || r == ';' }) {
		if part = strings.TrimSpace(part); part != "" {
			prefixes = append(prefixes, part)
		}
	}
	facts["node"], facts["prefixes"], facts["localData"] = node, prefixes, isLocal(configuration, own)
	facts["onDisks"] = onDisks(configuration, own)
	return facts
}

var drive = regexp.MustCompile(`^[A-Za-z]:[\\/]`)

// onDisks names the settings whose data a revert of this computer's disks would rewind.
func onDisks(configuration object, own []string) []string {
	names, kinds := []string{}, map[string]bool{}
	var look func(object, string)
	look = func(at object, under string) {
		for name, v := range at {
			if nested, ok := v.(object); ok {
				look(nested, under+name+".")
				continue
			}
			text, _ := v.(string)
			local := isLocal(object{"it": text}, own)
			switch {
			case dataSource.MatchString(text):
				kinds["source"] = true
			case strings.HasPrefix(text, `\\`):
				kinds["path"] = true
			case drive.MatchString(text):
				kinds["path"], local = true, true
			default:
				continue
			}
			if local {
				names = append(names, under+name)
			}
		}
	}
	look(configuration, "")
	slices.Sort(names)
	for _, kind := range []string{"source", "path"} {
		if !kinds[kind] {
			names = append(names, "unknown "+kind)
		}
	}
	return names
}

// findSetting reads a setting from the flat form of show-configuration, or from the nested one.
func findSetting(configuration object, key string) string {
	if flat, ok := configuration[key].(string); ok {
		return flat
	}
	at := configuration
	steps := strings.Split(key, ".")
	for _, step := range steps[:len(steps)-1] {
		at = objectOf(at, step)
	}
	return textOf(at, steps[len(steps)-1])
}

// isLocal: the database or a share of the installation lives on this computer.
func isLocal(configuration object, own []string) bool {
	isOwn := func(name string) bool {
		return slices.ContainsFunc(own, func(o string) bool { return strings.EqualFold(o, name) })
	}
	for _, v := range configuration {
		switch v := v.(type) {
		case object:
			if isLocal(v, own) {
				return true
			}
		case string:
			if found := dataSource.FindStringSubmatch(v); found != nil {
				source := protocol.ReplaceAllString(strings.TrimSpace(found[1]), "")
				if at := strings.IndexAny(source, `\,`); at >= 0 {
					source = source[:at]
				}
				if isOwn(strings.TrimSpace(source)) {
					return true
				}
			}
			if found := share.FindStringSubmatch(v); found != nil && isOwn(found[1]) {
				return true
			}
		}
	}
	return false
}
