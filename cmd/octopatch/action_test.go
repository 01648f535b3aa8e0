package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/octopatch/octopatch/action"
)

// TestActionInputs: action.yml has every setting that octopatch settings --json lists, and no other input.
func TestActionInputs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	_, inputs, _ := strings.Cut(string(text), "\ninputs:\n")
	inputs, _, _ = strings.Cut(inputs, "\noutputs:\n")
	got := map[string]bool{"binary": false, "download_url": false} // are for the shim
	for _, m := range regexp.MustCompile(`(?m)^  (\w+):\n    description: '.{10,}'$`).FindAllStringSubmatch(inputs, -1) {
		got[m[1]] = true
	}
	var table []struct {
		Variable string
		Names    []string
	}
	if err := json.Unmarshal([]byte(octopatch(t.Context(), nil, "settings", "--json").out), &table); err != nil || len(table) < 40 {
		t.Fatalf("%d settings, %v", len(table), err)
	}
	for _, row := range table {
		if len(row.Names) == 0 {
			row.Names = []string{row.Variable}
		}
		for _, name := range row.Names {
			if !got[action.Input(name)] {
				t.Errorf("%s has no input %s", name, action.Input(name))
			}
			delete(got, action.Input(name))
		}
	}
	if !got["binary"] || !got["download_url"] || len(got) != 2 {
		t.Errorf("inputs that are no settings: %v", got)
	}
}

// shim is a copy of the action whose version and checksum are those of the test's own octopatch, and a server that
// has it.
type shim struct {
	t        *testing.T
	dir      string
	url      string
	fetched  atomic.Int32
	release  []byte // what the server hands out
	checksum string
}

const releaseOfTest = "9.8.7"

func newShim(t *testing.T) *shim {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not on PATH")
	}
	s := &shim{t: t, dir: t.TempDir()}
	for _, name := range []string{"main.mjs", "post.mjs", "settings.mjs"} {
		text, err := os.ReadFile("../../action/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(s.dir, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.release, err = os.ReadFile(program(t)); err != nil {
		t.Fatal(err)
	}
	s.checksum = fmt.Sprintf("%x", sha256.Sum256(s.release))
	s.beside("version", releaseOfTest+"\n")
	s.beside("checksums.txt", strings.Repeat("0", 64)+"  octopatch_plan9_mips\n"+s.checksum+"  "+asset()+"\n")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.fetched.Add(1); r.URL.Path != "/v"+releaseOfTest+"/"+asset() {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(s.release)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *shim) beside(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func asset() string {
	name := "octopatch_" + runtime.GOOS + "_" + runtime.GOARCH
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return name
}

func (s *shim) cached() string {
	return filepath.Join(s.dir, "tools", "octopatch", releaseOfTest, asset())
}

// main runs the shim as the runner does.
func (s *shim) main(environ ...string) ending {
	s.t.Helper()
	process := exec.CommandContext(s.t.Context(), "node", filepath.Join(s.dir, "main.mjs"))
	process.Env = with([]string{"PATH=" + os.Getenv("PATH"), "SystemRoot=" + os.Getenv("SystemRoot"), "GITHUB_ACTIONS=true", "GITHUB_STATE=" + filepath.Join(s.dir, "state"), "GITHUB_OUTPUT=" + filepath.Join(s.dir, "output"),
		"RUNNER_TOOL_CACHE=" + filepath.Join(s.dir, "tools"), "RUNNER_TEMP=" + s.dir, "INPUT_DOWNLOAD_URL=" + s.url + "/"}, environ...)
	var out, errs strings.Builder
	process.Stdout, process.Stderr = &out, &errs
	_ = process.Run() // its exit code says it
	return ending{process.ProcessState.ExitCode(), out.String(), errs.String()}
}

// TestActionFetches: the released binary is fetched once, compared each time, and run with the inputs as settings.
func TestActionFetches(t *testing.T) {
	t.Parallel()
	s := newShim(t)
	s.main("INPUT_PHASE=version").wants(t, 0, "octopatch ")
	s.main("INPUT_PHASE=version").wants(t, 0, "octopatch ")
	if n := s.fetched.Load(); n != 1 {
		t.Errorf("it was fetched %d times", n)
	}
	if err := os.WriteFile(s.cached(), []byte("#!/bin/sh\necho somebody was here\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.main("INPUT_PHASE=version").wants(t, 0, "octopatch ")
	if n := s.fetched.Load(); n != 2 {
		t.Errorf("a changed copy in the cache was trusted")
	}
	s.main("INPUT_PHASE=nosuch").wants(t, 4, "::error title=octopatch refused::octopatch nosuch: is no command")
	state, err := os.ReadFile(filepath.Join(s.dir, "state"))
	if err != nil || !strings.HasSuffix(string(state), "binary="+s.cached()+"\nended=4\n") {
		t.Errorf("%q, %v", state, err)
	}
}

// TestActionRefusesAFlippedByte: nothing is executed or kept, and both hashes are named.
func TestActionRefusesAFlippedByte(t *testing.T) {
	t.Parallel()
	s := newShim(t)
	s.release[len(s.release)/2] ^= 1
	got := s.main("INPUT_PHASE=version")
	got.wants(t, 1, "::error::", fmt.Sprintf("%x", sha256.Sum256(s.release)), s.checksum, "nothing was executed")
	if _, err := os.Stat(s.cached()); err == nil || strings.Contains(got.out, "octopatch (") {
		t.Errorf("it was kept or executed: %s", got.out)
	}
}

// TestActionWithoutRelease: what cannot be fetched is named, with the way out.
func TestActionWithoutRelease(t *testing.T) {
	t.Parallel()
	s := newShim(t)
	s.main("INPUT_PHASE=version", "INPUT_DOWNLOAD_URL="+s.url+"/elsewhere").wants(t, 1, "/elsewhere/v9.8.7/"+asset()+" could not be fetched (status 404)", `set the input "binary"`)
	s.main("INPUT_PHASE=version", "INPUT_DOWNLOAD_URL=http://127.0.0.1:1").wants(t, 1, "::error::octopatch: http://127.0.0.1:1/v9.8.7/"+asset()+" could not be fetched (fetch failed: ", "set NODE_USE_ENV_PROXY=1", `set the input "binary"`)
	s.beside("checksums.txt", "")
	s.main("INPUT_PHASE=version").wants(t, 1, "pin the action to a release, or set the input")
	s.main("INPUT_PHASE=version", "INPUT_BINARY="+program(t)).wants(t, 0, "octopatch ")
	s.main("INPUT_PHASE=version", "INPUT_BINARY="+filepath.Join(s.dir, "nosuch")).wants(t, 1, "::error::octopatch: spawn")
	if state := readAll(t, filepath.Join(s.dir, "state")); !strings.HasSuffix(state, "nosuch\nended=never\n") {
		t.Errorf("post.mjs would look for what a program did that never began: %q", state)
	}
}

// TestActionSettings: an input wins over the variable, an empty one does not, and an unknown one is refused.
func TestActionSettings(t *testing.T) {
	t.Parallel()
	s := newShim(t)
	local := "INPUT_BINARY=" + program(t)
	s.main(local, "INPUT_PHASE=  ", "OCTOPATCH_PHASE=version").wants(t, 0, "octopatch ")
	s.main(local, "INPUT_PHASE=version", "OCTOPATCH_PHASE=run").wants(t, 0, "octopatch ")
	s.main("OCTOPATCH_BINARY="+program(t), "OCTOPATCH_PHASE=version").wants(t, 0, "octopatch ")
	s.main(local, "INPUT_PHASE=plan", "INPUT_MAX_ROUND=3").wants(t, 4, "OCTOPATCH_MAX_ROUND: is not a setting of octopatch (did you mean OCTOPATCH_MAX_ROUNDS?")
	got := s.main(local, "INPUT_PHASE=plan", "INPUT_SERVER=nowhere", "INPUT_API_KEY=API-VERYSECRET", "OCTOPUS_URL=https://octopus.example.com", "INPUT_NODES=A,A\n::warning::injected")
	got.wants(t, 4, "::add-mask::API-VERYSECRET\n::error title=octopatch refused::OCTOPUS_URL: ")
	if strings.Count(got.out+got.errs, "VERYSECRET") != 1 || strings.Contains(got.out+got.errs, "\n::warning") {
		t.Errorf("%s%s", got.out, got.errs)
	}
	output, err := os.ReadFile(filepath.Join(s.dir, "output"))
	if err != nil || !strings.Contains(string(output), "result<<") || !strings.Contains(string(output), "refused") {
		t.Errorf("%s, %v", output, err)
	}
}

// TestActionStep: in a step, masks come first, phases are groups, and outputs and summary tell what became of it.
func TestActionStep(t *testing.T) {
	steadily(t, func(t *attempt) {
		dir := t.TempDir()
		environ := []string{"GITHUB_ACTIONS=true", "GITHUB_OUTPUT=" + filepath.Join(dir, "output"), "GITHUB_STEP_SUMMARY=" + filepath.Join(dir, "summary"), "OCTOPATCH_REPORT_DIR=" + filepath.Join(dir, "report"),
			"OCTOPATCH_REHEARSAL_NODES=2", fmt.Sprintf("OCTOPATCH_REHEARSAL_SPEED=%g", t.speed)}
		got := octopatch(t.Context(), environ, "rehearse")
		got.wants(t, 0, "::group::", "::endgroup::", "OCTO-01 patch ")
		if !strings.HasPrefix(got.out, "::add-mask::API-") {
			t.Errorf("it begins with %.80q", got.out)
		}
		output, summary := readAll(t, filepath.Join(dir, "output")), readAll(t, filepath.Join(dir, "summary"))
		for _, want := range []string{"result<<.*\ndone\n", "exit_code<<.*\n0\n", "report<<.*\n.+report\n", "downtime_seconds<<.*\n0\n", "updates_installed<<.*\n[1-9]", `nodes<<.*\n\[\{"node":"OCTO-01","result":"done"`} {
			if !regexp.MustCompile(want).MatchString(output) {
				t.Errorf("no %s in the outputs:\n%s", want, output)
			}
		}
		for _, want := range []string{"# Done: 2 of 2 nodes patched and serving", "| OCTO-02 |", "## Downtime", "```mermaid\ngantt\n", "section OCTO-01\n", "  patch :done, 2"} {
			if !strings.Contains(summary, want) {
				t.Errorf("no %q in the summary:\n%s", want, summary)
			}
		}
	})
}

func readAll(t interface{ Fatal(...any) }, name string) string {
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
