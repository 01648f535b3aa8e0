package windows

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// untilSaid cancels once the text has been said.
type untilSaid struct {
	text   string
	cancel context.CancelFunc
	mu     sync.Mutex
	all    bytes.Buffer
}

func (u *untilSaid) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all.Write(p)
	if strings.Contains(u.all.String(), u.text) {
		u.cancel()
	}
	return len(p), nil
}

// TestSecondRunner: the worker outlives the connection and the runner. A second runner that asks for the same job is
// told all that the worker has said, follows it to its end, and no update is installed twice; a third finds the result.
func TestSecondRunner(t *testing.T) {
	t.Parallel()
	t.Run("twin", func(t *testing.T) { t.Parallel(); secondRunner(t, nil) })
	t.Run("PowerShell", func(t *testing.T) {
		needPowerShell(t)
		t.Parallel()
		secondRunner(t, startShell)
	})
}

func secondRunner(t *testing.T, run shell) {
	m := newMachine(t, state{}, 20, run)
	ctx, cancel := context.WithCancel(t.Context())
	first := &untilSaid{text: `"stage":"install"`, cancel: cancel}
	_, _ = m.Run(ctx, wsman.Command{Line: scripts.CommandLine, Stdin: strings.NewReader(input(t, scripts.Text("work"), install(1))), Stdout: first, Stderr: io.Discard})
	if ctx.Err() == nil || strings.Contains(first.all.String(), `"answer"`) {
		t.Fatalf("the first runner was not cut off in the middle:\n%s", first.all.String())
	}
	m.mu.Lock()
	worker := m.findTask(workerFolder, workerName)
	runs := worker != nil && worker.state == taskRunning
	m.mu.Unlock()
	if !runs {
		t.Fatalf("the worker has not outlived its runner: %+v", worker)
	}
	var told [2]said
	for i := range told {
		told[i] = ask(t, m, scripts.Text("work"), install(2), false)
		m.mu.Lock()
		now := m.findTask(workerFolder, workerName)
		m.mu.Unlock()
		if now != worker {
			t.Errorf("runner %d has begun a worker of its own", i+2)
		}
	}
	stages := map[string]int{}
	for _, line := range told[0].Progress {
		stages[textOf(line.(object), "stage")]++
	}
	answer, _ := told[0].Answer.(object)["answer"].(object)
	if textOf(answer, "state") != "done" || stages["search"] != 1 || stages["download"] == 0 || stages["install"] < 2 {
		t.Errorf("the second runner was told %v, and then %v", stages, told[0])
	}
	if again, _ := told[1].Answer.(object)["answer"].(object); textOf(again, "state") != "done" {
		t.Errorf("the third runner was told %v", told[1])
	}
	m.reboot(t)
	for kb, times := range m.Snapshot().Installed {
		if times != 1 {
			t.Errorf("KB%s was installed %d times", kb, times)
		}
	}
	if len(m.Snapshot().Installed) < 2 {
		t.Errorf("installed: %v", m.Snapshot().Installed)
	}
}

// reboot commits what is installed.
func (m *Machine) reboot(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.commit() {
		t.Error("nothing was installed")
	}
}
