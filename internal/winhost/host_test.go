package winhost

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/octopatch/octopatch/internal/procedure"
)

// calls is every operation that is one command, with an answer that it takes.
var calls = []struct {
	script, answer string
	do             func(context.Context, *Host) error
}{
	{"probe", `{"computer":"OCTO-01","fqdn":"octo-01.corp","machineId":"ab","powershell":"5.1","time":1790000000,"windows":` + windowsText + `,"freeBytes":5,"pending":[],"soft":[],"busy":"","policy":{"noAutoUpdate":-1,"auOptions":-1,"day":-1,"hour":-1,"alwaysReboot":-1,"deadline":-1,"noInternet":-1,"server":"","serverError":""},"agents":[],"instances":[],"watchdogs":[],"folder":"absent","journal":null}`,
		func(ctx context.Context, h *Host) error { _, err := h.Probe(ctx); return err }},
	{"health", `{"windows":` + windowsText + `,"services":[],"pending":[],"ping":{"status":418,"name":"OCTO-01","version":"2026.3.4711"},"pingError":""}`,
		func(ctx context.Context, h *Host) error { _, err := h.Health(ctx, nil, nil); return err }},
	{"record", `{"journal":` + journalText + `}`,
		func(ctx context.Context, h *Host) error {
			_, err := h.Record(ctx, procedure.Change{Run: "r1"})
			return err
		}},
	{"stop", `{"journal":` + journalText + `}`,
		func(ctx context.Context, h *Host) error {
			_, err := h.Stop(ctx, procedure.Change{Run: "r1"}, procedure.StopOrder{Services: []string{"OctopusDeploy"}, Limit: time.Minute})
			return err
		}},
	{"start", `{"journal":` + journalText + `}`,
		func(ctx context.Context, h *Host) error {
			_, err := h.Start(ctx, procedure.Change{Run: "r1"}, procedure.StartOrder{Limit: time.Minute})
			return err
		}},
	{"undrain", `{"undrained":true}`,
		func(ctx context.Context, h *Host) error {
			return h.Undrain(ctx, procedure.Change{Run: "r1"}, "OctopusServer")
		}},
	{"clear", `{"cleared":true}`, func(ctx context.Context, h *Host) error { return h.Clear(ctx, "r1") }},
	{"copy", `{"kept":true}`, func(ctx context.Context, h *Host) error { return h.KeepCopy(ctx, procedure.Journal{Node: "OCTO-02"}) }},
	{"copy", `{"kept":false}`, func(ctx context.Context, h *Host) error { return h.DropCopy(ctx, "OCTO-02") }},
	{"reboot", `{"state":"issued"}`, func(ctx context.Context, h *Host) error { return h.Reboot(ctx, procedure.Change{Run: "r1"}) }},
}

func TestOneCommandEach(t *testing.T) {
	t.Parallel()
	for _, c := range calls {
		t.Run(c.script, func(t *testing.T) {
			t.Parallel()
			h, f := newFake(t, func(_ int, a asked) error {
				a.out("some noise of a module")
				a.out(`{"nonce":"00000000000000000000000000000000","answer":{}}`)
				a.say("answer", c.answer)
				return nil
			})
			if err := c.do(context.Background(), h); err != nil {
				t.Fatal(err)
			}
			if got := f.names(); !cmp.Equal(got, []string{c.script}) || h.Commands() != 1 {
				t.Errorf("ran %v (%d commands), want %s once", got, h.Commands(), c.script)
			}
		})
	}
}

// Every operation meets the same faults, and each fault has one kind.
func TestFaults(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		reply func(asked) error
		want  error
		text  string
	}{
		{"no_answer", func(a asked) error { a.out("Access is denied."); return nil }, procedure.ErrNoReply, "Access is denied."},
		{"reply_lost", func(asked) error { return noReply() }, procedure.ErrNoReply, ""},
		{"unreachable", func(asked) error { return unreachable() }, procedure.ErrUnreachable, ""},
		{"denied", func(asked) error { return denied() }, procedure.ErrDenied, ""},
		{"constrained_language", func(a asked) error {
			a.say("error", `{"kind":"language","message":"ConstrainedLanguage"}`)
			return nil
		}, procedure.ErrRefused, "ConstrainedLanguage"},
		{"folder_of_another", func(a asked) error {
			a.say("error", `{"kind":"folder","message":"is owned by S-1-5-21-1","code":""}`)
			return nil
		}, procedure.ErrRefused, "S-1-5-21-1"},
		{"journal_of_another", func(a asked) error { a.say("error", `{"kind":"journal","message":"run r9","code":""}`); return nil }, procedure.ErrRefused, "r9"},
		{"unforeseen", func(a asked) error {
			a.say("error", `{"kind":"script","message":"RPC","code":"0x800706BA"}`)
			return nil
		}, procedure.ErrUnreadable, "0x800706BA"},
		{"no_administrator", func(a asked) error {
			a.say("error", `{"kind":"script","message":"Access denied","code":"0x80070005"}`)
			return nil
		}, procedure.ErrDenied, "local administrator"},
		{"truncated", func(a asked) error { a.out(`{"nonce":"` + a.nonce + `","answer":{"x":`); return nil }, procedure.ErrUnreadable, ""},
		{"empty_answer", func(a asked) error { a.say("answer", "{}"); return nil }, procedure.ErrUnreadable, ""},
		{"answer_of_another_shape", func(a asked) error { a.say("answer", `["<html>"]`); return nil }, procedure.ErrUnreadable, ""},
		{"two_answers", func(a asked) error {
			a.say("answer", `{"journal":`+journalText+`}`)
			a.say("answer", `{"journal":`+journalText+`}`)
			return nil
		}, procedure.ErrUnreadable, ""},
	}
	for _, fault := range cases {
		for _, c := range calls {
			t.Run(fault.name+"/"+c.script, func(t *testing.T) {
				t.Parallel()
				h, f := newFake(t, func(_ int, a asked) error { return fault.reply(a) })
				err := c.do(context.Background(), h)
				if !errors.Is(err, fault.want) || !strings.Contains(err.Error(), fault.text) {
					t.Errorf("got %v, want kind %v with %q", err, fault.want, fault.text)
				}
				var known *procedure.Fault
				if !errors.As(err, &known) || known.Remedy == "" || known.Subject == "" {
					t.Errorf("%v does not say what it is about or what to do", err)
				}
				if n := len(f.names()); n != 1 {
					t.Errorf("asked %d times: nothing is repeated blindly", n)
				}
			})
		}
	}
}

// An answer that has arrived is true, whatever becomes of the connection.
func TestAnswerBeforeTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	h, _ := newFake(t, func(_ int, a asked) error {
		a.say("answer", `{"state":"issued"}`)
		return noReply()
	})
	if err := h.Reboot(context.Background(), procedure.Change{Run: "r1"}); err != nil {
		t.Error(err)
	}
}

func TestStopAsksAsTheScriptReads(t *testing.T) {
	t.Parallel()
	h, f := newFake(t, func(_ int, a asked) error {
		a.say("answer", `{"journal":`+journalText+`}`)
		return nil
	})
	change := procedure.Change{Run: "r1", Counter: 4, Node: "OCTO-01", Owner: "me", Topology: procedure.HA, At: 7, Intent: &procedure.Intent{Phase: "stop", What: "stop", At: 7}}
	j, err := h.Stop(context.Background(), change, procedure.StopOrder{Services: []string{`Octopus "Deploy" [x]: $é`}, Ran: []string{`Octopus "Deploy" [x]: $é`}, Limit: 90*time.Second + 1})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"change": map[string]any{"run": "r1", "counter": 4.0, "node": "OCTO-01", "owner": "me", "topology": "ha", "at": 7.0,
			"intent": map[string]any{"phase": "stop", "what": "stop", "at": 7.0}},
		"services": []any{`Octopus "Deploy" [x]: $é`}, "ran": []any{`Octopus "Deploy" [x]: $é`}, "limit": 91.0, "deadman": nil,
	}
	if diff := cmp.Diff(want, f.all[0].request); diff != "" {
		t.Error(diff)
	}
	if f.all[0].limit <= 180*time.Second {
		t.Errorf("the command may take %s, less than its services", f.all[0].limit)
	}
	if j.Counter != 4 || j.Host == nil || !j.Host.Services[0].Delayed || !j.Host.Watchdogs[0].Enabled {
		t.Errorf("the journal reads %+v", j)
	}
}

func TestEmptyListsAreArrays(t *testing.T) {
	t.Parallel()
	h, f := newFake(t, func(_ int, a asked) error { a.say("answer", calls[1].answer); return nil })
	if _, err := h.Health(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"services": []any{}, "prefixes": []any{}}, f.all[0].request); diff != "" {
		t.Error(diff)
	}
}

func TestProbeIsReadWhole(t *testing.T) {
	t.Parallel()
	h, _ := newFake(t, func(_ int, a asked) error {
		a.say("answer", `{"computer":"OCTO-01","fqdn":"octo-01.corp","machineId":"ab","powershell":"5.1.20348.1","time":1790000100,"windows":`+windowsText+`,
			"freeBytes":123,"pending":["component servicing: RebootPending"],"soft":["computer rename"],"busy":"Windows Installer",
			"policy":{"noAutoUpdate":0,"auOptions":4,"day":1,"hour":3,"alwaysReboot":1,"deadline":1,"noInternet":1,"server":"http://wsus:8530","serverError":"no route"},"agents":["ccmexec","Other"],
			"instances":[{"service":{"name":"OctopusDeploy: A b","state":"Running","start":"Auto","delayed":false,"dependents":["x"]},"name":"A b","node":"octo-01","prefixes":["http://localhost:80/"],"version":"2026.3.4711","localData":true,"onDisks":["Octopus.Home"]}],
			"watchdogs":[{"name":"Octopus Watchdog OctopusServer","enabled":true}],"folder":"ours","journal":`+journalText+`}`)
		return nil
	})
	got, err := h.Probe(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got.Journal == nil || got.Journal.Run != "r1" {
		t.Fatalf("journal %+v", got.Journal)
	}
	got.Journal = nil
	want := procedure.HostFacts{
		Computer: "OCTO-01", FQDN: "octo-01.corp", MachineID: "ab", PowerShell: "5.1.20348.1", Time: time.Unix(1790000100, 0), BootTime: time.Unix(1790000000, 0),
		Windows:   procedure.Windows{Boot: "133000000000000001", Caption: "Microsoft Windows Server 2022 Standard", Build: "20348", UBR: 2113},
		FreeBytes: 123, Pending: []string{"component servicing: RebootPending"}, Soft: []string{"computer rename"}, Busy: "Windows Installer",
		Policy: procedure.UpdatePolicy{
			Restarts: []string{"AUOptions 4: it installs by itself on Sundays at 03:00", "AlwaysAutoRebootAtScheduledTime", "SetComplianceDeadline: it restarts once the deadline of an update is over"},
			Server:   "http://wsus:8530", ServerError: "no route", NoInternet: true,
		},
		Agents: []string{"Microsoft Configuration Manager (service ccmexec)", "service Other"},
		Instances: []procedure.Instance{{Service: procedure.Service{Name: "OctopusDeploy: A b", State: "Running", Start: "Auto", Dependents: []string{"x"}}, Name: "A b", Node: "octo-01",
			Prefixes: []string{"http://localhost:80/"}, Version: "2026.3.4711", LocalData: true, OnDisks: []string{"Octopus.Home"}}},
		Watchdogs: []procedure.Watchdog{{Name: "Octopus Watchdog OctopusServer", Enabled: true}}, Folder: "ours",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
