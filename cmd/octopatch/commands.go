package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/engine"
	"github.com/octopatch/octopatch/internal/journal"
	"github.com/octopatch/octopatch/internal/notify"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/report"
	"github.com/octopatch/octopatch/internal/settings"
)

// version is set by the release build.
var version = ""

// command is one word of the command line.
type command struct {
	name string
	help string
	need settings.Need
	json bool // takes --json
	run  func(context.Context, *session) int
}

func commands() []command {
	list := []command{
		{"run", "the full procedure, on every node of OCTOPATCH_NODES in turn", settings.Change, false, runAll},
		{"plan", "what run would do now; --json", settings.Hosts, true, runPlan},
		{"preflight", "prove rights, reach, mapping and health; changes nothing", settings.Hosts, false, runPreflight},
		{"stage", "search and download updates while Octopus serves", settings.Hosts, false, runStage},
		{"status", "where an unfinished run stands, read from the hosts; --json", settings.Hosts, true, runStatus},
	}
	for _, p := range procedure.Phases() {
		need := settings.Change
		if p.Cluster {
			need = settings.Hosts
		}
		list = append(list, command{p.Name, p.HA, need, false, runPhase(p)})
	}
	return append(list,
		command{procedure.Recover, "restore the operating system to just before patching, start the service, exit", settings.Change, false, runRecover},
		command{"rehearse", "the full procedure against an embedded simulation, as OCTOPATCH_REHEARSAL_… say; --faults lists what can be broken, --serve serves the world alone", settings.Nothing, false, rehearse},
		command{"settings", "every setting with its variable, default and meaning; --json", settings.Nothing, true, runSettings},
		command{"version", "the version", settings.Nothing, false, runVersion},
		command{"help", "this text", settings.Nothing, false, runHelp})
}

// session is one call of the program.
type session struct {
	command  command
	args     []string
	environ  []string
	settings settings.Settings
	out      *report.Redact // standard output; in json mode it holds events and nothing else
	errs     *report.Redact
	asJSON   bool
	terminal bool
	log      string // the kind of log that is written
	sink     procedure.Sink
	endLog   func()
	warnings *report.Warnings
	remember func()       // that people were told of dead-man switches that fired; nil where nothing remembers it
	notify   *notify.Sink // what must not be missed; sends to nobody where nobody is named
	reported string       // the report directory, once something was written to it
	handed   bool         // GitHub has its outputs and summary
}

// run is the program: it reads the command and the settings, and returns the exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	s := &session{environ: environ, out: report.NewRedact(stdout), errs: report.NewRedact(stderr), endLog: func() {}}
	if f, ok := stdout.(standard); ok {
		s.terminal = report.IsTerminal(f.file)
	}
	defer s.out.Flush()  //nolint:errcheck // nobody is left to tell
	defer s.errs.Flush() //nolint:errcheck // nobody is left to tell
	name := s.env("OCTOPATCH_PHASE")
	if len(args) > 0 {
		name, args = strings.TrimLeft(args[0], "-"), args[1:]
	}
	if name == "" {
		s.usage(s.errs)
		if s.jsonLog() {
			return s.refuse(procedure.Refuse("OCTOPATCH_PHASE", "is not set, and no command is given", "octopatch help lists the commands"))
		}
		return engine.ExitRefused
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return s.refuse(procedure.Refuse("octopatch "+name, "is no command; the commands are "+strings.Join(commandNames(all), ", "), "octopatch help says what they do"))
	}
	s.command, s.args = all[i], args
	if slices.ContainsFunc(args, func(a string) bool { return a == "--help" || a == "-h" }) {
		return runHelp(ctx, s)
	}
	if err := s.readArgs(); err != nil {
		return s.refuse(err)
	}
	if s.command.name == "rehearse" { // the world brings the settings that are missing
		return s.command.run(ctx, s)
	}
	return s.start(ctx)
}

// start reads the settings and runs the command.
func (s *session) start(ctx context.Context) int {
	var err error
	s.settings, err = settings.Load(s.environ, s.command.need)
	s.mask(slices.Concat(s.settings.Secrets(), notify.Secrets(notify.Services(s.settings.Notify))))
	s.openSink(s.settings.RehearsalClock)
	defer func() { s.endLog() }()
	if err = errors.Join(err, s.openNotify(), s.writable("OCTOPATCH_REPORT_DIR", s.settings.ReportDir, 0o755), s.writable("OCTOPATCH_STATE_DIR", s.settings.StateDir, 0o700)); err != nil {
		return s.refuse(err)
	}
	return s.command.run(ctx, s)
}

// writable proves before anything begins that what the command will have to say can be kept; status only reads.
func (s *session) writable(variable, dir string, mode os.FileMode) error {
	if dir == "" || s.command.name == "status" {
		return nil
	}
	err := os.MkdirAll(dir, mode)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, ".octopatch-"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		return procedure.Refuse(variable, fmt.Sprintf("cannot be written to: %v", err), "name a directory that this user may write")
	}
	return nil
}

func (s *session) env(name string) string {
	for _, item := range s.environ {
		if n, value, _ := strings.Cut(item, "="); n == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func commandNames(all []command) []string {
	var names []string
	for _, c := range all {
		names = append(names, c.name)
	}
	return names
}

// readArgs accepts --json where it is known; rehearse reads its own.
func (s *session) readArgs() error {
	if s.command.name == "rehearse" {
		return nil
	}
	for _, a := range s.args {
		if a != "--json" || !s.command.json {
			return procedure.Refuse("octopatch "+s.command.name, fmt.Sprintf("does not take %q", a), "all settings are environment variables: octopatch settings lists them")
		}
		s.asJSON = true
	}
	return nil
}

// refuse prints what is wrong, each fault on a line of its own, and ends with exit code 4. It is for what is
// wrong before there is an engine, whose run ends with an event of its own.
func (s *session) refuse(err error) int {
	if !s.jsonLog() {
		s.complain(err)
		report.Refused(s.log, s.document(), errors.New(s.out.Clean(err.Error())))
		s.hand(report.Report{Exit: engine.ExitRefused, Command: s.command.name, Error: err.Error()}, procedure.Plan{})
		return engine.ExitRefused
	}
	code, now := engine.ExitRefused, s.settings.RehearsalClock.Now()
	report.NewJSON(s.document()).Event(procedure.Event{Type: procedure.RunEnded, Time: now, Run: journal.NewRun(now), Reason: err.Error(), Exit: &code})
	return code
}

// jsonLog: standard output holds events and nothing else.
func (s *session) jsonLog() bool { return s.env("OCTOPATCH_LOG") == "json" }

// document is where events go: standard output, unless it belongs to the document that --json asks for.
func (s *session) document() *report.Redact {
	if s.asJSON {
		return s.errs
	}
	return s.out
}

// text is where words for people go: not among the events.
func (s *session) text() *report.Redact {
	if s.jsonLog() && !s.asJSON {
		return s.errs
	}
	return s.out
}

func (s *session) usage(w io.Writer) {
	fmt.Fprint(w, "octopatch applies operating-system patches under a self-hosted Octopus Server, by its documented procedure.\n\nusage: octopatch COMMAND, with all settings in environment variables\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-11s %s\n", c.name, c.help)
	}
	fmt.Fprint(w, "\nWithout COMMAND it comes from OCTOPATCH_PHASE. First steps: octopatch rehearse, then octopatch preflight.\n"+
		"Exit codes: 0 done, 1 failed, 3 some nodes failed, 4 refused, 5 stopped by a rule, 6 unknown, 130 interrupted.\n")
}

func runHelp(_ context.Context, s *session) int {
	s.usage(s.text())
	return engine.ExitDone
}

func runVersion(_ context.Context, s *session) int {
	fmt.Fprintf(s.text(), "octopatch %s\n", programVersion())
	return engine.ExitDone
}

func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(development)"
}

func runSettings(_ context.Context, s *session) int {
	write := settings.WriteTable
	if s.asJSON {
		write = settings.WriteJSON
	}
	if err := write(s.text()); err != nil {
		return engine.ExitFailed
	}
	return engine.ExitDone
}

// openSink picks how events are written, as OCTOPATCH_LOG says; closing it ends the live line of a terminal.
func (s *session) openSink(clk clock.Clock) {
	terminal := s.terminal && !s.asJSON
	s.log = report.Pick(s.settings.Log, s.env, terminal)
	if s.log == "octopus" {
		s.out.ASCII()
		s.errs.ASCII()
	}
	sink, end := report.New(s.log, s.document(), clk)
	s.warnings = &report.Warnings{}
	s.sink, s.endLog = report.Tee{s.warnings, sink}, end
}

// machineName is this computer's own name; without one the guard has nothing to compare.
func machineName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
