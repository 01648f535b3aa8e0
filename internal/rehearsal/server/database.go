package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Database is what Octopus keeps in its own: rows, and a log of every write that the server made to them, oldest first.
// Nobody else writes to it; only a revert of the machine that it lies on puts it back.
type Database struct {
	Rows map[string]string
	Log  []Entry
}

// Entry is one write.
type Entry struct {
	Time       time.Time // simulated
	Row, Value string
}

// store writes a row as the server does. The caller holds the lock.
func (c *Cluster) store(row string, value any) {
	if c.database.Rows == nil {
		c.database.Rows = map[string]string{}
	}
	text := fmt.Sprint(value)
	c.database.Rows[row] = text
	c.database.Log = append(c.database.Log, Entry{c.now, row, text})
}

func (d Database) clone() Database {
	return Database{Rows: maps.Clone(d.Rows), Log: slices.Clone(d.Log)}
}

// Lost says what is not so any more that was so before: an entry of the log is gone or another one, or the rows are not
// what the log says that Octopus wrote. Empty: its content and its log are what Octopus alone has made of them.
func (d Database) Lost(before Database) string {
	if len(d.Log) < len(before.Log) || !slices.Equal(d.Log[:len(before.Log)], before.Log) {
		return fmt.Sprintf("its log had %d entries and has %d: it was rewound", len(before.Log), len(d.Log))
	}
	replayed := map[string]string{}
	for _, e := range d.Log {
		replayed[e.Row] = e.Value
	}
	if !maps.Equal(replayed, d.Rows) {
		return "its rows are not those that its log says that Octopus wrote"
	}
	return ""
}

// Content is every row that lasts, sorted: tasks come and go.
func (d Database) Content() []string {
	var list []string
	for row, value := range d.Rows {
		if !strings.HasPrefix(row, "task ") {
			list = append(list, row+" = "+value)
		}
	}
	slices.Sort(list)
	return list
}

// storeAll writes what is so from the beginning.
func (c *Cluster) storeAll() {
	c.store("maintenance", c.maintenance.on)
	for _, n := range c.nodes {
		c.store("node "+n.name+" drained", n.drained)
		c.store("node "+n.name+" task cap", n.taskCap)
		c.store("node "+n.name+" version", n.version)
	}
}

// SaveDatabase keeps the database as it is now, for a machine that it lies on; restore puts it back, with all that
// Octopus knows.
func (c *Cluster) SaveDatabase() (restore func()) {
	c.enter()
	defer c.leave()
	database, due, on := c.database.clone(), slices.Clone(c.due), c.maintenance.on
	var tasks []task
	for _, t := range c.tasks {
		tasks = append(tasks, *t)
	}
	type flags struct {
		drained bool
		taskCap int
	}
	nodes := map[*node]flags{}
	for _, n := range c.nodes {
		nodes[n] = flags{n.drained, n.taskCap}
	}
	return func() {
		c.enter()
		defer c.leave()
		c.database, c.due, c.maintenance.on = database.clone(), slices.Clone(due), on
		c.tasks = c.tasks[:len(tasks)]
		for i, was := range tasks {
			was.finishing = c.tasks[i].finishing + 1 // what was planned since is void
			*c.tasks[i] = was
		}
		for n, was := range nodes {
			n.drained, n.taskCap = was.drained, was.taskCap
		}
	}
}
