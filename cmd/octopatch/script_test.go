package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// exitCode runs a command and holds its exit code against the first argument: exitcode 4 octopatch run.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N command...")
	}
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// served is a rehearse --serve that a script has started.
type served struct {
	process *exec.Cmd
	out     *bufio.Reader
}

// serving holds the world of a script, under servedKey.
type (
	serving   struct{ now *served }
	servedKey struct{}
)

// serveWorld starts rehearse --serve as a process of its own and takes what it exports into the script.
func serveWorld(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: serve")
	}
	s, exports, err := startServing(ts.Getenv)
	ts.Check(err)
	ts.Defer(func() { s.end() })
	for name, value := range exports {
		ts.Setenv(name, value)
	}
	ts.Value(servedKey{}).(*serving).now = s
}

// startServing starts the process; env tells the rehearsal's own settings.
func startServing(env func(string) string) (*served, map[string]string, error) {
	path, err := exec.LookPath("octopatch")
	if err != nil {
		return nil, nil, err
	}
	process := exec.Command(path, "rehearse", "--serve")
	process.Stderr = os.Stderr
	process.Env = []string{"PATH=" + env("PATH"), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"), "TMPDIR=" + os.TempDir(), "TMP=" + os.TempDir()}
	for _, name := range []string{"NODES", "SPEED", "SEED", "FAULTS"} {
		name = "OCTOPATCH_REHEARSAL_" + name
		process.Env = append(process.Env, name+"="+env(name))
	}
	process.Env = append(process.Env, "OCTOPATCH_PRECAUTION="+env("OCTOPATCH_PRECAUTION"))
	pipe, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		return nil, nil, err
	}
	s := &served{process: process, out: bufio.NewReader(pipe)}
	exports, err := s.exports()
	if err != nil {
		s.end()
	}
	return s, exports, err
}

var export = regexp.MustCompile(`^export ([A-Z0-9_]+)='([^']*)'$`)

// exports reads the lines up to the comment that ends them.
func (s *served) exports() (map[string]string, error) {
	values := map[string]string{}
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("rehearse --serve ended early: %w", err)
		}
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			return values, nil
		}
		m := export.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("%q is no export of a variable", line)
		}
		values[m[1]] = m[2]
	}
}

// end interrupts the process and returns what it still had to say.
func (s *served) end() string {
	if s.process.ProcessState != nil {
		return ""
	}
	_ = interrupt(s.process.Process) // it may have ended by itself
	rest, _ := io.ReadAll(s.out)
	_ = s.process.Wait()
	return string(rest)
}

// endWorld ends the world that serve began and writes its own account of itself to the file.
func endWorld(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(servedKey{}).(*serving).now
	if neg || len(args) != 1 || s == nil {
		ts.Fatalf("usage: unserve FILE, after serve")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(s.end()), 0o644))
}

// checkKept holds every line of the world's own account against the promise; arguments after the file are
// parts of lines that may be broken.
func checkKept(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: kept FILE [except...]")
	}
	kept, broken := promises(ts.ReadFile(args[0]))
	for _, line := range broken {
		if len(args) == 1 || !strings.Contains(line, args[1]) {
			ts.Fatalf("a promise is broken: %s", line)
		}
	}
	if kept == 0 {
		ts.Fatalf("the world says nothing")
	}
}

// promises counts the kept ones of the world's account and lists the broken ones.
func promises(text string) (kept int, broken []string) {
	_, account, _ := strings.Cut(text, "The world afterwards")
	for line := range strings.SplitSeq(account, "\n") {
		switch {
		case strings.HasPrefix(line, "  + "):
			kept++
		case strings.HasPrefix(line, "  x "), strings.HasPrefix(line, "  - "): // broken, and asked of the node's own result
			broken = append(broken, strings.TrimSpace(line))
		}
	}
	return kept, broken
}

var worldDown = regexp.MustCompile(`(?m)^  User-visible downtime: (.+)$`)

// checkDowntimes holds the downtime of report.json against the world's own log: equal within one probe, unless
// some users were served while others were not, who are mixed at random.
func checkDowntimes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: downtimes none|some|mixed STDOUT report.json")
	}
	m := worldDown.FindStringSubmatch(ts.ReadFile(args[1]))
	if m == nil {
		ts.Fatalf("the world does not say how long users were down")
	}
	world, err := time.ParseDuration(strings.NewReplacer(" ", "", "min", "m").Replace(m[1]))
	ts.Check(err)
	var report struct{ Downtime struct{ Seconds float64 } }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[2])), &report))
	seen := time.Duration(report.Downtime.Seconds * float64(time.Second))
	if apart := (seen - world).Abs(); apart > 10*time.Second && args[0] != "mixed" {
		ts.Fatalf("the probe saw %s of downtime and the world had %s", seen, world)
	}
	if up := args[0] == "none"; up != (seen == 0) || up != (world == 0) {
		ts.Fatalf("downtime: the probe saw %s, the world had %s, want %s", seen, world, args[0])
	}
}

// checkJSON holds values of a JSON document against name=value; name is a path like nodes.0.result.
func checkJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: json FILE path=value...")
	}
	var document any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &document))
	for _, arg := range args[1:] {
		path, want, _ := strings.Cut(arg, "=")
		at := document
		for name := range strings.SplitSeq(path, ".") {
			switch v := at.(type) {
			case map[string]any:
				at = v[name]
			case []any:
				i, err := strconv.Atoi(name)
				if err != nil || i >= len(v) {
					ts.Fatalf("%s: there is no %s", path, name)
				}
				at = v[i]
			default:
				ts.Fatalf("%s: there is no %s", path, name)
			}
		}
		if got := fmt.Sprint(at); got != want {
			ts.Fatalf("%s is %q, want %q", path, got, want)
		}
	}
}
