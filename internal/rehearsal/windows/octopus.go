package windows

import (
	"encoding/json"
	"strings"
)

// octopusCommand is Octopus.Server.exe: what concerns this machine is answered here, the rest by the world.
func (m *Machine) octopusCommand(args []string) (stdout string, exit int) {
	if len(args) == 0 {
		return "Supported commands are: show-configuration, node, service, watchdog", 1
	}
	instance := "OctopusServer"
	for _, a := range args[1:] {
		if value, ok := strings.CutPrefix(strings.TrimLeft(a, "-"), "instance="); ok {
			instance = value
		}
	}
	switch args[0] {
	case "show-configuration":
		return m.configuration(instance)
	case "checkservices":
		m.checkServices(m.life)
		return "", 0
	}
	if !strings.EqualFold(instance, m.o.Instance) || m.o.Exe == nil {
		return "Instance " + instance + " of tentacle has not been configured", 1
	}
	return m.o.Exe(args)
}

// configuration is the answer to show-configuration. The program writes a line of its own first, as the real
// one does with some versions.
func (m *Machine) configuration(instance string) (string, int) {
	node, prefixes := m.node, m.o.Prefixes
	switch {
	case strings.EqualFold(instance, m.o.Instance):
	case m.has("second-instance") && instance == "Staging":
		node, prefixes = m.node+"-staging", []string{"http://localhost:8099/"}
	default:
		return "Instance " + instance + " has not been configured", 1
	}
	text, err := json.MarshalIndent(map[string]any{
		"Octopus.Home":            `C:\Octopus`,
		"Octopus.Server.NodeName": node,
		"Octopus.Storage.ExternalDatabaseConnectionString": ConnectionString,
		"Octopus.WebPortal.ListenPrefixes":                 strings.Join(prefixes, ","),
		"Octopus.WebPortal.ForceSsl":                       "False",
		"Octopus.Communications.ServicesPort":              "10943",
		"Octopus.Folder.Artifacts":                         `\\files.rehearsal.example\octopus\Artifacts`,
	}, "", "  ")
	if err != nil {
		return err.Error(), 1
	}
	return "Octopus Deploy: Server " + m.o.Version + "\n" + string(text), 0
}
