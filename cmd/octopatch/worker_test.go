//go:build unix

package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/octopatch/octopatch/steptemplate"
)

// worker is a machine on which an Octopus Server has a step run, with the shell of one of the two templates.
type worker struct {
	syntax string
	env    []string // of the machine, besides what every step inherits
	as     string   // the system and processor by whose name the package's octopatch is looked for
}

// workers are one for each shell. Windows PowerShell is only believed to be one: the body goes by %OS%.
func workers() map[string]worker {
	here := runtime.GOOS + "_" + runtime.GOARCH
	return map[string]worker{
		"bash": {"Bash", nil, here}, "pwsh": {"PowerShell", []string{"PWSH_REAL_VERSION=1"}, here},
		"powershell": {"PowerShell", []string{"OS=Windows_NT", "PROCESSOR_ARCHITECTURE=x86", "PROCESSOR_ARCHITEW6432=AMD64"}, "windows_amd64.exe"},
	}
}

// step is one run of a step on a worker.
type step struct {
	process   *exec.Cmd
	out, errs *stream
	dir       string
	ended     chan struct{}
}

// stream can be read while it is written.
type stream struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *stream) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// onWorkers runs the test with each shell that is on PATH.
func onWorkers(t *testing.T, test func(*attempt, worker)) {
	for name, w := range workers() {
		t.Run(name, func(t *testing.T) {
			for _, program := range map[string][]string{"Bash": {"bash", "openssl"}, "PowerShell": {"pwsh"}}[w.syntax] {
				if _, err := exec.LookPath(program); err != nil {
					t.Skipf("%s is not on PATH, so no worker with it can be emulated", program)
				}
			}
			steadily(t, func(t *attempt) { test(t, w) })
		})
	}
}

// packaged is the folder into which a worker has extracted octopatch.<version>.zip; without the right to
// execute, which unpacking does not promise.
func packaged(t *attempt, w worker) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile(program(t.T))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "octopatch_"+w.as), text, 0o600)
	}
	if err == nil && strings.HasPrefix(w.as, "windows") { // Windows needs no such right
		err = os.Chmod(filepath.Join(dir, "octopatch_"+w.as), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// start begins the step: the template's parameters with their defaults, and variables besides.
func (w worker) start(t *attempt, variables map[string]string) *step {
	t.Helper()
	s := &step{out: &stream{}, errs: &stream{}, dir: t.TempDir(), ended: make(chan struct{})}
	all := map[string]string{}
	script := ""
	for _, template := range steptemplate.Templates() {
		if template.Properties["Octopus.Action.Script.Syntax"] == w.syntax {
			script = template.Script()
			for _, p := range template.Parameters {
				all[p.Name] = p.DefaultValue
			}
		}
	}
	maps.Copy(all, variables)
	script = regexp.MustCompile(`#\{([^}]+)\}`).ReplaceAllStringFunc(script, func(found string) string { // Octopus does so to every script
		if value, known := all[found[2:len(found)-1]]; known {
			return value
		}
		return found
	})
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	if w.syntax == "Bash" {
		s.process = exec.CommandContext(t.Context(), "bash", bashStep(t, s.dir, script, all, key)...)
	} else {
		s.process = exec.CommandContext(t.Context(), "pwsh", powerShellStep(t, s.dir, script, all, key)...)
	}
	s.process.Dir, s.process.Stdout, s.process.Stderr = s.dir, s.out, s.errs
	s.process.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + os.TempDir(), "TentacleHome=/opt/octopus/worker", "TentacleJournal=/opt/octopus/worker/j.xml", "OctopusCalamariWorkingDirectory=" + s.dir,
	}, w.env...)
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s
}

// kill ends the step as Octopus cancels one: the whole tree at once, without a signal that could be heeded.
func (s *step) kill() { _ = syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL) } // it may have ended

// end waits for the step.
func (s *step) end() ending {
	_ = s.process.Wait() // the exit code says it
	close(s.ended)
	return ending{s.process.ProcessState.ExitCode(), s.out.String(), s.errs.String()}
}

// cancelAt kills the step once it has said the words.
func (s *step) cancelAt(t *attempt, words string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !strings.Contains(s.out.String(), words); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never said "+words, s.out.String())
		}
	}
	s.kill()
	if got := s.end(); got.exit >= 0 {
		t.Fatalf("it ended by itself with %d: %s", got.exit, got.out)
	}
}

func writeAll(t *attempt, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func bashStep(t *attempt, dir, script string, variables map[string]string, key []byte) []string {
	t.Helper()
	configure, err := os.ReadFile("testdata/worker/configure.sh")
	if err != nil {
		t.Fatal(err)
	}
	cases := ""
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		text, iv := encrypt(key, variables[name])
		cases += fmt.Sprintf("    %q)\n      decrypt_variable %q %q ;;\n", encode(name), base64.StdEncoding.EncodeToString(text), hex.EncodeToString(iv))
	}
	writeAll(t, dir, map[string]string{
		"Configure.sh": strings.Replace(string(configure), "# <variables>\n", cases, 1), "Script.sh": script,
		"Bootstrap.Script.sh": "#!/bin/bash\nsource \"$(pwd)/Configure.sh\"\nshift\nsource \"$(pwd)/Script.sh\" \n",
	})
	return []string{"Bootstrap.Script.sh", hex.EncodeToString(key)}
}

func powerShellStep(t *attempt, dir, script string, variables map[string]string, key []byte) []string {
	t.Helper()
	bootstrap, err := os.ReadFile("testdata/worker/bootstrap.ps1")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		lines = append(lines, encode(name)+"$"+encode(variables[name]))
	}
	text, iv := encrypt(key, strings.Join(lines, "\n"))
	file := filepath.Join(dir, "Script.ps1")
	writeAll(t, dir, map[string]string{"Script.ps1": script, "Bootstrap.Script.ps1": strings.NewReplacer(
		"<iv>", base64.StdEncoding.EncodeToString(iv), "<variables>", base64.StdEncoding.EncodeToString(text), "<script>", file).Replace(string(bootstrap))})
	return []string{"-NoLogo", "-NonInteractive", "-ExecutionPolicy", "Unrestricted", "-Command", fmt.Sprintf(
		"Try {. {. '%s' -OctopusKey '%s'; if ((test-path variable:global:lastexitcode)) { exit $LastExitCode }};} catch { throw }", filepath.Join(dir, "Bootstrap.Script.ps1"), base64.StdEncoding.EncodeToString(key))}
}

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// encrypt is AES-256-CBC with padding, as Octopus encrypts variables for a script.
func encrypt(key []byte, text string) (encrypted, iv []byte) {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	iv = make([]byte, aes.BlockSize)
	_, _ = rand.Read(iv) // never fails
	missing := aes.BlockSize - len(text)%aes.BlockSize
	padded := append([]byte(text), bytes.Repeat([]byte{byte(missing)}, missing)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	return padded, iv
}

// said is what a step told Octopus by service messages.
type said struct {
	outputs   map[string]string
	artifacts map[string]string // path by name
	result    string            // why it failed
	levels    []string
}

// The grammar that Octopus parses: the first message of a line, each value in base64.
var (
	serviceMessage = regexp.MustCompile(`##octopus\[([\w-]+)((?:\s+\w+='[^']*')*)\s*\]`)
	attribute      = regexp.MustCompile(`(\w+)='([^']*)'`)
)

// listen reads service messages as Octopus does.
func listen(t *attempt, out string) said {
	t.Helper()
	s := said{outputs: map[string]string{}, artifacts: map[string]string{}}
	for line := range strings.Lines(out) {
		m := serviceMessage.FindStringSubmatch(line)
		if m == nil {
			if strings.Contains(line, "##octopus") {
				t.Errorf("%q is no service message", line)
			}
			continue
		}
		v := map[string]string{}
		for _, a := range attribute.FindAllStringSubmatch(m[2], -1) {
			value, err := base64.StdEncoding.DecodeString(a[2])
			if err != nil {
				t.Errorf("%q: %v", line, err)
			}
			v[a[1]] = string(value)
		}
		switch m[1] {
		case "setVariable":
			s.outputs[v["name"]] = v["value"]
		case "createArtifact":
			s.artifacts[v["name"]] = v["path"]
			if info, err := os.Stat(v["path"]); err != nil || fmt.Sprint(info.Size()) != v["length"] {
				t.Errorf("artifact %s: %v, want %s bytes", v["name"], err, v["length"])
			}
		case "resultMessage":
			s.result = v["message"]
		default:
			s.levels = append(s.levels, m[1])
		}
	}
	return s
}
