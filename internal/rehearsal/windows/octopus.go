package windows

import (
	"encoding/json"
	"strings"
)

const defaultInstance = "OctopusServer"

// octopusCommand is Octopus.Server.exe: what concerns this machine is answered here, the rest by the world.
func (m *Machine) octopusCommand(args []string) (stdout string, exit int) {
	if len(args) == 0 {
		return "See 'Octopus.Server help' for the commands.", 1
	}
	instance, drain := defaultInstance, ""
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
		switch name {
		case "instance":
			instance = value
		case "drain":
			drain = value
		}
	}
	if !m.hasInstance(instance) {
		return "Instance " + instance + " has not been configured on this machine.", 1
	}
	switch {
	case args[0] == "show-configuration" && m.o.Configuration != nil:
		// The program may say something of its own before.
		return "Octopus Deploy: Server version " + m.o.Version + "\n" + m.configuration(instance), 0
	case args[0] == "node" && (drain == "true" || drain == "false") && m.o.Drain != nil:
		m.o.Drain(instance, drain == "true")
		return "", 0
	case args[0] == "checkservices":
		m.checkServices(m.life)
		return "", 0
	}
	return "Unrecognized command line.", 1
}

func (m *Machine) hasInstance(name string) bool {
	return strings.EqualFold(name, m.o.Instance) || m.has("second-instance") && name == "Staging"
}

// configuration is the world's, but with a listen prefix that never answers where a fault wants that.
func (m *Machine) configuration(instance string) string {
	text := m.o.Configuration(instance)
	if m.deadEnd == nil {
		return text
	}
	var settings map[string]any
	if json.Unmarshal([]byte(text), &settings) != nil {
		return text
	}
	settings["Octopus.WebPortal.ListenPrefixes"] = "http://" + m.deadEnd.Addr().String() + "/"
	changed, err := json.Marshal(settings)
	if err != nil {
		return text
	}
	return string(changed)
}
