package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// newWorld builds a world that ends with the test.
func newWorld(t *attempt, o rehearsal.Options) *rehearsal.World {
	t.Helper()
	if o.Nodes == 0 {
		o.Nodes = 2
	}
	if o.Speed == 0 {
		o.Speed = t.speed
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	w, err := rehearsal.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// with is an environment in which later values of a variable win; an empty one unsets it.
func with(environ []string, more ...string) []string {
	values := map[string]string{}
	for _, item := range slices.Concat(environ, more) {
		name, value, _ := strings.Cut(item, "=")
		values[name] = value
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list = append(list, name+"="+values[name])
	}
	return list
}

// value is that of one variable.
func value(environ []string, name string) string {
	for _, item := range environ {
		if n, v, _ := strings.Cut(item, "="); n == name {
			return v
		}
	}
	return ""
}

// judge is a test, or one attempt at it.
type judge interface {
	Helper()
	Errorf(format string, args ...any)
	Log(args ...any)
	Failed() bool
}

// ending is what one call of octopatch left on its streams.
type ending struct {
	exit      int
	out, errs string
}

// octopatch calls the program as main does, in this process.
func octopatch(ctx context.Context, environ []string, args ...string) ending {
	var out, errs bytes.Buffer
	code := run(ctx, args, environ, &out, &errs)
	return ending{code, out.String(), errs.String()}
}

// wants holds exit code and words; words beginning with ! must not be there.
func (e ending) wants(t judge, exit int, words ...string) {
	t.Helper()
	all := e.out + e.errs
	if e.exit != exit {
		t.Errorf("exit code %d, want %d", e.exit, exit)
	}
	for _, w := range words {
		if not, found := strings.CutPrefix(w, "!"); found == strings.Contains(all, not) {
			t.Errorf("%q is wanted", w)
		}
	}
	if t.Failed() {
		t.Log(all)
	}
}

// untouched holds a world against what it was: no write reached it, and no host is other than before.
func untouched(t *attempt, w *rehearsal.World, before rehearsal.State) {
	t.Helper()
	for _, write := range w.Log.Writes() {
		t.Errorf("a write reached the world: %+v", write)
	}
	after := w.State()
	for _, p := range rehearsal.Compare(before, after) {
		if !p.Kept && !p.Asked && !strings.HasPrefix(p.What, "no file") {
			t.Errorf("%s: not so any more: %s", p.Node, p.What)
		}
	}
	for name, host := range after.Hosts {
		if a, b := fmt.Sprint(before.Hosts[name]), fmt.Sprint(host); a != b {
			t.Errorf("host %s was %s and is %s", name, a, b)
		}
	}
}

// allKept holds every promise of a good run.
func allKept(t *attempt, w *rehearsal.World, before rehearsal.State) {
	t.Helper()
	after := w.State()
	for _, p := range rehearsal.Compare(before, after) {
		if !p.Kept && !excused(p) {
			t.Errorf("%s: broken: %s", p.Node, p.What)
		}
	}
	for _, n := range after.Cluster.Nodes {
		if _, ours := after.Hosts[n.Name]; ours && !n.Serving {
			t.Errorf("%s does not serve", n.Name)
		}
	}
}

// inTurn lists what a list was while something was done, each time that it changed.
func inTurn(list func() []string, during func()) (seen []string) {
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			if now := fmt.Sprint(list()); len(seen) == 0 || seen[len(seen)-1] != now {
				seen = append(seen, now)
			}
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	during()
	close(done)
	watch.Wait()
	return seen
}
