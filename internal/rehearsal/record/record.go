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

// Log collects writes; its methods may be called from any goroutine.
type Log struct {
	mu     sync.Mutex
	writes []Write
}

// Add appends one write.
func (l *Log) Add(w Write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = append(l.writes, w)
}

// Writes returns a copy of what has been logged so far, oldest first.
func (l *Log) Writes() []Write {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Write(nil), l.writes...)
}
