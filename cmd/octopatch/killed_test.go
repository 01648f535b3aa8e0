package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// started is octopatch as a process of its own, whose output is read line by line.
type started struct {
	process *exec.Cmd
	output  io.ReadCloser
	lines   *bufio.Scanner
	all     strings.Builder
}

func start(t *attempt, environ []string, args ...string) *started {
	t.Helper()
	s := &started{process: exec.CommandContext(t.Context(), program(t.T), args...)}
	ownConsole(s.process)
	s.process.Env = with(environ, "PATH="+os.Getenv("PATH"))
	pipe, err := s.process.StdoutPipe()
	if err == nil {
		s.process.Stderr = s.process.Stdout
		err = s.process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.output, s.lines = pipe, bufio.NewScanner(pipe)
	return s
}

// until reads to the first line that holds the text, or to the end; it says whether there was one.
func (s *started) until(text string) bool {
	for s.lines.Scan() {
		s.all.WriteString(s.lines.Text() + "\n")
		if text != "" && strings.Contains(s.lines.Text(), text) {
			return true
		}
	}
	return false
}

func (s *started) end() ending {
	s.until("")
	_ = s.process.Wait() // its exit code says it
	return ending{exit: s.process.ProcessState.ExitCode(), out: s.all.String()}
}

// killed runs octopatch until a line that holds the text, and kills it there as kill -9 does.
func killed(t *attempt, environ []string, at string) {
	t.Helper()
	s := start(t, environ, "run")
	if !s.until(at) {
		t.Fatalf("no line holds %q:\n%s", at, s.end().out)
	}
	if err := s.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.end()
}

// deaths are the moments between stop and start at which a runner dies.
var deaths = map[string]string{
	"after stop":       "OCTO-01 stop       + done",
	"after precaution": "OCTO-01 precaution + done",
	"mid-install":      "OCTO-01 patch        install 1/2",
	"while rebooting":  "OCTO-01 patch        waiting for the host to answer",
	"before start":     "OCTO-01 patch      + done",
}

// TestDeadman: wherever the runner dies between stop and start, the host starts the service again by itself and
// leaves the node closed; status shows it, and the next run finishes what was begun.
func TestDeadman(t *testing.T) {
	t.Parallel()
	for name, at := range deaths {
		for _, nodes := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d nodes", name, nodes), func(t *testing.T) {
				steadily(t, func(t *attempt) { diesAt(t, nodes, at) })
			})
		}
	}
}

func diesAt(t *attempt, nodes int, at string) {
	w := newWorld(t, rehearsal.Options{Nodes: nodes, Program: program(t.T)})
	environ := snapshotting(t, w)
	before := w.State()
	killed(t, environ, at)
	fires(t, w, 2*time.Hour)
	after := w.State()
	for _, p := range rehearsal.Compare(before, after) {
		if closed := strings.HasPrefix(p.What, "drain mode"); p.Node == "OCTO-01" && (closed || strings.HasPrefix(p.What, "services") || strings.HasPrefix(p.What, "watchdogs")) && p.Kept == closed {
			t.Errorf("after the dead-man switch: %s: %t", p.What, p.Kept)
		}
	}
	if single := nodes == 1; after.Cluster.Maintenance != single {
		t.Errorf("Maintenance Mode: %t", after.Cluster.Maintenance)
	}
	for _, task := range after.Hosts["OCTO-01"].Tasks {
		if strings.HasSuffix(task, "deadman") {
			t.Error("it has done its work and is still there")
		}
	}
	people := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		people <- string(text)
	}))
	defer hook.Close()
	asked := with(environ, "OCTOPATCH_NOTIFY=generic://"+strings.TrimPrefix(hook.URL, "http://")+"/key-of-the-webhook?disabletls=yes")
	octopatch(t.Context(), asked, "status").wants(t, 0, "the dead-man switch fired at ", "nothing was heard of the run for ")
	select {
	case text := <-people:
		if !strings.Contains(text, "node OCTO-01 the dead-man switch fired at ") || !strings.Contains(text, "Next: octopatch run") {
			t.Errorf("people are told %q", text)
		}
	default:
		t.Error("nobody was told that the dead-man switch fired")
	}
	if err := w.Clock.Sleep(t.Context(), 46*time.Minute); err != nil { // until the leases of the other hosts are stale
		t.Fatal(err)
	}
	octopatch(t.Context(), environ, "run").wants(t, 0, "going on with run")
	allKept(t, w, before)
	if left := w.Snapshots(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestJournalsThatCannotBeRead: nobody writes over the only truth about an unfinished run.
func TestJournalsThatCannotBeRead(t *testing.T) {
	steadily(t, func(t *attempt) {
		w := newWorld(t, rehearsal.Options{})
		before := w.State()
		killed(t, w.Environ(), "OCTO-01 stop       + done")
		file := filepath.Join(w.Folder("OCTO-01"), "run.json")
		if err := w.Clock.Sleep(t.Context(), 91*time.Minute); err != nil {
			t.Fatal(err)
		}
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		writes := len(w.Log.Writes())
		for text, says := range map[string]string{
			"{":   "run.json cannot be read",
			"":    "run.json is not a journal",
			"[1]": "run.json is not a journal",
			strings.Replace(string(good), `"format":1`, `"format":2`, 1): "a newer version of octopatch has an unfinished run on the host",
		} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			octopatch(t.Context(), w.Environ(), "run").wants(t, 4, says, "node OCTO-01")
			octopatch(t.Context(), with(w.Environ(), "OCTOPATCH_NODE=OCTO-01"), "start").wants(t, 4, says)
			octopatch(t.Context(), w.Environ(), "status").wants(t, 6, says)
			if now, err := os.ReadFile(file); err != nil || string(now) != text {
				t.Errorf("it was written over: %s, %v", now, err)
			}
		}
		if got := w.Log.Writes()[writes:]; len(got) > 0 {
			t.Errorf("refused, and yet wrote %+v", got)
		}
		if err := os.WriteFile(file, good, 0o600); err != nil {
			t.Fatal(err)
		}
		octopatch(t.Context(), w.Environ(), "run").wants(t, 0)
		allKept(t, w, before)
	})
}
