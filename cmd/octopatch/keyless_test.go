package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// TestKeyless: a run without a key renews its login, and never while the only server is stopped.
func TestKeyless(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			if nodes > 1 && testing.Short() {
				t.Skip("a minute on its own")
			}
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Keyless: true, Nodes: nodes})
				before := w.State()
				for _, looks := range []string{"preflight", "plan"} {
					octopatch(t.Context(), w.Environ(), looks).wants(t, 0)
				}
				began := w.OctopusRequests().ByClass["token"]
				got := octopatch(t.Context(), w.Environ(), "run")
				got.wants(t, 0)
				allKept(t, w, before)
				classes := w.OctopusRequests().ByClass
				if spent := classes["token"] - began; nodes == 3 && (spent < 4 || spent > 8) { // discovery and exchange, each hour
					t.Errorf("%d requests for tokens in the run", spent)
				}
				if classes["token while stopped"] > 0 {
					t.Errorf("a login was renewed while nothing could answer")
				}
				if strings.Contains(got.out+got.errs, "eyJ") {
					t.Error("a token shows")
				}
			})
		})
	}
}

// TestKeylessInAStep: every token is masked before it is used, and none shows otherwise.
func TestKeylessInAStep(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Keyless: true})
		got := octopatch(t.Context(), with(w.Environ(), "GITHUB_ACTIONS=true"), "preflight")
		got.wants(t, 0)
		masks := 0
		for line := range strings.Lines(got.out + got.errs) {
			if strings.HasPrefix(line, "::add-mask::eyJ") {
				masks++
			} else if strings.Contains(line, "eyJ") {
				t.Errorf("a token shows: %s", line)
			}
		}
		if masks != 2 {
			t.Errorf("%d tokens were masked, not that of GitHub and that of Octopus", masks)
		}
	})
}

// TestKeylessLost: a login that is lost while a node is out of service is made up for on the host, and no other node
// is begun.
func TestKeylessLost(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Faults: "token-refused"})
		got := octopatch(t.Context(), w.Environ(), "run")
		got.wants(t, 6, "the identity of the service account was removed", "doing it on the host with Octopus.Server.exe", "OCTO-01            + node done", "!eyJ")
		if drained(w, "OCTO-01") || wrote(w, "OCTO-02", "octopus drain") || wrote(w, "OCTO-02", "host stop") {
			t.Error("the first node was left in drain mode, or the second was begun")
		}
	})
}

// TestKeylessEndsTooSoon: no node is begun that would not be back before the login ends, and nothing is changed.
func TestKeylessEndsTooSoon(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Faults: "job-token-short"})
		before := w.State()
		octopatch(t.Context(), w.Environ(), "run").wants(t, 5, "the login to Octopus ends at", "and node OCTO-01 is taken to need")
		putBack(t, w, before)
		for _, node := range []string{"OCTO-01", "OCTO-02"} {
			if wrote(w, node, "octopus drain") {
				t.Errorf("%s was drained", node)
			}
		}
	})
}

// TestKeylessRefuses: what stands in the way of a keyless login is one refusal each.
func TestKeylessRefuses(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Keyless: true})
		octopatch(t.Context(), with(w.Environ(), "ACTIONS_ID_TOKEN_REQUEST_URL="), "run").wants(t, 4, "OCTOPATCH_SERVICE_ACCOUNT_ID: is set, and this job is given no ID tokens", "id-token: write")
		octopatch(t.Context(), with(w.Environ(), "ACTIONS_ID_TOKEN_REQUEST_TOKEN=opaque"), "run").wants(t, 4, "does not say until when access tokens can be renewed")
		octopatch(t.Context(), with(w.Environ(), "OCTOPUS_API_KEY=API-KEY"), "plan").wants(t, 4, "OCTOPUS_API_KEY: is set, and so is OCTOPATCH_SERVICE_ACCOUNT_ID")
		octopatch(t.Context(), with(w.Environ(), "OCTOPATCH_SERVICE_ACCOUNT_ID=not this one"), "plan").wants(t, 4, "is not the id of a service account")
		octopatch(t.Context(), with(w.Environ(), "OCTOPATCH_SERVICE_ACCOUNT_ID=another"), "plan").wants(t, 4, "there is no such service account", "repo:octopatch/rehearsal:environment:production")
		short := token(time.Hour)
		octopatch(t.Context(), with(w.Environ(), "OCTOPUS_ACCESS_TOKEN="+short, "ACTIONS_ID_TOKEN_REQUEST_URL="), "run").wants(t, 4, "OCTOPUS_ACCESS_TOKEN: ends at", "!"+short)
	})
}
