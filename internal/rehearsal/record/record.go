// Package record is the simulated world's own log of the writes that reached it, against which tests
// and reports are held.
package record

import (
	"sync"
	"time"
)

// Write is one change that was asked of the world.
type Write struct {
	Time   time.Time `json:"time"`           // simulated
	Node   string    `json:"node,omitempty"` // Octopus node name, or empty for the cluster
	What   string    `json:"what"`           // stable name: "octopus drain", "octopus undrain", "octopus maintenance on", "host stop", "host reboot", …
	Detail string    `json:"detail,omitempty"`
	Fate   string    `json:"fate"` // "applied", "refused", "lost reply" (applied, not answered), "unapplied" (answered with an error or a reset, world unchanged)
}

// Span is time that the world itself took for something: a service that starts, an installation, a reboot.
type Span struct {
	Node string
	What string
	From time.Time // simulated
	To   time.Time
}

// Log collects writes and what the world took its time for; its methods may be called from any goroutine.
type Log struct {
	mu     sync.Mutex
	writes []Write
	spans  []Span
	notice func(n int)
	decide func(Write) Fate
}

// Fate is what becomes of a write that is about to be carried out, as Write names it.
type Fate string

// The fates of a write.
const (
	AsItComes Fate = ""
	Unapplied Fate = "unapplied"  // the connection is cut before anything is done
	Lost      Fate = "lost reply" // it is done, and the connection is cut
)

// Decide has f decide the fate of each further write, right before it would be carried out.
func (l *Log) Decide(f func(Write) Fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.decide = f
}

// FateOf is what is to become of a write; nobody has decided anything where there is no log.
func (l *Log) FateOf(w Write) Fate {
	if l == nil {
		return AsItComes
	}
	l.mu.Lock()
	decide := l.decide
	l.mu.Unlock()
	if decide == nil {
		return AsItComes
	}
	return decide(w)
}

// Notice has f called with the number of writes so far at each further write, before its answer leaves the world.
func (l *Log) Notice(f func(n int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notice = f
}

// Add appends one write.
func (l *Log) Add(w Write) {
	l.mu.Lock()
	l.writes = append(l.writes, w)
	n, notice := len(l.writes), l.notice
	l.mu.Unlock()
	if notice != nil {
		notice(n)
	}
}

// Writes returns a copy of what has been logged so far, oldest first.
func (l *Log) Writes() []Write {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Write(nil), l.writes...)
}

// Took appends one span.
func (l *Log) Took(s Span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spans = append(l.spans, s)
}

// Spans returns a copy of the spans, in the order in which they ended.
func (l *Log) Spans() []Span {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Span(nil), l.spans...)
}
