package octopus

import (
	"net/http"
	"strings"
	"testing"
)

// mark stands for a secret in a body: no text about the body may repeat it.
const mark = "C4N-4RY"

func fuzzShape[T shape](f *testing.F, check func(*testing.T, T), seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s), "application/json")
		f.Add([]byte(s[:len(s)/2]), "text/html")
	}
	f.Add([]byte("<html>"+mark), "text/html")
	f.Add([]byte("\xef\xbb\xbfnull"), "")
	f.Add([]byte(`{"`+mark+`":"`+mark+`"}`), mark)
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		v, problem := parse[T](answer{status: 200, header: http.Header{"Content-Type": {kind}}, body: body})
		if strings.Contains(problem, mark) && !strings.Contains(kind, mark) || strings.ContainsAny(problem, "\r\n\x1b") || len(problem) > 200 {
			t.Errorf("problem %q", problem)
		}
		if problem == "" {
			check(t, v)
		}
	})
}

func FuzzSummary(f *testing.F) {
	fuzzShape(f, func(t *testing.T, s summary) {
		for _, n := range *s.Nodes {
			if n.ID == "" || n.Name == "" || n.TaskCap == nil || n.Drained == nil || n.IsOffline == nil || n.RunningTaskCount == nil {
				t.Errorf("taken for whole: %+v", n)
			}
		}
	}, `{"Nodes":[{"Id":"N","Name":"`+mark+`","MaxConcurrentTasks":5,"IsInMaintenanceMode":false,"IsOffline":false,"LastSeen":"2026-12-13T02:00:00.000+00:00","RunningTaskCount":0,"Version":"2026.3.1"}]}`,
		`{"Nodes":[{"LastSeen":"`+mark+`"}]}`, `{"Nodes":"`+mark+`"}`)
}

func FuzzTasks(f *testing.F) {
	fuzzShape(f, func(t *testing.T, p taskPage) {
		l := listing{at: map[string]int{}}
		l.add(*p.Items)
		seen := map[string]bool{}
		for _, task := range l.tasks() {
			if task.ID == "" || task.Name == "" || seen[task.ID] || task.State != "Queued" && !task.Active() {
				t.Errorf("task %+v", task)
			}
			seen[task.ID] = true
		}
	}, `{"TotalResults":1,"Items":[{"Id":"T","Name":"Deploy","Description":"`+mark+`","State":"Executing","SpaceId":null,"ServerNode":"N","QueueTime":"2026-12-13T02:00:00.000+00:00","StartTime":null,"HasPendingInterruptions":true}]}`,
		`{"TotalResults":1,"Items":[{"Id":"T","Name":"Deploy","State":"`+mark+`"}]}`)
}

func FuzzMaintenance(f *testing.F) {
	fuzzShape(f, func(t *testing.T, m maintenance) {
		if m.On == nil {
			t.Error("a mode that did not come")
		}
	}, `{"Id":"maintenance","IsInMaintenanceMode":true}`, `{"IsInMaintenanceMode":"`+mark+`"}`)
}
