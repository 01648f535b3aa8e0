package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// begun starts octopatch as a process of its own, and reads its output up to the line that holds the text.
func begun(t *testing.T, args []string, environ []string, until string) (*exec.Cmd, io.ReadCloser, string) {
	t.Helper()
	process := exec.CommandContext(t.Context(), program(t), args...)
	// What it leaves when it is killed goes with the test.
	dir := t.TempDir()
	process.Env = with(environ, "PATH="+os.Getenv("PATH"), "TMPDIR="+dir, "TMP="+dir)
	out, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadString('\n')
		if all.WriteString(line); strings.Contains(line, until) {
			return process, out, all.String()
		}
		if err != nil {
			t.Fatalf("%v after %s", err, all.String())
		}
	}
}

// TestBrokenConnectionsDoNotInterrupt: a host that reboots breaks connections off in the middle of a write.
func TestBrokenConnectionsDoNotInterrupt(t *testing.T) {
	t.Parallel()
	process, _, said := begun(t, []string{"rehearse", "--serve"}, nil, "# The world")
	defer func() {
		_ = process.Process.Kill() // it may have ended
		_ = process.Wait()
	}()
	_, address, _ := strings.Cut(said, "OCTOPUS_URL='http://")
	address, _, _ = strings.Cut(address, "'")
	for range 100 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("the world is gone: %v", err)
		}
		_ = c.(*net.TCPConn).SetLinger(0) // a reset, not an orderly end
		_, _ = io.WriteString(c, strings.Repeat("GET /api/octopusservernodes/ping HTTP/1.1\r\nHost: x\r\n\r\n", 50))
		c.Close()
	}
	time.Sleep(200 * time.Millisecond)
	answer, err := http.Get("http://" + address + "/api")
	if err != nil {
		t.Fatalf("broken connections ended the process: %v", err)
	}
	answer.Body.Close()
}

// TestUnreadOutputInterrupts: where the parent was killed, nobody will tell octopatch to end.
func TestUnreadOutputInterrupts(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a pipe whose reader is gone breaks later there")
	}
	t.Parallel()
	process, out, _ := begun(t, []string{"rehearse"}, []string{"OCTOPATCH_REHEARSAL_FAULTS=task-never-ends", "OCTOPATCH_REHEARSAL_SPEED=40"}, "OCTO-01 wait")
	out.Close()
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	select {
	case <-ended:
		if code := process.ProcessState.ExitCode(); code != 130 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Error("it goes on though nobody reads it")
	}
}
