package journal

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

func TestKeepReplacesTheCopyOfANode(t *testing.T) {
	t.Parallel()
	store := Store{Dir: filepath.Join(t.TempDir(), "state")}
	for counter := range int64(3) {
		if err := store.Keep(procedure.Journal{Run: "r1", Node: `OCTO/..\1`, Counter: counter}); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(store.Dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got files %v, %v; want one", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var got procedure.Journal
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if want := (procedure.Journal{Run: "r1", Node: `OCTO/..\1`, Counter: 2}); !cmp.Equal(got, want) {
		t.Errorf("copy differs (+got, -want):\n%s", cmp.Diff(want, got))
	}
}

func TestKeepSaysWhichVariableToMend(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Store{Dir: file}.Keep(procedure.Journal{Run: "r1"})
	var fault *procedure.Fault
	if !errors.As(err, &fault) || fault.Subject != "OCTOPATCH_STATE_DIR" {
		t.Errorf("got %v, want a fault of OCTOPATCH_STATE_DIR", err)
	}
}

func TestOwner(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"github", map[string]string{"GITHUB_REPOSITORY": "ops/patch", "GITHUB_RUN_ID": "7", "GITHUB_JOB": "night"}, "ops/patch/7/night"},
		{"octopus", map[string]string{"OCTOPUS_TASK_ID": "ServerTasks-7", "USER": "ann"}, "ServerTasks-7"},
		{"linux", map[string]string{"USER": "ann"}, "ann@jump"},
		{"windows", map[string]string{"USERNAME": "ann"}, "ann@jump"},
		{"nobody", nil, "somebody@jump"},
	} {
		if got := Owner(func(k string) string { return c.env[k] }, "jump"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestNewRunSortsByTime(t *testing.T) {
	t.Parallel()
	a, b := NewRun(time.Unix(1000, 0)), NewRun(time.Unix(2000, 0))
	if a >= b {
		t.Errorf("got %q and %q", a, b)
	}
}

func TestPeopleAreToldOnce(t *testing.T) {
	t.Parallel()
	s := Store{Dir: filepath.Join(t.TempDir(), "state")}
	if s.Told("r1", "A", 5) {
		t.Error("told before anything was")
	}
	if err := s.Tell("r1", "A", 5); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int64]bool{5: true, 6: false} {
		if got := s.Told("r1", "A", at); got != want {
			t.Errorf("firing at %d: told %t", at, got)
		}
	}
	if j, err := s.Newest("A", ""); j != nil || err != nil { // it is no copy of a journal
		t.Errorf("%+v, %v", j, err)
	}
}

// TestACopyIsFoundInAnyCase: OCTOPATCH_NODES may spell a node in another case than Octopus.
func TestACopyIsFoundInAnyCase(t *testing.T) {
	t.Parallel()
	s := Store{Dir: t.TempDir()}
	if err := s.Keep(procedure.Journal{Format: 1, Run: "20261126-120000-aaaa", Node: "OCTO-01", Counter: 3}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"OCTO-01", "octo-01"} {
		if j, err := s.Newest(name, ""); err != nil || j == nil || j.Counter != 3 {
			t.Errorf("%s: %+v, %v", name, j, err)
		}
	}
	if j, err := s.Newest("cto-01", ""); err != nil || j != nil {
		t.Errorf("another node's: %+v, %v", j, err)
	}
}
