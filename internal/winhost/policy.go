package winhost

import (
	"maps"
	"slices"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// policy is what decides when Windows updates itself; -1 is a number that is not set.
type policy struct {
	NoAutoUpdate int    `json:"noAutoUpdate"`
	AUOptions    int    `json:"auOptions"`
	Day          int    `json:"day"`
	Hour         int    `json:"hour"`
	AlwaysReboot int    `json:"alwaysReboot"`
	Deadline     int    `json:"deadline"`
	NoInternet   int    `json:"noInternet"`
	Server       string `json:"server"`
	ServerError  string `json:"serverError"`
}

// autoInstall is the value of AUOptions with which Windows installs at an hour of its own.
const autoInstall = 4

func (p policy) policy() procedure.UpdatePolicy {
	u := procedure.UpdatePolicy{Server: p.Server, ServerError: p.ServerError, NoInternet: p.NoInternet == 1}
	if p.NoAutoUpdate == 1 {
		return u
	}
	if p.AUOptions == autoInstall {
		u.Restarts = append(u.Restarts, "AUOptions 4: it installs by itself "+when(p.Day, p.Hour))
	}
	if p.AlwaysReboot == 1 {
		u.Restarts = append(u.Restarts, "AlwaysAutoRebootAtScheduledTime")
	}
	if p.Deadline == 1 {
		u.Restarts = append(u.Restarts, "SetComplianceDeadline: it restarts once the deadline of an update is over")
	}
	return u
}

// when reads ScheduledInstallDay (0: every day, 1: Sunday) and ScheduledInstallTime (the hour).
func when(day, hour int) string {
	days := []string{"every day", "on Sundays", "on Mondays", "on Tuesdays", "on Wednesdays", "on Thursdays", "on Fridays", "on Saturdays"}
	text := "at times of its own"
	if day >= 0 && day < len(days) {
		text = days[day]
	}
	if hour >= 0 && hour < 24 {
		text += " at " + twoDigits(hour) + ":00"
	}
	return text
}

func twoDigits(n int) string { return string([]byte{byte('0' + n/10), byte('0' + n%10)}) }

// rivals are the services of agents that patch or restart hosts by themselves, with their products' names. The
// names are the vendors' documented ones; none was seen on a real host yet.
var rivals = map[string]string{
	"CcmExec":                   "Microsoft Configuration Manager",
	"IntuneManagementExtension": "Microsoft Intune",
	"himds":                     "Azure Arc, and with it perhaps Azure Update Manager",
	"WindowsAzureGuestAgent":    "Azure's guest agent, and with it perhaps Azure Update Manager or automatic guest patching",
	"AmazonSSMAgent":            "AWS Systems Manager, and with it perhaps its Patch Manager",
	"google_osconfig_agent":     "Google's OS Config, and with it perhaps its patch management",
	"BESClient":                 "BigFix",
	"Tanium Client":             "Tanium",
	"amagent":                   "Automox",
	"ManageEngine UEMS - Agent": "ManageEngine Endpoint Central",
	"QualysAgent":               "Qualys, and with it perhaps its patch management",
	"ClusSvc":                   "a failover cluster: its roles are not drained by octopatch, and Cluster-Aware Updating may patch it",
}

type agentsRequest struct {
	Agents []string `json:"agents"`
}

func agentNames() []string { return slices.Sorted(maps.Keys(rivals)) }

// agents puts the names of services into words.
func agents(services []string) []string {
	list := []string{}
	for _, s := range services {
		text := "service " + s
		for name, product := range rivals {
			if strings.EqualFold(name, s) {
				text = product + " (service " + s + ")"
			}
		}
		list = append(list, text)
	}
	return list
}
