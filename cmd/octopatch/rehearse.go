package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/engine"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/octopatch/octopatch/internal/settings"
)

// rehearse runs the full procedure against a world of its own, through the same settings, adapters and engine
// as run, and holds the world afterwards against what the README promises.
func rehearse(ctx context.Context, s *session) int {
	switch {
	case len(s.args) == 1 && s.args[0] == "--faults":
		fmt.Fprint(s.text(), "For OCTOPATCH_REHEARSAL_FAULTS=name[@node],...; without @node every node, unless it says otherwise:\n\n")
		for _, f := range rehearsal.Faults() {
			fmt.Fprintf(s.text(), "%-27s %s\n", f.Name, f.Help)
		}
		return engine.ExitDone
	case len(s.args) == 1 && s.args[0] == "--serve":
		return s.withWorld(ctx, serve)
	case len(s.args) == 2 && s.args[0] == "--snapshot":
		return s.askSnapshots(ctx, s.args[1])
	case len(s.args) > 0:
		return s.refuse(procedure.Refuse("octopatch rehearse", fmt.Sprintf("does not take %q", strings.Join(s.args, " ")), "it takes --faults or --serve; the rest is said by OCTOPATCH_REHEARSAL_ variables, which octopatch settings lists"))
	}
	return s.withWorld(ctx, rehearseAll)
}

// withWorld builds the world that the settings ask for. What the user has set himself wins over what the
// world brings, so that limits and rules can be tried; where it is reached is the world's to say.
func (s *session) withWorld(ctx context.Context, do func(context.Context, *session, *rehearsal.World) int) int {
	chosen := s.env("OCTOPATCH_PRECAUTION")
	if !slices.Contains(offered, chosen) {
		chosen = ""
	}
	asked := slices.DeleteFunc(slices.Clone(s.environ), func(item string) bool { return item == "OCTOPATCH_PRECAUTION="+chosen }) // the world has the variables that belong to it
	o, err := settings.Load(asked, settings.Nothing)
	if err != nil {
		return s.refuse(err)
	}
	w, err := rehearsal.New(rehearsal.Options{HyperV: chosen == "hyperv", Nodes: o.RehearsalNodes, Speed: o.RehearsalSpeed, Seed: int64(o.RehearsalSeed), Faults: o.RehearsalFaults, PowerShell: o.RehearsalPowerShell, WinRM: o.RehearsalWinRM, Keyless: o.RehearsalKeyless, Program: self()})
	switch {
	case errors.Is(err, rehearsal.ErrFaults):
		return s.refuse(procedure.Refuse("OCTOPATCH_REHEARSAL_FAULTS", err.Error(), "octopatch rehearse --faults lists them"))
	case err != nil && o.RehearsalPowerShell:
		return s.refuse(procedure.Refuse("OCTOPATCH_REHEARSAL_POWERSHELL", err.Error(), "leave it out: the rehearsal then needs nothing but itself"))
	case err != nil:
		return s.refuse(procedure.Refuse("octopatch rehearse", err.Error(), "make room for temporary files and loopback listeners"))
	}
	defer w.Close() //nolint:errcheck // temporary files; the system removes them one day
	ours := map[string]bool{}
	environ := worldEnviron(w, chosen, s.environ)
	for _, item := range environ {
		name, _, _ := strings.Cut(item, "=")
		ours[name] = true
	}
	for _, item := range s.environ {
		if name, _, _ := strings.Cut(item, "="); !ours[name] && !strings.HasSuffix(name, "_FILE") && !leadsOut(name) {
			environ = append(environ, item)
		}
	}
	s.environ = environ
	return do(ctx, s, w)
}

// offered are the precautions that the world has, besides none.
var offered = []string{"command", "hyperv", "image", "restore-point"}

// worldEnviron is what the world exports to somebody who chooses this precaution; what is his own choice stays his.
func worldEnviron(w *rehearsal.World, chosen string, own []string) []string {
	environ := w.Environ()
	if !slices.Contains(offered, chosen) {
		return environ
	}
	environ = slices.DeleteFunc(environ, func(item string) bool {
		name, _, _ := strings.Cut(item, "=")
		of := settings.PrecautionOf(name)
		return name == "OCTOPATCH_PRECAUTION" || of != "" && of != chosen
	})
	if chosen == "image" && !slices.ContainsFunc(own, func(item string) bool {
		return strings.HasPrefix(item, "OCTOPATCH_IMAGE_TARGET=") && !strings.HasSuffix(item, "=")
	}) {
		environ = append(environ, "OCTOPATCH_IMAGE_TARGET="+rehearsal.ImageShare)
	}
	return append(environ, "OCTOPATCH_PRECAUTION="+chosen)
}

// self is this program, as a shell starts it; empty where that cannot be told.
func self() string {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return ""
	}
	if path, err = filepath.Abs(path); err != nil {
		return ""
	}
	return path
}

// askSnapshots is what the world's own precaution commands run: its machines have their snapshots with it.
func (s *session) askSnapshots(ctx context.Context, what string) int {
	const cannotTell = 2
	address := s.env("OCTOPATCH_REHEARSAL_SNAPSHOTS")
	if !strings.HasPrefix(address, "http://127.") {
		return s.refuse(procedure.Refuse("OCTOPATCH_REHEARSAL_SNAPSHOTS", "is not the address of a rehearsal's snapshots", "octopatch rehearse --serve prints it"))
	}
	err := rehearsal.AskSnapshots(ctx, address, what, s.env("OCTOPATCH_NODE"), s.env("OCTOPATCH_SNAPSHOT"))
	switch {
	case errors.Is(err, rehearsal.ErrNoSnapshot):
		return engine.ExitFailed
	case err != nil:
		s.complain(err)
		return cannotTell
	}
	return engine.ExitDone
}

// reachesElsewhere are settings that would lead a rehearsal out of its world.
var reachesElsewhere = map[string]bool{"OCTOPUS_API_KEY": true, "OCTOPUS_ACCESS_TOKEN": true, "OCTOPATCH_SERVICE_ACCOUNT_ID": true, "ACTIONS_ID_TOKEN_REQUEST_URL": true, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": true, "OCTOPATCH_RUN_ID": true, "OCTOPATCH_NODE": true, "OCTOPATCH_PHASE": true, "OCTOPATCH_WINRM_AUTH": true, "OCTOPATCH_WINRM_PORT": true, "OCTOPATCH_WINRM_SERVER_NAME": true, "OCTOPATCH_WINRM_TLS": true, "OCTOPATCH_STEP_SERVER_URL": true, "OCTOPATCH_WINRM_INSECURE": true,
	"OCTOPATCH_WINRM_KRB5_CONF": true, "OCTOPATCH_WINRM_KRB5_CCACHE": true, "OCTOPATCH_WINRM_KRB5_KEYTAB": true, "OCTOPATCH_WINRM_FINGERPRINT": true, "OCTOPATCH_WINRM_USERNAME": true, "OCTOPATCH_WINRM_PASSWORD": true}

// outside are beginnings of settings that would let a rehearsal act outside its world: the operator's own
// commands, and the systems that hold his machines' snapshots.
var outside = []string{"OCTOPATCH_NOTIFY", "OCTOPATCH_VSPHERE_", "OCTOPATCH_HYPERV_", "OCTOPATCH_HOOK_BEFORE_", "OCTOPATCH_HOOK_AFTER_", "OCTOPATCH_PATCH_COMMAND", "OCTOPATCH_PRECAUTION_TAKE", "OCTOPATCH_PRECAUTION_VERIFY", "OCTOPATCH_PRECAUTION_REVERT", "OCTOPATCH_PRECAUTION_REMOVE"}

func leadsOut(name string) bool {
	return reachesElsewhere[name] || slices.ContainsFunc(outside, func(beginning string) bool { return strings.HasPrefix(name, beginning) })
}

func rehearseAll(ctx context.Context, s *session, w *rehearsal.World) int {
	before := w.State()
	began := w.Clock.Now()
	s.command.need = settings.Change
	s.command.run = func(ctx context.Context, s *session) int {
		if s.settings.Log != "json" {
			fmt.Fprintf(s.out, "A simulated Octopus Server with %s, %g times as fast as the wall clock. Nothing outside this process is touched.\n\n", procedure.Count(len(before.Hosts), "node"), w.Clock.Speed())
		}
		code := runAll(ctx, s)
		broken := s.worldAfterwards(w, before, began)
		if broken > 0 && slices.Contains([]int{engine.ExitDone, engine.ExitRefused, engine.ExitStopped}, code) {
			s.complain(fmt.Errorf("the run ended in %d, and %d things that it promises then are not so", code, broken))
			return engine.ExitFailed
		}
		return code
	}
	return s.start(ctx)
}

// worldAfterwards says what the world itself shows, and counts the promises that no good run may break.
func (s *session) worldAfterwards(w *rehearsal.World, before rehearsal.State, began time.Time) (broken int) {
	var text strings.Builder
	fmt.Fprintf(&text, "\nThe world afterwards, by its own account:\n")
	for _, p := range rehearsal.Compare(before, w.State()) {
		mark := "+"
		if !p.Kept {
			mark = "-"
			if !p.Asked {
				mark, broken = "x", broken+1
			}
		}
		fmt.Fprintf(&text, "  %s %-8s %s\n", mark, p.Node, p.What)
	}
	fmt.Fprintf(&text, "  User-visible downtime: %s\n", procedure.Span(w.Downtime(began).Seconds()))
	if s.settings.Log != "json" || broken > 0 { // a good run in json mode is silent besides its events
		fmt.Fprint(s.text(), text.String())
	}
	return broken
}

// serve keeps the world for other processes and clients until it is interrupted, and then says what became of it.
func serve(ctx context.Context, s *session, w *rehearsal.World) int {
	before, began := w.State(), w.Clock.Now()
	for _, item := range worldEnviron(w, s.env("OCTOPATCH_PRECAUTION"), nil) {
		name, value, _ := strings.Cut(item, "=")
		fmt.Fprintf(s.out, "export %s='%s'\n", name, value)
	}
	fmt.Fprintln(s.out, "# The world is there until this process is interrupted.")
	<-ctx.Done()
	s.worldAfterwards(w, before, began)
	return engine.ExitDone
}
