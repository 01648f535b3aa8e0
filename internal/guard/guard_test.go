package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/procedure"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	const worker, server = `C:\Program Files\Octopus Deploy\Tentacle`, `C:\Program Files\Octopus Deploy\Octopus`
	for _, c := range []struct {
		name    string
		env     map[string]string
		stepURL string
		machine string
		id      string
		says    string // "" means that it may go on
	}{
		{name: "outside_of_octopus", machine: "jump"},
		{name: "a_machine_without_a_name", machine: "-", says: "its name cannot be read"},
		{name: "a_host_by_a_name_longer_than_netbios_allows", machine: "octopus-production-03", says: "OCTOPUS-PRODUCT"},
		{name: "another_machine_with_the_same_first_15_characters", machine: "octopus-production-04"},
		{name: "a_marker_that_is_empty", machine: "jump", env: map[string]string{"TentacleHome": ""}},
		{name: "step_without_address", env: map[string]string{"TentacleHome": "x"}, says: "OCTOPATCH_STEP_SERVER_URL"},
		{name: "calamari_without_address", env: map[string]string{"OctopusCalamariWorkingDirectory": "x"}, says: "OCTOPATCH_STEP_SERVER_URL"},
		{name: "step_of_the_very_server", env: map[string]string{"TentacleHome": "x"}, stepURL: "https://same", says: "very server"},
		{name: "step_of_the_very_server_under_another_name", env: map[string]string{"TentacleHome": "x"}, stepURL: "https://alias", says: "very server"},
		{name: "step_of_another_server", env: map[string]string{"TentacleHome": "x", "AgentProgramDirectoryPath": worker}, stepURL: "https://ops"},
		{name: "step_server_unreadable", env: map[string]string{"TentacleHome": "x"}, stepURL: "https://down", says: "cannot be asked"},
		{name: "step_server_without_id", env: map[string]string{"TentacleHome": "x"}, stepURL: "https://mute", says: "installation id"},
		{name: "built_in_worker", env: map[string]string{"AgentProgramDirectoryPath": server}, says: "built-in worker"},
		{name: "built_in_worker_of_the_very_server", env: map[string]string{"AgentProgramDirectoryPath": server + `\`}, stepURL: "https://same", says: "built-in worker"},
		{name: "built_in_worker_of_another_server", env: map[string]string{"AgentProgramDirectoryPath": server}, stepURL: "https://ops"},
		{name: "on_a_host_by_name", machine: "octo-02", says: "OCTO-02"},
		{name: "on_a_host_by_full_name", machine: "octo-02.example.com", says: "OCTO-02"},
		{name: "on_a_host_by_machine_id", machine: "renamed", id: "id2", says: "OCTO-02"},
		{name: "on_another_machine", machine: "octo-022", id: "id3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.machine = cmp.Or(c.machine, "jump"); c.machine == "-" {
				c.machine = ""
			}
			g := Guard{Env: func(k string) string { return c.env[k] }, Machine: c.machine, MachineID: c.id, StepURL: c.stepURL, Installation: func(_ context.Context, url string) (string, error) {
				switch url {
				case "https://same", "https://alias":
					return "Target", nil
				case "https://ops":
					return "ops", nil
				case "https://mute":
					return "", nil
				}
				return "", errors.New("connection refused")
			}}
			faults := g.Check(context.Background(), procedure.ServerInfo{InstallationID: "target"}, []procedure.HostFacts{{Computer: "OCTO-01", MachineID: "id1"}, {Computer: "OCTO-02", MachineID: "id2"}, {Computer: "OCTOPUS-PRODUCT", FQDN: "octopus-production-03.example.com", MachineID: "id4"}})
			err := errors.Join(faults...)
			if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, procedure.ErrRefused) || !strings.Contains(fmt.Sprint(err), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

// TestSilentHost: a host that does not tell who it is may be this machine.
func TestSilentHost(t *testing.T) {
	t.Parallel()
	g := Guard{Env: func(string) string { return "" }, Machine: "jump"}
	if err := errors.Join(g.Check(context.Background(), procedure.ServerInfo{}, []procedure.HostFacts{{}})...); !errors.Is(err, procedure.ErrRefused) {
		t.Errorf("got %v", err)
	}
}
