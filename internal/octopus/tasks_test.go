package octopus

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

// queue serves tasks by number, newest first; between pages it may change.
type queue struct {
	ids     []int
	most    int
	pages   int
	between func(*queue)
}

func (q *queue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	skip, _ := strconv.Atoi(r.URL.Query().Get("skip"))
	take, _ := strconv.Atoi(r.URL.Query().Get("take"))
	if q.most > 0 {
		take = min(take, q.most)
	}
	items := []map[string]any{}
	for _, id := range q.ids[min(skip, len(q.ids)):min(skip+take, len(q.ids))] {
		items = append(items, map[string]any{"Id": fmt.Sprint("ServerTasks-", id), "Name": "Deploy", "State": "Queued", "QueueTime": "2026-12-13T01:00:00.000+00:00"})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"Items": items, "TotalResults": len(q.ids)})
	q.pages++
	if q.between != nil {
		q.between(q)
	}
}

func numbers(n int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = n - i
	}
	return ids
}

func (q *queue) client(t *testing.T) *Client {
	t.Helper()
	server := httptest.NewServer(q)
	t.Cleanup(server.Close)
	c, err := New(Options{URL: server.URL, Key: secret.New("API-X"), Clock: clock.New(time.Now(), 2)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestTenThousandTasks(t *testing.T) {
	t.Parallel()
	for most, pages := range map[int]int{0: 11, 300: 36} { // a server may give fewer than were asked for
		q := &queue{ids: numbers(10_000), most: most}
		tasks, err := q.client(t).Tasks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(tasks) != 10_000 || tasks[0].ID != "ServerTasks-10000" || tasks[9_999].ID != "ServerTasks-1" || q.pages != pages {
			t.Errorf("%d tasks in %d pages, want %d", len(tasks), q.pages, pages)
		}
	}
}

// TestTasksThatMove: whatever comes in or completes between pages, no task that stays is missed or told twice.
func TestTasksThatMove(t *testing.T) {
	t.Parallel()
	complete := func(n int) func(*queue) {
		return func(q *queue) {
			if q.pages <= 4 { // the newest of those that were there at first
				q.ids = slices.DeleteFunc(q.ids, func(id int) bool { return id <= 500 && id > 500-n*q.pages })
			}
		}
	}
	next := 500
	for name, between := range map[string]func(*queue){
		"none_move": nil,
		"some_come": func(q *queue) {
			for range 30 {
				next++
				q.ids = slices.Insert(q.ids, 0, next)
			}
		},
		"a_few_complete":  complete(5),
		"many_complete":   complete(60), // more than the pages overlap
		"all_complete":    func(q *queue) { q.ids = nil },
		"one_page_leaves": func(q *queue) { q.ids = q.ids[:min(len(q.ids), 120)] },
	} {
		t.Run(name, func(t *testing.T) {
			q := &queue{ids: numbers(500), between: between}
			tasks, err := q.client(t).tasks(t.Context(), 100)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			for _, task := range tasks {
				seen[task.ID]++
				if seen[task.ID] > 1 {
					t.Errorf("%s is told twice", task.ID)
				}
			}
			for _, id := range q.ids {
				if id <= 500 && seen[fmt.Sprint("ServerTasks-", id)] == 0 {
					t.Fatalf("task %d was there all the time and is missed (%d pages)", id, q.pages)
				}
			}
		})
	}
}

func TestTasksWithoutEnd(t *testing.T) {
	t.Parallel()
	next := 1000
	q := &queue{ids: numbers(1000), between: func(q *queue) {
		for range 100 {
			next++
			q.ids = slices.Insert(q.ids, 0, next)
		}
	}}
	_, err := q.client(t).tasks(t.Context(), 20)
	if !errors.Is(err, procedure.ErrUnreadable) || q.pages != pagesMost {
		t.Errorf("%d pages: %v", q.pages, err)
	}
}

func TestCompletedTasksAreLeftOut(t *testing.T) {
	t.Parallel()
	v, problem := parse[taskPage](answer{body: []byte(`{"TotalResults":2,"Items":[{"Id":"T1","Name":"Deploy","State":"Success"},{"Id":"T2","Name":"Deploy","State":"Cancelling"}]}`)})
	if problem != "" {
		t.Fatal(problem)
	}
	l := listing{at: map[string]int{}}
	l.add(*v.Items)
	if tasks := l.tasks(); len(tasks) != 1 || tasks[0].ID != "T2" || !tasks[0].QueueTime.IsZero() {
		t.Errorf("%+v", tasks)
	}
}
