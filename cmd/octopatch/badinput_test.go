package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// refusals is what ends in exit code 4 before anything is changed: the fault that the world has or the variables
// that are set, and what the refusal must name.
var refusals = []struct {
	name   string
	nodes  int
	faults string
	env    []string
	args   []string // run when not said
	names  []string // the variable or node, what is wrong, and the remedy
	logins int      // passwords that the hosts may turn away
}{
	{name: "no URL", env: []string{"OCTOPUS_URL="}, names: []string{"OCTOPUS_URL: is not set", "set it to the address"}},
	{name: "no login", env: []string{"OCTOPUS_API_KEY="}, names: []string{"OCTOPUS_API_KEY: is not set", "OCTOPUS_ACCESS_TOKEN"}},
	{name: "both key and token", env: []string{"OCTOPUS_ACCESS_TOKEN=ey.ab.cd"}, names: []string{"OCTOPUS_API_KEY: is set, and so is OCTOPUS_ACCESS_TOKEN", "keep one of them"}},
	{name: "unknown phase", args: []string{"reboot"}, names: []string{"octopatch reboot: is no command", "octopatch help"}},
	{name: "unknown phase in the environment", env: []string{"OCTOPATCH_PHASE=drain"}, args: []string{}, names: []string{"octopatch drain: is no command"}},
	{name: "unknown enum", env: []string{"OCTOPATCH_REBOOT=sometimes"}, names: []string{`OCTOPATCH_REBOOT: "sometimes" is not one of if-required, always, never`}},
	{name: "unknown precaution", env: []string{"OCTOPATCH_PRECAUTION=prayer"}, names: []string{`OCTOPATCH_PRECAUTION: "prayer" is not one of none`}},
	{name: "no precaution", env: []string{"OCTOPATCH_PRECAUTION="}, names: []string{"OCTOPATCH_PRECAUTION: is not set", "set it to none"}},
	{name: "bad duration", env: []string{"OCTOPATCH_DRAIN_TIMEOUT=an hour"}, names: []string{"OCTOPATCH_DRAIN_TIMEOUT: "}},
	{name: "duration out of its limits", env: []string{"OCTOPATCH_DRAIN_TIMEOUT=1s"}, names: []string{"OCTOPATCH_DRAIN_TIMEOUT: 1s is not between 1m and 168h"}},
	{name: "bad KB", env: []string{"OCTOPATCH_EXCLUDE_KBS=KB12x"}, names: []string{`OCTOPATCH_EXCLUDE_KBS: "KB12x" is not a KB number`, "write it like KB5031234"}},
	{name: "unknown variable", env: []string{"OCTOPATCH_NODS=all"}, names: []string{"OCTOPATCH_NODS: is not a setting", "did you mean OCTOPATCH_NODES?"}},
	{name: "no nodes", env: []string{"OCTOPATCH_NODES="}, names: []string{"OCTOPATCH_NODES: is not set, and unset never means all", "list the nodes"}},
	{name: "node of another cluster", env: []string{"OCTOPATCH_NODES=OCTO-09=127.0.0.1:5986"}, names: []string{`OCTOPATCH_NODES: "OCTO-09" is not a node`, "its nodes are OCTO-01, OCTO-02", "correct the name"}},
	{name: "another machine", faults: "wrong-machine@OCTO-02", names: []string{"OCTOPATCH_NODES: node OCTO-02 is mapped to host 127.", "SOMEBODY-ELSE", "write NAME=host"}},
	{name: "second instance", faults: "second-instance@OCTO-01", names: []string{"node OCTO-01: its host", "also runs the Octopus Server instance", "OCTOPATCH_SERVICES"}},
	{name: "key of no administrator", faults: "key-not-admin", names: []string{"OCTOPUS_API_KEY: ", "lacks the permission AdministerSystem", "System Administrator"}},
	{name: "key that is refused", faults: "key-refused", names: []string{"OCTOPUS_API_KEY", "401"}},
	{name: "key that sees fewer tasks", faults: "key-sees-little", names: []string{"OCTOPUS_API_KEY: node OCTO-0", "that this key cannot see", "System Administrator"}},
	{name: "all nodes drained", faults: "all-drained", names: []string{"every node is drained already", "exit drain mode"}},
	{name: "nobody to carry the work", faults: "drained-before@OCTO-02", names: []string{"node OCTO-01: no other node is online, undrained", "exit its drain mode"}},
	{name: "nobody with a task cap", faults: "lone-node-capped@OCTO-01", names: []string{"node OCTO-01: no other node is online, undrained", "raise its task cap"}},
	{name: "wrong password", faults: "wrong-password", names: []string{"OCTO-01", "OCTOPATCH_WINRM_PASSWORD"}, logins: 1},
	{name: "certificate not trusted", faults: "untrusted-certificate@OCTO-02", names: []string{"node OCTO-02: OCTOPATCH_WINRM_FINGERPRINT: expects 00", "presents ", "set the variable to it"}},
	{name: "certificate of nobody", env: []string{"OCTOPATCH_WINRM_FINGERPRINT="}, names: []string{"OCTO-01", "OCTOPATCH_WINRM_FINGERPRINT", "OCTOPATCH_WINRM_CA_FILE"}},
	{name: "constrained language", faults: "constrained-language@OCTO-01", names: []string{"OCTO-01", "ConstrainedLanguage"}},
	{name: "foreign folder", faults: "foreign-folder@OCTO-02", names: []string{"node OCTO-02", "cannot be trusted", "delete it by hand"}},
	{name: "HTML", faults: "html", names: []string{"OCTOPUS_URL", "HTML"}},
	{name: "truncated JSON", faults: "truncated-json", names: []string{"127."}},
	{name: "listed node offline", nodes: 3, faults: "node-offline@OCTO-03", names: []string{"OCTOPATCH_NODES: node OCTO-03 is offline (last seen ", "bring it online"}},
	{name: "one of two offline", faults: "node-offline@OCTO-02", names: []string{"OCTOPATCH_TOPOLOGY: cannot be told: Octopus knows 2 nodes, 1 of them online", "set it to single or ha"}},
	{name: "said to be single", env: []string{"OCTOPATCH_TOPOLOGY=single"}, names: []string{"OCTOPATCH_TOPOLOGY: says single, and 2 nodes are online"}},
	{name: "said to be ha", nodes: 1, env: []string{"OCTOPATCH_TOPOLOGY=ha"}, names: []string{"OCTOPATCH_TOPOLOGY: says ha, and Octopus knows one node only"}},
	{name: "WinRM over plain HTTP", env: []string{"OCTOPATCH_WINRM_TLS=false", "OCTOPATCH_WINRM_FINGERPRINT="}, names: []string{"OCTO-01", "HTTP 400"}},
	{name: "Basic over plain HTTP", env: []string{"OCTOPATCH_WINRM_TLS=false", "OCTOPATCH_WINRM_AUTH=basic", "OCTOPATCH_WINRM_FINGERPRINT="}, names: []string{"OCTOPATCH_WINRM_TLS: is false", "in clear"}},
	{name: "clock of a rehearsal for a real server", env: []string{"OCTOPUS_URL=https://octopus.example.com"}, names: []string{"OCTOPATCH_REHEARSAL_CLOCK: is set, and octopus.example.com is not a loopback address"}},
	{name: "directories that cannot be written to", env: []string{"OCTOPATCH_REPORT_DIR=" + os.Args[0] + "/report", "OCTOPATCH_STATE_DIR=" + os.Args[0] + "/state"}, names: []string{"OCTOPATCH_REPORT_DIR: cannot be written to", "OCTOPATCH_STATE_DIR: cannot be written to", "name a directory"}},
	{name: "a run that nobody has begun", env: []string{"OCTOPATCH_RUN_ID=20260101-000000-abcd"}, names: []string{"OCTOPATCH_RUN_ID: no node of OCTOPATCH_NODES has an open run 20260101-000000-abcd", "octopatch status"}},
}

// remedy is what stands last in a refusal, in brackets.
var remedy = regexp.MustCompile(`\([^()]*(\([^()]*\)[^()]*)*\)$`)

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Nodes: c.nodes, Faults: c.faults})
				before := w.State()
				args := c.args
				if args == nil {
					args = []string{"run"}
				}
				got := octopatch(t.Context(), with(w.Environ(), c.env...), args...)
				got.wants(t, 4, c.names...)
				for line := range strings.SplitSeq(strings.TrimSpace(got.errs), "\n") {
					if !strings.HasPrefix(line, "octopatch: ") || !remedy.MatchString(line) {
						t.Errorf("a refusal without a remedy: %s", line)
					}
				}
				untouched(t, w, before)
				logins := 0
				for _, n := range w.RefusedLogins() {
					logins += n
				}
				if logins != c.logins {
					t.Errorf("%d passwords were turned away, want %d", logins, c.logins)
				}
			})
		})
	}
}

// TestFingerprintFromTheRefusal: what the refusal names can be copied into the variable.
func TestFingerprintFromTheRefusal(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Nodes: 1})
		refused := octopatch(t.Context(), with(w.Environ(), "OCTOPATCH_WINRM_FINGERPRINT="), "preflight")
		seen := regexp.MustCompile(`([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{64}`).FindString(refused.errs)
		if refused.exit != 4 || seen == "" {
			t.Fatalf("exit code %d, and no fingerprint is named:\n%s", refused.exit, refused.errs)
		}
		octopatch(t.Context(), with(w.Environ(), "OCTOPATCH_WINRM_FINGERPRINT="+seen), "preflight").wants(t, 0)
	})
}

// TestSwappedHosts: two nodes whose hosts are mixed up are refused before one is drained and the other rebooted.
func TestSwappedHosts(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{})
		swap := strings.NewReplacer("OCTO-01=", "OCTO-02=", "OCTO-02=", "OCTO-01=")
		before := w.State()
		for _, names := range [][]string{{"OCTOPATCH_NODES", "OCTOPATCH_WINRM_FINGERPRINT"}, {"OCTOPATCH_NODE_URLS"}} {
			environ := w.Environ()
			for _, name := range names {
				environ = with(environ, name+"="+swap.Replace(value(environ, name)))
			}
			octopatch(t.Context(), environ, "run").wants(t, 4, names[0]+": ", "OCTO-01", "OCTO-02")
		}
		untouched(t, w, before)
	})
}

// TestUnreadableAfterTheFirstChange: the same answers that refuse a run at its begin leave it in the unknown later.
func TestUnreadableAfterTheFirstChange(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"html-after-change", "truncated-json-after-change"} {
		t.Run(fault, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Faults: fault})
				octopatch(t.Context(), w.Environ(), "run").wants(t, 6, "unknown", "octopatch ")
				if len(w.Log.Writes()) == 0 {
					t.Error("nothing was changed, so this shows nothing")
				}
			})
		})
	}
}

// TestOfflineByTheTopologyRule: a node that is not to be patched and is down just now may be needed; one unseen
// for a day is a forgotten record.
func TestOfflineByTheTopologyRule(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{Nodes: 3, Faults: "node-offline@OCTO-03"})
		two := strings.Join(strings.Split(value(w.Environ(), "OCTOPATCH_NODES"), ",")[:2], ",")
		octopatch(t.Context(), with(w.Environ(), "OCTOPATCH_NODES="+two), "preflight").wants(t, 4, "node OCTO-03: is offline (last seen ", "may be needed to carry the work", "bring it online")
		gone := newWorld(t, rehearsal.Options{Faults: "node-gone"})
		octopatch(t.Context(), gone.Environ(), "preflight").wants(t, 0, "node OLD-NODE is offline", "left alone")
	})
}

// TestOldAndLargeServers: an Octopus of 2019 and ten thousand tasks over many pages are no reason to refuse.
func TestOldAndLargeServers(t *testing.T) {
	t.Parallel()
	for fault, says := range map[string]string{"octopus-2019": "does not tell the version of each node", "many-tasks": "ended with exit code 0"} {
		t.Run(fault, func(t *testing.T) {
			steadily(t, func(t *attempt) {
				w := newWorld(t, rehearsal.Options{Faults: fault})
				before := w.State()
				octopatch(t.Context(), w.Environ(), "run").wants(t, 0, says, "2 of 2 nodes patched and serving")
				allKept(t, w, before)
			})
		})
	}
}
