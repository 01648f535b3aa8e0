package server

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// taskResource is a task as the API shows it.
type taskResource struct {
	Id, Name, Description                                                 string //nolint:revive,staticcheck // Octopus' spelling
	Arguments                                                             map[string]string
	State, Completed                                                      string
	IsCompleted, FinishedSuccessfully                                     bool
	HasPendingInterruptions                                               bool
	PendingInterruptionTypes                                              []string
	HasPendingPreconditions                                               bool
	PendingPreconditionTypes                                              []string
	HasWarningsOrErrors, HasBeenPickedUpByProcessor, CanRerun             bool
	QueueTime, QueueTimeExpiry, StartTime, LastUpdatedTime, CompletedTime *string
	Duration, ErrorMessage                                                string
	ServerNode, SpaceId, ProjectId                                        *string //nolint:revive,staticcheck // Octopus' spelling
	EstimatedRemainingQueueDurationSeconds                                int
	Links                                                                 links
}

func (t *task) id() string { return fmt.Sprintf("ServerTasks-%d", t.number) }

// serverNode is the node's id; on old servers its name.
func (c *Cluster) serverNode(t *task, answering *node) string {
	switch {
	case t.node == nil:
		return ""
	case c.faults.Has("octopus-2019", answering.name):
		return t.node.name
	}
	return t.node.id
}

func (c *Cluster) taskResource(t *task, answering *node) taskResource {
	self := "/api/tasks/" + t.id()
	v := taskResource{
		Id: t.id(), Name: t.name, Description: t.description, Arguments: map[string]string{},
		State: t.state, Completed: "Incomplete", IsCompleted: !t.open(), FinishedSuccessfully: t.state == success,
		HasPendingInterruptions: t.waits != "", PendingInterruptionTypes: []string{}, PendingPreconditionTypes: []string{},
		HasWarningsOrErrors: t.state == failed, HasBeenPickedUpByProcessor: !t.start.IsZero(), CanRerun: !t.open() && !t.ofUsers(),
		QueueTime: stamp(t.queue), QueueTimeExpiry: stamp(t.expiry), StartTime: stamp(t.start), LastUpdatedTime: stamp(t.start),
		CompletedTime: stamp(t.completed), ErrorMessage: t.problem, ServerNode: text(c.serverNode(t, answering)), SpaceId: text(t.space),
		Links: links{"Self": self, "Raw": self + "/raw", "Details": self + "/details{?verbose,tail}", "Cancel": self + "/cancel"},
	}
	if t.waits != "" {
		v.PendingInterruptionTypes = []string{t.waits}
	}
	switch {
	case !t.open():
		v.Completed, v.LastUpdatedTime = t.completed.UTC().Format(time.RFC1123), stamp(t.completed)
		if !t.start.IsZero() {
			v.Duration = t.completed.Sub(t.start).Round(time.Second).String()
		}
	case t.active() && t.killed == "":
		v.LastUpdatedTime = stamp(c.now)
	}
	if t.ofUsers() {
		argument := map[string]string{"Deploy": "DeploymentId", "RunbookRun": "RunbookRunId"}[t.name]
		v.Arguments[argument] = fmt.Sprintf("%ss-%d", strings.TrimSuffix(argument, "Id"), t.number)
		v.ProjectId = text("Projects-1")
	}
	return v
}

// text is a string, or null where Octopus leaves it out.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// hidden reports whether the key may not see the task.
func (c *Cluster) hidden(t *task) bool {
	return t.space != "" && c.seesLittle() && t.space != spaces[0].id
}

// listTasks filters and pages, newest first. Without the parameter spaces it shows the default space alone,
// and system tasks only if they are asked for: what a real server does then is written nowhere.
func (c *Cluster) listTasks(r *request) reply {
	matches := c.taskFilter(r)
	var found []*task
	totals := map[string]int{queued: 0, executing: 0, cancelling: 0, success: 0, failed: 0, canceled: 0, timedOut: 0}
	for _, t := range slices.Backward(c.tasks) {
		if matches(t) {
			found = append(found, t)
			totals[t.state]++
		}
	}
	skip, take, problem := window(r)
	if problem != "" {
		return refusal(http.StatusBadRequest, problem)
	}
	var list []taskResource
	for _, t := range found[min(skip, len(found)):min(skip+take, len(found))] {
		list = append(list, c.taskResource(t, r.node))
	}
	return ok(struct {
		collection[taskResource]
		TotalCounts map[string]int
	}{collect("Task", list, len(found), take), totals})
}

// taskFilter reads the parameters; all of them must match.
func (c *Cluster) taskFilter(r *request) func(*task) bool {
	query := r.URL.Query()
	states, ids, names, wanted := fields(r, "states"), fields(r, "ids"), fields(r, "name"), fields(r, "spaces")
	node := query.Get("node")
	among := func(list []string, value string) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, value) })
	}
	yes := func(name string) bool { return strings.EqualFold(query.Get(name), "true") }
	inSpace := func(t *task) bool {
		switch {
		case len(ids) > 0:
			return true
		case t.space == "":
			return yes("includeSystem")
		case len(wanted) == 0:
			return t.space == spaces[0].id
		}
		return slices.Contains(wanted, "all") || among(wanted, t.space)
	}
	return func(t *task) bool {
		return !c.hidden(t) && inSpace(t) && among(states, t.state) && among(ids, t.id()) && among(names, t.name) &&
			(!yes("running") || t.active()) && (!yes("active") || t.open()) &&
			(node == "" || t.node != nil && strings.EqualFold(node, c.serverNode(t, r.node))) &&
			(query.Get("hasPendingInterruptions") == "" || yes("hasPendingInterruptions") == (t.waits != ""))
	}
}

// collection is a page of resources.
type collection[T any] struct {
	ItemType                                                  string
	TotalResults, ItemsPerPage, NumberOfPages, LastPageNumber int
	Items                                                     []T
	Links                                                     links
}

// takeDefault is how many a page has when nothing is said.
const takeDefault = 30

func collect[T any](kind string, items []T, total, take int) collection[T] {
	if items == nil {
		items = []T{}
	}
	pages := max(1, (total+take-1)/take)
	return collection[T]{ItemType: kind, TotalResults: total, ItemsPerPage: take, NumberOfPages: pages, LastPageNumber: pages - 1, Items: items, Links: links{}}
}

func paged[T any](r *request, kind string, all []T) reply {
	skip, take, problem := window(r)
	if problem != "" {
		return refusal(http.StatusBadRequest, problem)
	}
	return ok(collect(kind, all[min(skip, len(all)):min(skip+take, len(all))], len(all), take))
}

// window reads skip and take.
func window(r *request) (skip, take int, problem string) {
	read := func(query url.Values, name string, otherwise, least int) int {
		value := query.Get(name)
		if value == "" {
			return otherwise
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > 1<<30 {
			problem = "The value '" + value + "' of the parameter " + name + " is not valid."
		}
		return n
	}
	query := r.URL.Query()
	return read(query, "skip", 0, 0), read(query, "take", takeDefault, 1), problem
}

func (c *Cluster) byTaskID(id string) *task {
	number, err := strconv.Atoi(strings.TrimPrefix(id, "ServerTasks-"))
	i := number - firstTask
	if err != nil || i < 0 || i >= len(c.tasks) || c.hidden(c.tasks[i]) {
		return nil
	}
	return c.tasks[i]
}

func (c *Cluster) readTask(r *request) reply {
	t := c.byTaskID(r.id)
	if t == nil {
		return missing(r.id)
	}
	return ok(c.taskResource(t, r.node))
}
