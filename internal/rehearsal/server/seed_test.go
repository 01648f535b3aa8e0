package server

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/octopatch/octopatch/internal/clock"
)

// history is what happened to the tasks, with times from the world's beginning.
func (w *world) history() []string {
	w.Snapshot()
	var list []string
	for _, t := range w.tasks {
		list = append(list, fmt.Sprintf("%d %s %s %v %v", t.number, t.name, t.state, t.queue.Sub(w.began).Round(time.Second), t.completed.Sub(w.began).Round(time.Second)))
	}
	return list
}

func TestASeedIsTheSameWorldHoweverOftenOneLooks(t *testing.T) {
	t.Parallel()
	run := func(step time.Duration) []string {
		w := begin(t, "")
		act := map[time.Duration]func(){
			3 * time.Minute:  func() { w.DrainLocal("TWO", true) },
			9 * time.Minute:  func() { w.ServiceStopped("TWO", true) },
			15 * time.Minute: func() { w.ServiceStarted("TWO") },
			21 * time.Minute: func() { w.DrainLocal("TWO", false) },
		}
		for passed := time.Duration(0); passed < time.Hour; passed += step {
			if do := act[passed]; do != nil {
				do()
			}
			w.pass(step)
			w.Snapshot()
		}
		return w.history()
	}
	often, seldom := run(time.Second), run(3*time.Minute)
	if diff := cmp.Diff(often, seldom); diff != "" {
		t.Error(diff)
	}
	other := begin(t, "")
	if slices.Equal(often, other.history()) {
		t.Error("the histories compare equal to a world that has not lived")
	}
}

func TestADrainLastsTheSameAFewSecondsLater(t *testing.T) {
	t.Parallel()
	lasts := func(after time.Duration) time.Duration {
		w := begin(t, "")
		w.pass(after)
		w.drain("TWO", true, 200)
		began := w.Snapshot().Time
		for len(w.nodeNow("TWO").Running) > 0 {
			w.pass(time.Second)
		}
		return w.Snapshot().Time.Sub(began).Round(time.Second)
	}
	want := lasts(10 * time.Minute)
	for _, late := range []time.Duration{time.Second, 7 * time.Second, 33 * time.Second, 90 * time.Second} {
		if got := lasts(10*time.Minute + late); got != want {
			t.Errorf("%v later it lasts %v, not %v", late, got, want)
		}
	}
}

// TestManyAtOnce lets clients ask while nodes go and come, on a clock that runs.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := beginWith(t, "", clock.New(time.Now(), 500))
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 40 {
				w.ask("GET", w.URL()+"/api/tasks?spaces=all", nil)
				w.ask("GET", w.NodeURL("TWO")+nodesPath+"/ping", nil)
			}
		})
	}
	for i := range 6 {
		w.ServiceStopped("TWO", i%2 == 0)
		w.Downtime()
		w.ServiceStarted("TWO")
		w.Snapshot()
	}
	clients.Wait()
	if got := w.Requests().Total; got < 160 {
		t.Errorf("%d requests", got)
	}
}

// No t.Parallel: it counts all goroutines.
func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	c, err := New(Options{Clock: clock.New(time.Now(), 100), Nodes: threeNodes, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	a, err := (&http.Client{Transport: transport}).Get(c.URL() + "/api")
	if err != nil {
		t.Fatal(err)
	}
	_ = a.Body.Close()
	c.ServiceStopped("ONE", true)
	c.Close()
	c.Close()
	transport.CloseIdleConnections()
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		_ = (clock.Clock{}).Sleep(t.Context(), 10*time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

func TestNewRefusesHalfAWorld(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Key: key}, {Nodes: threeNodes}} {
		if c, err := New(o); err == nil {
			c.Close()
			t.Errorf("%v was accepted", o)
		}
	}
}
