package main

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/rehearsal"
)

// What a run may cost a node and the machine that it runs on.
const (
	powerShellStarts = 25  // per node and run
	winRMRequests    = 150 // per node and run, besides Receive, which waits, and the renewals of the lease
	heapMegabytes    = 40  // of octopatch, for 16 nodes
)

// cost is what a node was asked.
type cost struct {
	starts, requests int
	actions          map[string]int
}

// costs counts by node. A command that does nothing but renew the lease is left out with all that belongs to it.
func (c *capture) costs() map[string]*cost {
	renewals := map[string]bool{}
	for _, s := range c.streams() {
		if parts := decoded(s.text.String()); s.name == "stdin" && len(parts) > 1 && strings.Contains(parts[len(parts)-1], `"action":"take"`) {
			renewals[s.node+s.command] = true
		}
	}
	all := map[string]*cost{}
	command := regexp.MustCompile(`CommandId="([^"]+)"`)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.messages {
		if m.Node == "" {
			continue
		}
		if all[m.Node] == nil {
			all[m.Node] = &cost{actions: map[string]int{}}
		}
		of := all[m.Node]
		// A new command learns its id from the answer, so it is counted there.
		counted := m.Sent && m.Action != "Receive" && m.Action != "Command" || !m.Sent && m.Action == "Command"
		id := command.FindSubmatch(m.Body)
		if m.Action == "Command" && id == nil {
			id = regexp.MustCompile(`CommandId>([^<]+)<`).FindSubmatch(m.Body)
		}
		if !counted || id != nil && renewals[m.Node+string(id[1])] {
			continue
		}
		of.requests++
		of.actions[m.Action]++
		if m.Action == "Command" {
			of.starts++
		}
	}
	return all
}

// TestCostOfARun: how often a whole run starts PowerShell on a node and asks its WinRM, on a cluster and on a
// single server.
func TestCostOfARun(t *testing.T) {
	for _, nodes := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			steadily(t, func(t *attempt) {
				seen := &capture{}
				w := newWorld(t, rehearsal.Options{Nodes: nodes, Wire: seen.note})
				octopatch(t.Context(), w.Environ(), "run").wants(t, 0)
				costs := seen.costs()
				if len(costs) != nodes {
					t.Errorf("%d nodes were asked, want %d", len(costs), nodes)
				}
				for _, name := range slices.Sorted(maps.Keys(costs)) {
					c := costs[name]
					t.Logf("%s: PowerShell was started %d times, with %d requests %v", name, c.starts, c.requests, c.actions)
					if c.starts == 0 || c.starts > powerShellStarts {
						t.Errorf("%s: PowerShell was started %d times, want 1 to %d", name, c.starts, powerShellStarts)
					}
					if c.requests < 3*c.starts || c.requests > winRMRequests {
						t.Errorf("%s: %d requests, want %d to %d", name, c.requests, 3*c.starts, winRMRequests)
					}
				}
			})
		})
	}
}

// TestMemoryForSixteenNodes: the world runs in one process and octopatch in another, whose garbage collector says
// how large its heap ever was.
func TestMemoryForSixteenNodes(t *testing.T) {
	if testing.Short() || slower > 1 {
		t.Skip("sixteen nodes, one after the other, take their time; the race detector has a heap of its own")
	}
	// All are surveyed, leased and searched; four are patched, so that it takes less than a minute.
	var idle []string
	for n := 5; n <= 16; n++ {
		idle = append(idle, fmt.Sprintf("no-updates@OCTO-%02d", n))
	}
	steadily(t, func(t *attempt) { memoryOf(t, strings.Join(idle, ",")) })
}

func memoryOf(t *attempt, faults string) {
	world, exports, err := startServing(func(name string) string {
		return map[string]string{"PATH": os.Getenv("PATH"), "OCTOPATCH_REHEARSAL_NODES": "16", "OCTOPATCH_REHEARSAL_SPEED": fmt.Sprint(t.speed), "OCTOPATCH_REHEARSAL_FAULTS": faults, "OCTOPATCH_REHEARSAL_SEED": "1"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	defer world.end()
	client := exec.CommandContext(t.Context(), program(t.T), "run")
	client.Env = []string{"GODEBUG=gctrace=1", "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"), "OCTOPATCH_REPORT_DIR=" + t.TempDir()}
	for name, value := range exports {
		client.Env = append(client.Env, name+"="+value)
	}
	var report bytes.Buffer
	client.Stdout = &report
	traces, err := client.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	heap := regexp.MustCompile(`^gc \d+ .* (\d+)->(\d+)->(\d+) MB,`)
	largest, seen, said := 0, 0, ""
	for lines := bufio.NewScanner(traces); lines.Scan(); {
		found := heap.FindStringSubmatch(lines.Text())
		if found == nil {
			said += lines.Text() + "\n"
			continue
		}
		seen++
		for _, text := range found[1:] {
			n, _ := strconv.Atoi(text)
			largest = max(largest, n)
		}
	}
	if err := client.Wait(); err != nil {
		t.Errorf("octopatch run: %v\n%s\n%s", err, said, report.String()[max(0, report.Len()-6000):])
	}
	t.Logf("the heap was at most %d MB, at %d collections", largest, seen)
	if seen == 0 || largest > heapMegabytes {
		t.Errorf("the heap was at most %d MB at %d collections, want at most %d MB", largest, seen, heapMegabytes)
	}
}

// BenchmarkStart is the time from the start of the process to its end, for a command that does nothing else. It is
// to stay under 20 ms: go test -bench Start ./cmd/octopatch
func BenchmarkStart(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "octopatch")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for b.Loop() {
		if err := exec.Command(binary, "version").Run(); err != nil {
			b.Fatal(err)
		}
	}
}
