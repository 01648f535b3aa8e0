package server

import (
	"fmt"
	"net/http"
	"time"
)

// links are the addresses that a resource gives for what belongs to it.
type links map[string]string

// userID is that of the service account behind the key.
const userID = "Users-21"

// stamp is a time as Octopus writes it; null when there is none.
func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format("2006-01-02T15:04:05.000-07:00")
	return &text
}

func (c *Cluster) portal(*request) reply {
	return page(http.StatusOK, "Octopus Deploy", "Loading the portal.")
}

func (c *Cluster) root(r *request) reply {
	return ok(struct {
		Application, Version, ApiVersion, InstallationId string //nolint:revive,staticcheck // Octopus' spelling
		IsEarlyAccessProgram, HasLongTermSupport         bool
		Links                                            links
	}{"Octopus Deploy", r.node.version, "3.0.0", c.installation, false, true, links{
		"Self": "/api", "CurrentUser": "/api/users/me", "MaintenanceConfiguration": "/api/maintenanceconfiguration",
		"OctopusServerNodes": "/api/octopusservernodes{/id}{?skip,take,ids,partialName}",
		"ServerStatus":       "/api/serverstatus",
		"Tasks":              "/api/tasks{/id}{?skip,active,environment,tenant,runbook,project,name,node,running,states,hasPendingInterruptions,hasWarningsOrErrors,take,ids,partialName,spaces,includeSystem,description,fromCompletedDate,toCompletedDate,fromQueueDate,toQueueDate,fromStartDate,toStartDate}",
	}})
}

func (c *Cluster) serverStatus(r *request) reply {
	return ok(struct {
		IsDatabaseEncrypted, IsInMaintenanceMode, IsMajorMinorUpgrade, IsPotentialClone, IsUpgradeAvailable bool
		MaintenanceExpires, MaximumAvailableVersion, MaximumAvailableVersionCoveredByLicense                string
		Links                                                                                               links
	}{IsDatabaseEncrypted: true, IsInMaintenanceMode: c.maintenance.on, MaintenanceExpires: "in 7 months",
		MaximumAvailableVersion: r.node.version, MaximumAvailableVersionCoveredByLicense: r.node.version,
		Links: links{"Self": "/api/serverstatus", "Health": "/api/serverstatus/health", "SystemInfo": "/api/serverstatus/system-info"}})
}

// health answers 418 when the server does not operate normally, which is when nobody would take a task.
func (c *Cluster) health(*request) reply {
	draining := true
	for _, n := range c.nodes {
		draining = draining && (n.drained || n.gone)
	}
	a := ok(struct {
		IsOperatingNormally, IsEntireClusterDrainingTasks, IsEntireClusterReadOnly, IsCompliantWithLicense bool
		Description                                                                                        string
		Links                                                                                              links
	}{!draining, draining, c.maintenance.on, true, "Octopus is operating normally.", links{"Self": "/api/serverstatus/health"}})
	if draining {
		a.status = http.StatusTeapot
	}
	return a
}

func (c *Cluster) systemInfo(r *request) reply {
	return ok(struct {
		Version, OSVersion, ClrVersion, Uptime           string
		ThreadCount, MinThreadPoolCount, WorkingSetBytes int
		Links                                            links
	}{r.node.version, "Microsoft Windows 10.0.20348", "8.0.11", timespan(c.now.Sub(r.node.processStart)), 96, 400, 812_000_000,
		links{"Self": "/api/serverstatus/system-info"}})
}

// timespan writes a duration as .NET does: [d.]hh:mm:ss.
func timespan(d time.Duration) string {
	s := int(d.Seconds())
	text := fmt.Sprintf("%02d:%02d:%02d", s/3600%24, s/60%60, s%60)
	if days := s / 86400; days > 0 {
		text = fmt.Sprintf("%d.%s", days, text)
	}
	return text
}

func (c *Cluster) me(*request) reply {
	return ok(struct {
		Id, Username, DisplayName, EmailAddress string //nolint:revive,staticcheck // Octopus' spelling
		IsActive, IsService, IsRequestor        bool
		Identities                              []string
		Created                                 *string
		Links                                   links
	}{userID, "patching", "OS patching", "", true, true, true, []string{}, stamp(c.began.Add(-300 * 24 * time.Hour)),
		links{"Self": "/api/users/" + userID, "Permissions": "/api/users/" + userID + "/permissions{?includeSystem,spaces}"}})
}

// permissions differ by role: System Administrator has AdministerSystem, System Manager has not.
func (c *Cluster) permissions(r *request) reply {
	if r.id != userID {
		return missing(r.id)
	}
	system := []string{"ConfigureServer", "SpaceView", "TaskCancel", "TaskCreate", "TaskView", "TeamView", "UserView"}
	if !c.faults.Has("key-not-admin", r.node.name) {
		system = append([]string{"AdministerSystem"}, system...)
	}
	type restriction struct {
		SpaceId                                                                                                string //nolint:revive,staticcheck // Octopus' spelling
		RestrictedToProjectIds, RestrictedToEnvironmentIds, RestrictedToTenantIds, RestrictedToProjectGroupIds []string
	}
	none := []string{}
	var view []restriction
	for _, s := range c.visibleSpaces() {
		view = append(view, restriction{s, none, none, none, none})
	}
	return ok(struct {
		Id, Username                           string //nolint:revive,staticcheck // Octopus' spelling
		SystemPermissions                      []string
		SpacePermissions                       map[string][]restriction
		Teams                                  []string
		IsPermissionsComplete, IsTeamsComplete bool
		Links                                  links
	}{userID, "patching", system, map[string][]restriction{"TaskView": view}, none, true, true, links{"Self": "/api/users/" + userID + "/permissions"}})
}

func (c *Cluster) visibleSpaces() []string {
	var ids []string
	for _, s := range spaces {
		ids = append(ids, s.id)
	}
	if c.seesLittle() {
		return ids[:1]
	}
	return ids
}

func (c *Cluster) allSpaces(*request) reply {
	type space struct {
		Id, Name, Slug              string //nolint:revive,staticcheck // Octopus' spelling
		IsDefault, TaskQueueStopped bool
		Links                       links
	}
	visible := c.visibleSpaces()
	list := make([]space, len(visible))
	for i, id := range visible {
		list[i] = space{id, spaces[i].name, id, i == 0, false, links{"Self": "/api/spaces/" + id}}
	}
	return ok(list)
}

func missing(id string) reply {
	return refusal(http.StatusNotFound, "The resource '"+id+"' was not found.")
}

func (c *Cluster) readMaintenance(*request) reply {
	by := c.maintenance.modifiedBy
	return ok(struct {
		Id                  string //nolint:revive,staticcheck // Octopus' spelling
		IsInMaintenanceMode bool
		LastModifiedOn      *string
		LastModifiedBy      string
		Links               links
	}{"maintenance", c.maintenance.on, stamp(c.maintenance.modifiedOn), by, links{"Self": "/api/maintenanceconfiguration"}})
}
