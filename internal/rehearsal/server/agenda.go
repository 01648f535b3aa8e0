package server

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"time"
)

// event is something that happens by itself.
type event struct {
	at    time.Time
	order int // of events at the same time
	do    func()
}

// agenda holds the events to come, the next one first.
type agenda struct {
	events []event
	count  int
}

func (a *agenda) Len() int      { return len(a.events) }
func (a *agenda) Swap(i, j int) { a.events[i], a.events[j] = a.events[j], a.events[i] }
func (a *agenda) Push(x any)    { a.events = append(a.events, x.(event)) }

func (a *agenda) Less(i, j int) bool {
	if a.events[i].at.Equal(a.events[j].at) {
		return a.events[i].order < a.events[j].order
	}
	return a.events[i].at.Before(a.events[j].at)
}

func (a *agenda) Pop() any {
	last := a.events[len(a.events)-1]
	a.events[len(a.events)-1] = event{}
	a.events = a.events[:len(a.events)-1]
	return last
}

// after plans do for d from the moment that is being played.
func (c *Cluster) after(d time.Duration, do func()) {
	c.agenda.count++
	heap.Push(&c.agenda, event{at: c.now.Add(d), order: c.agenda.count, do: do})
}

// play lets everything happen that is due until then, in order, each at its own time.
func (c *Cluster) play(until time.Time) {
	for len(c.agenda.events) > 0 && !c.agenda.events[0].at.After(until) {
		e := heap.Pop(&c.agenda).(event)
		c.now = e.at
		e.do()
		c.noteUsers(c.now)
	}
	if until.After(c.now) {
		c.now = until
	}
}

func hash(parts ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprintln(h, parts...)
	return h.Sum64()
}
