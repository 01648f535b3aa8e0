// Package fault names what a rehearsal can break: the simulated Octopus Server and the simulated hosts ask
// a Set at the place where the fault would strike.
package fault

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Fault is one thing that can be broken, by name.
type Fault struct {
	Name string // lower-case words joined by hyphens
	Help string // one sentence: what the world does then
}

// Set is the faults that were asked for, each for one node or for all. The nil Set is empty.
type Set struct {
	mu    sync.Mutex
	asked map[string][]string // name → node names; "" means every node
	taken map[string]int
}

// Parse reads "name[@node],name[@node],…" against the faults and the machines there are; with no machines named,
// every name will do.
func Parse(text string, known []Fault, machines ...string) (*Set, error) {
	s := &Set{asked: map[string][]string{}, taken: map[string]int{}}
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		name, node, _ := strings.Cut(item, "@")
		if !slices.ContainsFunc(known, func(f Fault) bool { return f.Name == name }) {
			return nil, fmt.Errorf("there is no fault %q", name)
		}
		if node != "" && len(machines) > 0 && !slices.Contains(machines, node) {
			return nil, fmt.Errorf("there is no node %q here, only %s", node, strings.Join(machines, ", "))
		}
		s.asked[name] = append(s.asked[name], node)
	}
	return s, nil
}

// Has reports whether the fault strikes this node, now and always.
func (s *Set) Has(name, node string) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has(name, node)
}

func (s *Set) has(name, node string) bool {
	for _, n := range s.asked[name] {
		if n == "" || n == node {
			return true
		}
	}
	return false
}

// Take reports whether the fault strikes this node and has struck it fewer than times before, and counts.
func (s *Set) Take(name, node string, times int) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := name + "@" + node
	if !s.has(name, node) || s.taken[key] >= times {
		return false
	}
	s.taken[key]++
	return true
}
