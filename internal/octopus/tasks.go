package octopus

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

const tasksPath = "/api/tasks"

// Paging. New tasks come in at the top and completed ones fall out between two pages, so rows move both ways:
// each page begins before the end of the last one and must show a task that is known from it.
const (
	pageSize    = 1000
	pageOverlap = 20
	pagesMost   = 200
)

// taskPage is one page of /api/tasks.
type taskPage struct {
	Items        *[]taskItem
	TotalResults *int
}

// taskItem is one task of it.
type taskItem struct {
	ID                      string `json:"Id"`
	Name                    string
	Description             string
	State                   string
	SpaceID                 string `json:"SpaceId"`
	ServerNode              string
	QueueTime               moment
	QueueTimeExpiry         moment
	StartTime               moment
	HasPendingInterruptions bool
}

func (p taskPage) gap() string {
	if gap := absent(need{"Items", p.Items != nil}, need{"TotalResults", p.TotalResults != nil}); gap != "" {
		return gap
	}
	for i, t := range *p.Items {
		gap := absent(need{"Id", t.ID != ""}, need{"Name", t.Name != ""}, need{"State", t.State != ""})
		if _, known := unfinished(t.State); gap == "" && !known {
			gap = "JSON in which State is none that is known" + plain(t.State)
		}
		if gap != "" {
			return fmt.Sprintf("%s (task %d of %d)", gap, i+1, len(*p.Items))
		}
	}
	return ""
}

// unfinished says whether a task in that state is still to complete, and whether the state is known at all.
func unfinished(state string) (is, known bool) {
	switch state {
	case "Queued", "Executing", "Cancelling":
		return true, true
	case "Success", "Failed", "Canceled", "TimedOut":
		return false, true
	}
	return false, false
}

// plain shows a single short word, and nothing of anything else.
func plain(text string) string {
	other := func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }
	if len(text) > 30 || strings.ContainsFunc(text, other) {
		return ""
	}
	return ", " + text
}

// Tasks lists every task that is Queued, Executing or Cancelling, in all spaces, system tasks included, newest
// first. A task of a node tells the node's id, on old servers its name: procedure.Task.On knows both.
func (c *Client) Tasks(ctx context.Context) ([]procedure.Task, error) { return c.tasks(ctx, pageSize) }

func (c *Client) tasks(ctx context.Context, size int) ([]procedure.Task, error) {
	l := listing{at: map[string]int{}}
	skip := 0
	for range pagesMost {
		q := call{path: tasksPath, query: map[string]string{
			"states": "Queued,Executing,Cancelling", "spaces": "all", "includeSystem": "true",
			"take": strconv.Itoa(size), "skip": strconv.Itoa(skip),
		}}
		page, err := ask[taskPage](ctx, c, q)
		if err != nil {
			return nil, err
		}
		items := *page.Items
		joined := l.add(items)
		end := skip + len(items)
		switch {
		case skip > 0 && !joined: // so many completed meanwhile that rows were missed: go back
			skip = max(0, skip-size)
		case len(items) == 0 && *page.TotalResults > end:
			return nil, c.unreadable(q, fmt.Sprintf("no tasks although there are %d", *page.TotalResults))
		case end >= *page.TotalResults:
			return l.tasks(), nil
		default: // a server may give fewer than were asked for
			skip = end - min(pageOverlap, len(items)/2)
		}
	}
	return nil, &procedure.Fault{Kind: procedure.ErrUnreadable, Subject: c.at.url, Problem: fmt.Sprintf("GET %s does not end after %d pages", tasksPath, pagesMost),
		Remedy: "look at Octopus' Tasks page, and cancel what should not be queued"}
}

// listing gathers pages; a task that is met again is kept as it was met last.
type listing struct {
	items []taskItem
	at    map[string]int
}

// add reports whether the page holds a task that an earlier page held.
func (l *listing) add(page []taskItem) (joined bool) {
	before := len(l.items)
	for _, t := range page {
		i, known := l.at[t.ID]
		if known {
			joined = joined || i < before
			l.items[i] = t
			continue
		}
		l.at[t.ID] = len(l.items)
		l.items = append(l.items, t)
	}
	return joined
}

func (l *listing) tasks() []procedure.Task {
	tasks := make([]procedure.Task, 0, len(l.items))
	for _, t := range l.items {
		if is, _ := unfinished(t.State); !is {
			continue // completed between two pages, or the server does not know the filter
		}
		tasks = append(tasks, procedure.Task{
			ID: t.ID, Name: t.Name, Description: t.Description, State: t.State, SpaceID: t.SpaceID, Node: t.ServerNode,
			QueueTime: t.QueueTime.Time, QueueExpiry: t.QueueTimeExpiry.Time, StartTime: t.StartTime.Time,
			WaitsForUser: t.HasPendingInterruptions,
		})
	}
	return tasks
}

// CancelTask asks Octopus to cancel a task; the node that runs it does so later, and Tasks shows when.
func (c *Client) CancelTask(ctx context.Context, id string) error {
	q := call{method: http.MethodPost, path: tasksPath + "/" + url.PathEscape(id) + "/cancel"}
	a, err := c.do(ctx, q)
	if err != nil {
		return err
	}
	if _, problem := parse[anything](a); problem != "" && len(a.body) > 0 {
		return c.unreadable(q, problem)
	}
	return nil
}

// anything is a JSON object of which nothing is needed.
type anything struct{}

func (anything) gap() string { return "" }
