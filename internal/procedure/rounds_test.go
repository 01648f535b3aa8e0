package procedure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
)

// roundsHost is a host whose worker answers as the test says; boots counts its boots.
type roundsHost struct {
	Host
	results []WorkResult // the last one again and again
	orders  []WorkOrder
	reboots int
	boots   int
	leaves  bool // restarts by itself at the next Ready
}

func (h *roundsHost) windows() Windows { return Windows{Boot: fmt.Sprint(h.boots), Build: "20348"} }

func (h *roundsHost) Probe(context.Context) (HostFacts, error) {
	return HostFacts{Windows: h.windows()}, nil
}

func (h *roundsHost) Work(_ context.Context, _ Change, o WorkOrder, _ func(WorkProgress)) (WorkResult, error) {
	h.orders = append(h.orders, o)
	r := h.results[min(len(h.orders), len(h.results))-1]
	for i := range r.Outcomes { // a fresh id for each round where none is given
		if r.Outcomes[i].ID == "new" {
			r.Outcomes = []UpdateOutcome{r.Outcomes[i]}
			r.Outcomes[0].ID = fmt.Sprint("new-", len(h.orders))
			r.Updates = []Update{{ID: r.Outcomes[0].ID, Definition: r.Outcomes[0].Title == "definition"}}
		}
	}
	return r, nil
}

func (h *roundsHost) Reboot(context.Context, Change) error {
	h.reboots++
	h.boots++
	return nil
}

func (h *roundsHost) Ready(_ context.Context, want Readiness, _ func(string)) (Windows, error) {
	if h.leaves {
		h.leaves = false
		h.boots++
	}
	if want.BootBefore == h.windows().Boot {
		return Windows{}, &Fault{Kind: ErrTimeout, Problem: "it never restarted"}
	}
	return h.windows(), nil
}

func outcome(id string, helps Helps, ok bool) UpdateOutcome {
	o := UpdateOutcome{ID: id, Title: id, Step: "install", Succeeded: ok, Helps: helps}
	if !ok {
		o.Code, o.Words = "0x80240016", "wants a reboot"
	}
	return o
}

func result(outcomes ...UpdateOutcome) WorkResult { return WorkResult{Outcomes: outcomes} }

func TestRounds(t *testing.T) {
	t.Parallel()
	nothing := WorkResult{}
	again := result(outcome("a", "", true))
	reboots := result(outcome("new", "", true))
	reboots.Reboot = true
	warned := WorkResult{Warnings: []string{"0x8024000E an update is not understood"}}
	for _, c := range []struct {
		name    string
		results []WorkResult
		rules   func(*Rules)
		leaves  bool
		rounds  int
		reboots int
		fails   string // part of the failure; empty: none
		warns   string
	}{
		{name: "nothing", results: []WorkResult{nothing}, rounds: 1},
		{name: "until_nothing_is_left", results: []WorkResult{result(outcome("a", "", true)), result(outcome("b", "", true)), nothing}, rounds: 3},
		{name: "a_reboot_helps", results: []WorkResult{result(outcome("a", HelpsReboot, false)), result(outcome("a", "", true)), nothing}, rounds: 3, reboots: 1},
		{name: "a_reboot_does_not_help", results: []WorkResult{result(outcome("a", HelpsReboot, false))}, rounds: 2, reboots: 1, fails: "a: wants a reboot"},
		{name: "a_reboot_helps_the_search", results: []WorkResult{{Code: "0x8024A204", Problem: "not finished", Helps: HelpsReboot}, again, nothing}, rounds: 3, reboots: 1},
		{name: "two_that_a_reboot_helps", results: []WorkResult{result(outcome("a", HelpsReboot, false)), result(outcome("a", "", true)), result(outcome("b", HelpsReboot, false)), result(outcome("b", "", true)), nothing}, rounds: 5, reboots: 2},
		{name: "a_reboot_that_is_not_allowed", results: []WorkResult{result(outcome("a", HelpsReboot, false))}, rules: func(r *Rules) { r.Reboot = RebootNever }, rounds: 1, fails: "a: wants a reboot"},
		{name: "restarts_already", results: []WorkResult{result(outcome("a", HelpsRestart, false)), again, nothing}, leaves: true, rounds: 3, warns: "shutting down"},
		{name: "restart_taken_back", results: []WorkResult{result(outcome("a", HelpsRestart, false)), again, nothing}, rounds: 3, warns: "taken back"},
		{name: "no_error", results: []WorkResult{result(outcome("a", HelpsNotNeeded, false))}, rounds: 1, warns: "a was not installed"},
		{name: "nobody_helps", results: []WorkResult{result(outcome("a", HelpsNobody, false))}, rounds: 1, fails: "a: wants a reboot"},
		{name: "fails_and_later_works", results: []WorkResult{result(outcome("a", HelpsNobody, false), outcome("b", "", true)), again, nothing}, rounds: 3},
		{name: "loop", results: []WorkResult{again}, rounds: 2, fails: "update loop"},
		{name: "definitions_never_end", results: []WorkResult{result(UpdateOutcome{ID: "new", Title: "definition", Step: "install", Succeeded: true})}, rounds: 1},
		{name: "rounds_are_capped", results: []WorkResult{result(outcome("new", "", true))}, rounds: 5, fails: "after 5 rounds"},
		{name: "reboots_are_capped", results: []WorkResult{reboots}, rules: func(r *Rules) { r.MaxReboots = 2 }, rounds: 3, reboots: 2, fails: "more than 2 reboots"},
		{name: "the_worker_died", results: []WorkResult{{Code: "0x00041306", Problem: "ended by somebody"}}, rounds: 1, fails: "ended by somebody"},
		{name: "the_search_warns", results: []WorkResult{warned}, rounds: 1, warns: "0x8024000E"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := &roundsHost{results: c.results, boots: 1, leaves: c.leaves}
			clk := clock.New(time.Now(), 1000)
			rules := Rules{Reboot: RebootIfRequired, MaxRounds: 5, MaxReboots: 5, RebootTimeout: time.Hour}
			if c.rules != nil {
				c.rules(&rules)
			}
			said := ""
			report := &NodeReport{Node: "A"}
			s := &Step{Run: "r1", Phase: Patch, Rules: rules, Clock: clk, Host: h, Node: "A", Book: OpenBook(Journal{Run: "r1"}, clk, nil), Report: report, Tell: func(e Event) { said += e.Message + "\n" }}
			err := (&rounds{Step: s}).run(context.Background())
			var failed *UpdatesFailed
			switch {
			case c.fails == "" && err != nil, c.fails != "" && !errors.As(err, &failed):
				t.Errorf("ended in %v", err)
			case c.fails != "" && !strings.Contains(err.Error(), c.fails):
				t.Errorf("ended in %v, want %q", err, c.fails)
			}
			if len(h.orders) != c.rounds || h.reboots != c.reboots {
				t.Errorf("%d rounds and %d reboots, want %d and %d", len(h.orders), h.reboots, c.rounds, c.reboots)
			}
			if !strings.Contains(said, c.warns) {
				t.Errorf("said %q, want %q", said, c.warns)
			}
		})
	}
}
