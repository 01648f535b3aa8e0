// Package guard refuses to patch what octopatch itself runs on: a step of the very server that is to be
// patched would wait for its own task for ever, and a host cannot see itself come back from a reboot.
package guard

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Guard is what is known about where octopatch runs.
type Guard struct {
	Env       func(string) string
	Machine   string // the runner's own computer name
	MachineID string // the hash of its MachineGuid; empty where there is none
	StepURL   string // OCTOPATCH_STEP_SERVER_URL
	// Installation asks the server at an address for its installation id.
	Installation func(ctx context.Context, url string) (string, error)
}

// markers are environment variables that every process inside an Octopus step inherits, from Tentacle or Calamari.
var markers = []string{
	"TentacleHome", "TentacleJournal", "TentacleApplications", "TentacleInstanceName", "TentacleExecutablePath", "TentacleProgramDirectoryPath", "TentacleVersion",
	"AgentProgramDirectoryPath", "OctopusCalamariWorkingDirectory",
}

// builtIn is where Octopus Server's own worker lives; a Tentacle's folder ends differently.
var builtIn = regexp.MustCompile(`(?i)[\\/]Octopus Deploy[\\/]Octopus[\\/]?$`)

// Check returns one refusal for each reason not to go on.
func (g Guard) Check(ctx context.Context, target procedure.ServerInfo, hosts []procedure.HostFacts) []error {
	var faults []error
	if marker := g.inStep(); marker != "" {
		if err := g.anotherServer(ctx, marker, target); err != nil {
			faults = append(faults, err)
		}
	}
	if g.Machine == "" && g.MachineID == "" && len(hosts) > 0 {
		return append(faults, procedure.Refuse("this machine", "its name cannot be read, so it is not proved that it is none of the hosts", "run octopatch from a machine with a host name"))
	}
	for _, h := range hosts {
		if err := g.anotherMachine(h); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// anotherMachine refuses a host that is, or may be, the machine that octopatch runs on.
func (g Guard) anotherMachine(h procedure.HostFacts) error {
	const remedy = "run it from a machine that does not depend on the server: another jump box, a GitHub runner, a worker of another Octopus instance"
	named := func(host string) bool { return g.Machine != "" && strings.EqualFold(short(g.Machine), short(host)) }
	switch {
	case h.Computer == "" && h.FQDN == "":
		return procedure.Refuse("this machine", "a host does not tell its name, so it is not proved that it is another machine", remedy)
	case g.MachineID != "" && g.MachineID == h.MachineID, named(h.Computer), named(h.FQDN): // Computer is cut at 15 characters
		return procedure.Refuse("this machine", fmt.Sprintf("octopatch runs on %s, which is one of the hosts to be patched", h.Computer), remedy)
	}
	return nil
}

func short(name string) string {
	name, _, _ = strings.Cut(name, ".")
	return name
}

// inStep names the first marker of an Octopus step, "" outside of one.
func (g Guard) inStep() string {
	i := slices.IndexFunc(markers, func(m string) bool { return g.Env(m) != "" })
	if i < 0 {
		return ""
	}
	return markers[i]
}

// anotherServer proves that the step belongs to another installation than the target's; what cannot be proved
// is refused.
func (g Guard) anotherServer(ctx context.Context, marker string, target procedure.ServerInfo) error {
	where := "a step of an Octopus Server"
	for _, name := range []string{"AgentProgramDirectoryPath", "TentacleProgramDirectoryPath"} {
		if builtIn.MatchString(g.Env(name)) {
			where = "a step on the built-in worker of an Octopus Server"
		}
	}
	if g.StepURL == "" {
		return procedure.Refuse("OCTOPATCH_STEP_SERVER_URL", fmt.Sprintf("octopatch runs inside %s (%s is set), and it is not proved that this is another server than the one to be patched", where, marker),
			"set it to the address of the server that runs this step; its system variable Octopus.Web.ServerUri holds it")
	}
	id, err := g.Installation(ctx, g.StepURL)
	switch {
	case err != nil:
		return &procedure.Fault{Kind: procedure.ErrRefused, Subject: "OCTOPATCH_STEP_SERVER_URL", Problem: "the server that runs this step cannot be asked who it is", Cause: err,
			Remedy: "correct the address, or run octopatch outside of Octopus"}
	case id == "" || target.InstallationID == "":
		return procedure.Refuse("OCTOPATCH_STEP_SERVER_URL", "a server does not tell its installation id, so it is not proved that they are two", "run octopatch outside of Octopus")
	case strings.EqualFold(id, target.InstallationID):
		return procedure.Refuse("octopatch", fmt.Sprintf("runs inside %s, and that is the very server to be patched: it would wait for its own task", where),
			"run it from a separate Octopus instance, a GitHub runner or a jump box")
	}
	return nil
}
