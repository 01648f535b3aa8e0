package main

import (
	"context"
	"os"
	"sync"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/engine"
	"github.com/octopatch/octopatch/internal/guard"
	"github.com/octopatch/octopatch/internal/journal"
	"github.com/octopatch/octopatch/internal/octopus"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/settings"
	"github.com/octopatch/octopatch/internal/winhost"
	"github.com/octopatch/octopatch/internal/winrm"
)

// wired is an engine with all that it needs; close ends every connection.
type wired struct {
	engine   *engine.Engine
	settings settings.Settings
	clock    clock.Clock
	hostCA   []byte // OCTOPATCH_WINRM_CA_FILE
	mu       sync.Mutex
	clients  []*winrm.Client
	hosts    map[string]*winhost.Host
	close    func()
}

// wire joins settings and adapters: the only place that knows them all.
func (s *session) wire() (*wired, error) {
	o := s.settings
	clk := o.RehearsalClock
	run := journal.NewRun(clk.Now())
	if o.RunID != "" {
		run = o.RunID
	}
	s.sink = signed{next: s.sink, run: run, clock: clk}
	if clk != (clock.Clock{}) {
		s.sink.Event(procedure.Event{Type: procedure.Warning, Message: "the clock is a rehearsal's: times are simulated"})
	}
	ca, err := readFile(o.CAFile, "OCTOPATCH_OCTOPUS_CA_FILE")
	if err != nil {
		return nil, err
	}
	hostCA, err := readFile(o.WinRMCAFile, "OCTOPATCH_WINRM_CA_FILE")
	if err != nil {
		return nil, err
	}
	warn := func(text string) {
		s.sink.Event(procedure.Event{Type: procedure.Warning, Message: text})
	}
	if o.Insecure {
		warn("OCTOPATCH_WINRM_INSECURE is set: the hosts' certificates are not verified")
	}
	login := s.loginOptions(o.URL, clk)
	login.CAFile, login.NodeURLs, login.Warn = ca, o.NodeURLs, warn
	server, err := octopus.New(login)
	if err != nil {
		return nil, err
	}
	ends, err := s.tokenLasts(clk)
	if err != nil {
		return nil, err
	}
	w := &wired{settings: o, clock: clk, hostCA: hostCA, hosts: map[string]*winhost.Host{}}
	runner := s.commandRunner()
	provider, err := s.provider(runner, w)
	if err != nil {
		return nil, err
	}
	w.engine = &engine.Engine{
		Run: run, Resume: o.RunID, Owner: journal.Owner(s.env, machineName()), Attempt: s.env("GITHUB_RUN_ATTEMPT"), Nonce: journal.NewNonce(), Takeover: o.Takeover, URL: o.URL,
		Rules: rules(o), Clock: clk, Sink: s.sink, Cluster: server, Server: server,
		Topology: o.Topology, All: o.Nodes.All, Node: o.Node, Services: o.Services,
		Near: func(node string) procedure.Cluster {
			if near, ok := server.Via(node); ok {
				return near
			}
			return nil
		},
		Open: func(node, host string) (procedure.Host, error) {
			h, err := w.open(node, host)
			if err != nil {
				return nil, err // and no nil host inside an interface
			}
			return h, nil
		},
		Guard:    s.guard(clk).Check,
		Provider: provider, Patcher: s.patcher(runner), Hook: s.hook(runner), Announced: s.announced,
		LoginEnds: ends,
	}
	if o.StateDir != "" {
		store := journal.Store{Dir: o.StateDir}
		w.engine.Keep, w.engine.Copy = store.Keep, store.Newest
		w.engine.Told = func(f engine.Firing) bool { return store.Told(f.Run, f.Node, f.At) }
		s.remember = func() {
			for _, f := range w.engine.Fired {
				if err := store.Tell(f.Run, f.Node, f.At); err != nil {
					s.sink.Event(procedure.Event{Type: procedure.Warning, Message: err.Error()})
				}
			}
		}
	}
	for _, n := range o.Nodes.List {
		w.engine.Nodes = append(w.engine.Nodes, engine.Listed{Name: n.Name, Host: n.Host})
	}
	w.close = func() {
		server.Close()
		for _, c := range w.clients {
			c.Close()
		}
	}
	return w, nil
}

// guard knows where this process runs.
func (s *session) guard(clk clock.Clock) guard.Guard {
	return guard.Guard{
		Env: s.env, Machine: machineName(), MachineID: machineID(), StepURL: s.settings.StepServerURL,
		Installation: func(ctx context.Context, url string) (string, error) {
			other, err := octopus.New(s.loginOptions(url, clk))
			if err != nil {
				return "", err
			}
			defer other.Close()
			return other.Installation(ctx)
		},
	}
}

func rules(o settings.Settings) procedure.Rules {
	return procedure.Rules{
		DrainTimeout: o.DrainTimeout, OnDrainTimeout: o.OnDrainTimeout, Queued: o.Queued, Interruptions: o.Interruptions, IgnoreTasks: o.IgnoreTasks,
		Filter: o.Filter(), Reboot: o.Reboot, MaxRounds: o.MaxRounds, MaxReboots: o.MaxReboots, RebootTimeout: o.RebootTimeout, StallTimeout: o.StallTimeout,
		Precaution: o.Precaution, PrecautionKeep: o.PrecautionKeep, PrecautionTimeout: o.PrecautionTimeout, Recover: o.Recover, OnFailure: o.OnFailure, HookTimeout: o.HookTimeout,
		Soak: o.Soak, WindowStart: o.Window.Start, WindowLength: o.Window.Length, MaxFailedNodes: o.MaxFailedNodes, Deadman: o.Deadman,
	}
}

func readFile(name, variable string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, procedure.Refuse(variable, "cannot be read: "+err.Error(), "name a file that this user may read")
	}
	return text, nil
}

// signed gives the events of adapters, which know neither, their run and time.
type signed struct {
	next  procedure.Sink
	run   string
	clock clock.Clock
}

// Event hands it on.
func (s signed) Event(e procedure.Event) {
	if e.Run == "" {
		e.Run = s.run
	}
	if e.Time.IsZero() {
		e.Time = s.clock.Now()
	}
	s.next.Event(e)
}
