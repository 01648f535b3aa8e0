package windows

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// policyNumber is a number of a policy, -1 when it is not set.
func (m *Machine) policyNumber(key, name string) int {
	if n, ok := m.readValue(key, name).(int); ok {
		return n
	}
	return -1
}

func (m *Machine) policy() object {
	const au = keyPolicy + `\AU`
	server := ""
	if m.policyNumber(au, "UseWUServer") == 1 {
		server, _ = m.readValue(keyPolicy, "WUServer").(string)
		server = strings.TrimSpace(server)
	}
	return object{
		"noAutoUpdate": m.policyNumber(au, "NoAutoUpdate"), "auOptions": m.policyNumber(au, "AUOptions"),
		"day": m.policyNumber(au, "ScheduledInstallDay"), "hour": m.policyNumber(au, "ScheduledInstallTime"),
		"alwaysReboot": m.policyNumber(au, "AlwaysAutoRebootAtScheduledTime"), "deadline": m.policyNumber(keyPolicy, "SetComplianceDeadline"),
		"noInternet": m.policyNumber(keyPolicy, "DoNotConnectToWindowsUpdateInternetLocations"),
		"server":     server, "serverError": serverError(server),
	}
}

// serverError asks the update server; any status is an answer.
func serverError(server string) string {
	if server == "" {
		return ""
	}
	client := http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	reply, err := client.Get(strings.TrimRight(server, "/") + "/ClientWebService/client.asmx") //nolint:noctx // it has a time-out
	if err != nil {
		return err.Error()
	}
	_ = reply.Body.Close()
	return ""
}

// runningAgents are those of the named services that run.
func (m *Machine) runningAgents(names []string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []string{}
	for _, s := range m.services {
		if s.state == stateRunning && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, s.name) }) {
			list = append(list, s.name)
		}
	}
	return list
}
