package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEveryEndpointAnswersWithItsFields(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	node := nodesPath + "/OctopusServerNodes-TWO"
	task := items(w.get("/api/tasks?spaces=all&take=1", 200), "Items")[0]["Id"].(string)
	for _, c := range []struct {
		path   string
		fields string
	}{
		{"/api", "Application Version ApiVersion InstallationId IsEarlyAccessProgram HasLongTermSupport Links"},
		{"/api/", "Version"},
		{"/api/serverstatus", "IsDatabaseEncrypted IsInMaintenanceMode IsMajorMinorUpgrade IsPotentialClone IsUpgradeAvailable MaintenanceExpires MaximumAvailableVersion MaximumAvailableVersionCoveredByLicense Links"},
		{"/api/serverstatus/health", "IsOperatingNormally IsEntireClusterDrainingTasks IsEntireClusterReadOnly IsCompliantWithLicense Description"},
		{"/api/serverstatus/system-info", "Version OSVersion ClrVersion Uptime ThreadCount MinThreadPoolCount WorkingSetBytes"},
		{"/api/maintenanceconfiguration", "Id IsInMaintenanceMode LastModifiedOn LastModifiedBy Links"},
		{nodesPath, "ItemType TotalResults ItemsPerPage NumberOfPages LastPageNumber Items Links"},
		{nodesPath + "/summary", "Nodes Links"},
		{nodesPath + "/ping", "Id Name LastSeen IsOffline MaxConcurrentTasks IsInMaintenanceMode Version Links"},
		{node, "Id Name MaxConcurrentTasks IsInMaintenanceMode LastModifiedOn LastModifiedBy Links"},
		{node + "/details", "Id RunningTasks Links"},
		{"/api/tasks", "ItemType TotalResults ItemsPerPage NumberOfPages LastPageNumber Items TotalCounts Links"},
		{"/api/tasks/" + task, "Id Name Description Arguments State Completed IsCompleted FinishedSuccessfully HasPendingInterruptions PendingInterruptionTypes HasPendingPreconditions HasWarningsOrErrors HasBeenPickedUpByProcessor CanRerun QueueTime QueueTimeExpiry StartTime LastUpdatedTime CompletedTime Duration ErrorMessage ServerNode SpaceId ProjectId Links"},
		{"/api/users/me", "Id Username DisplayName IsActive IsService EmailAddress IsRequestor Identities Created Links"},
		{"/api/users/Users-21/permissions?includeSystem=true", "SystemPermissions SpacePermissions Teams IsPermissionsComplete IsTeamsComplete"},
	} {
		got := w.get(c.path, 200)
		for field := range strings.FieldsSeq(c.fields) {
			if _, has := got[field]; !has {
				t.Errorf("%s has no %s: %v", c.path, field, got)
			}
		}
	}
	for _, path := range []string{nodesPath + "/all", "/api/spaces/all"} {
		if status, _, text := w.ask("GET", w.URL()+path, nil); status != 200 || text[0] != '[' {
			t.Errorf("%s: %d %.40s, want a bare array", path, status, text)
		}
	}
	summary := w.summaryOf("ONE")
	for _, field := range strings.Fields("Id Name MaxConcurrentTasks IsInMaintenanceMode IsOffline LastSeen RunningTaskCount Version Links") {
		if _, has := summary[field]; !has {
			t.Errorf("the summary has no %s: %v", field, summary)
		}
	}
}

func TestTheKeyOpensWhatNeedsOne(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	open := []string{"/", "/api", "/api/serverstatus/health", nodesPath + "/ping"}
	closed := []string{"/api/serverstatus", "/api/serverstatus/system-info", "/api/maintenanceconfiguration", nodesPath, nodesPath + "/all", nodesPath + "/summary",
		nodesPath + "/OctopusServerNodes-ONE", "/api/tasks", "/api/users/me", "/api/spaces/all"}
	for _, given := range []string{"", "API-WRONG"} {
		w.key = given
		for _, path := range open {
			if status, _, _ := w.ask("GET", w.URL()+path, nil); status != 200 {
				t.Errorf("%s with key %q: %d", path, given, status)
			}
		}
		for _, path := range closed {
			if got := w.get(path, 401)["ErrorMessage"].(string); got == "" {
				t.Errorf("%s: no ErrorMessage", path)
			}
		}
	}
	r, _ := http.NewRequest("GET", w.URL()+"/api/users/me", nil)
	r.Header.Set("Authorization", "Bearer "+key)
	a, err := w.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = a.Body.Close()
	if a.StatusCode != 200 {
		t.Errorf("an access token: %d", a.StatusCode)
	}
}

func TestWhatThereIsNot(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/api/nothing", 404}, {"GET", nodesPath + "/OctopusServerNodes-NOBODY", 404}, {"GET", nodesPath + "/X/details", 404},
		{"GET", "/api/tasks/ServerTasks-1", 404}, {"GET", "/api/tasks/x", 404}, {"POST", "/api/tasks/ServerTasks-1/cancel", 404},
		{"GET", "/api/users/Users-1/permissions", 404}, {"DELETE", nodesPath + "/OctopusServerNodes-ONE", 405},
		{"GET", "/api/tasks?take=x", 400}, {"GET", "/api/tasks?skip=-1", 400}, {"GET", "/api/tasks?take=0", 400},
	} {
		status, _, text := w.ask(c.method, w.URL()+c.path, nil)
		if got := w.parse(c.path, status, c.want, text)["ErrorMessage"]; got == "" || got == nil {
			t.Errorf("%s: no ErrorMessage", c.path)
		}
	}
	if status, _, _ := w.ask("PUT", w.URL()+nodesPath+"/OctopusServerNodes-ONE", object{"Id": "OctopusServerNodes-TWO"}); status != 400 {
		t.Errorf("a PUT with another node's Id: %d", status)
	}
	if got := w.fates(); got != nil {
		t.Errorf("recorded: %v", got)
	}
}

func TestEachNodeAnswersAsItself(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	for _, name := range threeNodes {
		if got := w.getAt(w.NodeURL(name), nodesPath+"/ping", 200)["Name"]; got != name {
			t.Errorf("the address of %s is answered by %v", name, got)
		}
		if got := w.getAt(w.NodeURL(name), "/api", 200)["InstallationId"]; got != w.InstallationID() {
			t.Errorf("%s is of installation %v", name, got)
		}
	}
	met := map[string]bool{}
	for range threeNodes {
		met[w.get(nodesPath+"/ping", 200)["Name"].(string)] = true
	}
	if len(met) != 3 {
		t.Errorf("the balancer sent three requests to %v", met)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	w.get("/api", 200)
	w.getAt(w.NodeURL("TWO"), nodesPath+"/ping", 200)
	w.get("/api/tasks", 200)
	w.maintain(true, 200)
	want := Requests{Total: 4, Changes: 1, ByClass: map[string]int{"api": 1, "ping": 1, "tasks": 1, "maintenance": 1}}
	if diff := cmp.Diff(want, w.Requests()); diff != "" {
		t.Error(diff)
	}
}

func TestTasksAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	count := func(query string) int {
		t.Helper()
		return int(w.get("/api/tasks?take=1&"+query, 200)["TotalResults"].(float64))
	}
	all := count("spaces=all&includeSystem=true")
	spacesOnly, system := count("spaces=all"), count("spaces=all&includeSystem=true")-count("spaces=all")
	if system == 0 || spacesOnly == 0 || all <= finishedBefore {
		t.Fatalf("%d tasks, %d of spaces, %d of the system", all, spacesOnly, system)
	}
	if sum := count("spaces=Spaces-1") + count("spaces=Spaces-2,Spaces-3"); sum != spacesOnly {
		t.Errorf("spaces one by one have %d tasks, all have %d", sum, spacesOnly)
	}
	if got := count(""); got != count("spaces=Spaces-1") {
		t.Errorf("without spaces: %d, want those of the default space", got)
	}
	everywhere := "spaces=all&includeSystem=true&"
	if got, want := count(everywhere+"states=Executing&states=Cancelling"), count(everywhere+"running=true"); got != want || got == 0 {
		t.Errorf("running: %d, by states: %d", want, got)
	}
	if got, want := count(everywhere+"active=true"), len(w.openTasks()); got != want {
		t.Errorf("active: %d, open: %d", got, want)
	}
	if got := count(everywhere + "hasPendingInterruptions=true"); got != 1 {
		t.Errorf("paused: %d, want 1", got)
	}
	if got := count(everywhere + "ids="); got != all {
		t.Errorf("an empty ids filter: %d, want all %d", got, all)
	}
	onNode := 0
	for _, name := range threeNodes {
		onNode += count(everywhere + "running=true&node=OctopusServerNodes-" + name)
	}
	if got := count(everywhere + "running=true"); got != onNode {
		t.Errorf("node by node: %d, together %d", onNode, got)
	}

	var paged []string
	for skip := 0; skip < all; skip += 7 {
		page := w.get("/api/tasks?"+everywhere+"take=7&skip="+itoa(skip), 200)
		if page["NumberOfPages"].(float64) != float64((all+6)/7) || page["LastPageNumber"].(float64) != float64((all+6)/7-1) || page["ItemsPerPage"].(float64) != 7 {
			t.Errorf("page: %v of %v", page["LastPageNumber"], page["NumberOfPages"])
		}
		for _, item := range items(page, "Items") {
			paged = append(paged, item["Id"].(string))
		}
	}
	if len(paged) != all || !slices.IsSortedFunc(paged, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("pages bring %d of %d tasks, newest first: %v", len(paged), all, paged)
	}
	one := w.get("/api/tasks?ids="+paged[3]+","+paged[9], 200)
	if got := items(one, "Items"); len(got) != 2 || got[0]["Id"] != paged[3] {
		t.Errorf("by ids: %v", got)
	}
}

func TestWhatIsQueued(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	var later []time.Duration
	paused := 0
	for _, task := range w.openTasks() {
		at, err := time.Parse(time.RFC3339, task["QueueTime"].(string))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case task["HasPendingInterruptions"] == true:
			paused++
			if task["State"] != "Queued" || task["StartTime"] == nil || task["ServerNode"] != "OctopusServerNodes-ONE" {
				t.Errorf("the paused task: %v", task)
			}
		case task["State"] == "Queued" && at.After(w.Snapshot().Time):
			later = append(later, at.Sub(w.Snapshot().Time).Round(time.Minute))
		}
	}
	slices.Sort(later)
	if !slices.Equal(later, []time.Duration{30 * time.Minute, 2 * time.Hour}) || paused != 1 {
		t.Errorf("scheduled in %v, %d paused", later, paused)
	}
}
