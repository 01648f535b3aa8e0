package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// database is Octopus' own: rows, and a log of every write that Octopus made to them. Nothing but Octopus writes to it;
// whoever reverts the machine that it lies on puts it back.
type database struct {
	rows map[string]string
	log  []string // "row = value", oldest first
}

func (d *database) set(row string, value any) {
	if d.rows == nil {
		d.rows = map[string]string{}
	}
	d.rows[row] = fmt.Sprint(value)
	d.log = append(d.log, row+" = "+d.rows[row])
}

func (d database) copy() database {
	return database{rows: maps.Clone(d.rows), log: slices.Clone(d.log)}
}

// lost says what is not so any more that was so before: what was logged then is not there, or the rows are not what
// the log says that Octopus wrote. Empty: Octopus alone has written to it.
func (d *database) lost(before database) string {
	if len(d.log) < len(before.log) || !slices.Equal(d.log[:len(before.log)], before.log) {
		return fmt.Sprintf("its log was rewound: %d entries are there of %q", len(d.log), before.log)
	}
	replayed := map[string]string{}
	for _, entry := range d.log {
		row, value, _ := strings.Cut(entry, " = ")
		replayed[row] = value
	}
	if !maps.Equal(replayed, d.rows) {
		return fmt.Sprintf("its rows are %q, and Octopus wrote %q", d.rows, replayed)
	}
	return ""
}

// content is every row that stands for something lasting: tasks come and go.
func (d *database) content() string {
	text := ""
	for _, row := range slices.Sorted(maps.Keys(d.rows)) {
		if !strings.HasPrefix(row, "task ") {
			text += row + " = " + d.rows[row] + "\n"
		}
	}
	return text
}

// drain, maintain and runs are the writes of the server: each changes the database with the state that it stands for.
func (n *fakeNode) drain(on bool) {
	n.state.Drained = on
	n.w.db.set("node "+n.state.Name+" drained", on)
}

func (w *world) maintain(on bool) {
	w.maintenance = on
	w.db.set("maintenance", on)
}

// runs starts the service, or stops it.
func (n *fakeNode) runs(yes bool) {
	state := "Stopped"
	if yes && !n.neverRuns {
		state = "Running"
	}
	if state == "Running" {
		n.lastSeen = time.Time{}
	} else if n.service.State == "Running" {
		n.lastSeen = time.Now()
	}
	if n.service.State = state; n.w.db.rows["server "+n.state.Name] != state {
		n.w.db.set("server "+n.state.Name, state)
	}
}

// endTask ends a task that Octopus was executing.
func (w *world) endTask(id, state string) {
	for i := range w.tasks {
		if w.tasks[i].ID == id && w.tasks[i].Active() {
			w.tasks[i].State = state
			w.db.set("task "+id, state)
		}
	}
}
