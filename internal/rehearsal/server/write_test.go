package server

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestEveryWriteInEveryWay: works, refused, unapplied, lost; the world and its record afterwards.
func TestEveryWriteInEveryWay(t *testing.T) {
	t.Parallel()
	writes := []struct {
		what  string
		node  string
		ready func(w *world)
		do    func(w *world, want int)
		done  func(w *world) bool
	}{
		{"octopus drain", "TWO", nil,
			func(w *world, want int) { w.drain("TWO", true, want) },
			func(w *world) bool { return w.nodeNow("TWO").Drained }},
		{"octopus undrain", "TWO", func(w *world) { w.DrainLocal("TWO", true) },
			func(w *world, want int) { w.drain("TWO", false, want) },
			func(w *world) bool { return !w.nodeNow("TWO").Drained }},
		{"octopus maintenance on", "", nil,
			func(w *world, want int) { w.maintain(true, want) },
			func(w *world) bool { return w.Snapshot().Maintenance }},
		{"octopus maintenance off", "", func(w *world) { w.maintenance.on = true },
			func(w *world, want int) { w.maintain(false, want) },
			func(w *world) bool { return !w.Snapshot().Maintenance }},
		{"octopus cancel task", "TWO", nil,
			func(w *world, want int) {
				if status, _, _ := w.ask(http.MethodPost, w.URL()+"/api/tasks/"+w.nodeNow("TWO").Running[0].ID+"/cancel", nil); status != want {
					w.t.Errorf("status %d, want %d", status, want)
				}
			},
			func(w *world) bool { return w.nodeNow("TWO").Running[0].State == "Cancelling" }},
	}
	ways := []struct {
		mode    Mode
		status  int
		applied bool
		fate    string
	}{
		{"", 200, true, "applied"}, {Refused, 500, false, "unapplied"}, {Unapplied, 0, false, "unapplied"}, {Lost, 0, true, "lost reply"},
	}
	for _, c := range writes {
		for _, way := range ways {
			t.Run(c.what+" "+string(way.mode), func(t *testing.T) {
				t.Parallel()
				w := begin(t, "")
				if c.ready != nil {
					c.ready(w)
				}
				if way.mode != "" {
					w.Inject(Injection{What: c.what, Mode: way.mode})
				}
				before := len(w.log.Writes())
				c.do(w, way.status)
				if got := c.done(w); got != way.applied {
					t.Errorf("applied: %v", got)
				}
				got := w.log.Writes()[before:]
				if len(got) != 1 || got[0].What != c.what || got[0].Node != c.node || got[0].Fate != way.fate || got[0].Time.IsZero() {
					t.Errorf("recorded: %+v", got)
				}
			})
		}
	}
}

func TestAnInjectionStrikesTheOneThatItNames(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	w.Inject(Injection{What: "octopus drain", Node: "TWO", Nth: 2, Mode: Refused})
	w.drain("ONE", true, 200)
	w.drain("TWO", true, 200)
	w.drain("TWO", false, 200)
	w.drain("TWO", true, 500)
	w.drain("TWO", true, 200)
	want := []string{"ONE octopus drain: applied", "TWO octopus drain: applied", "TWO octopus undrain: applied", "TWO octopus drain: unapplied", "TWO octopus drain: applied"}
	if diff := cmp.Diff(want, w.fates()); diff != "" {
		t.Error(diff)
	}
}

func TestMaintenanceModeTakesWhatTheVendorsSamplesSend(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	const path = "/api/maintenanceconfiguration"
	if got := w.put(path, object{"IsInMaintenanceMode": "true"}, 200); got["IsInMaintenanceMode"] != true || got["LastModifiedOn"] == nil {
		t.Errorf("%v", got)
	}
	w.put(path, object{"Id": "maintenance", "IsInMaintenanceMode": false}, 200)
	for _, bad := range []any{object{}, object{"IsInMaintenanceMode": "perhaps"}, object{"IsInMaintenanceMode": 1}, "text"} {
		w.put(path, bad, 400)
	}
	if got := len(w.log.Writes()); got != 2 {
		t.Errorf("%d writes recorded: %v", got, w.fates())
	}
}

func TestWritesByWhoMayNotAreRecordedAsRefused(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	running := w.nodeNow("ONE").Running[0].ID
	w.key = ""
	w.drain("ONE", true, 401)
	w.maintain(true, 401)
	w.ask(http.MethodPost, w.URL()+"/api/tasks/"+running+"/cancel", nil)
	w.put("/api/maintenanceconfiguration", "text", 401)
	want := []string{"ONE octopus drain: refused", " octopus maintenance on: refused", "ONE octopus cancel task: refused", " octopus put /api/maintenanceconfiguration: refused"}
	if diff := cmp.Diff(want, w.fates()); diff != "" {
		t.Error(diff)
	}
}

// TestDrainMayBeAskedTwice: the second time changes nothing, and the drain is not drawn anew.
func TestDrainMayBeAskedTwice(t *testing.T) {
	t.Parallel()
	w := begin(t, "")
	w.drain("ONE", true, 200)
	w.pass(settleLeast / 2)
	w.drain("ONE", true, 200)
	w.pass(settleMost - settleLeast/2)
	if got := w.nodeNow("ONE").Running; len(got) > 0 {
		t.Errorf("still running: %v", got)
	}
	w.pass(time.Minute)
}
