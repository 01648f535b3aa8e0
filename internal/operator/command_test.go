package operator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

func runner() Runner {
	return Runner{Environ: append(os.Environ(), "OWN_SECRET=hunter2-hunter2"), Mask: func(text string) string {
		return strings.ReplaceAll(text, "hunter2-hunter2", "[redacted]")
	}}
}

func TestRun(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the lines are written for /bin/sh")
	}
	for _, c := range []struct {
		name, line string
		said       []string
		exit       int
		last       string
	}{
		{name: "facts", line: `echo "$OCTOPATCH_NODE on $OCTOPATCH_HOST"`, said: []string{"O'Brien $(id) on h"}},
		{name: "both_streams_without_line_end", line: `echo out; printf err >&2`, said: []string{"out", "err"}},
		{name: "masked", line: `echo "key $OWN_SECRET"; exit 3`, said: []string{"key [redacted]"}, exit: 3, last: "key [redacted]"},
		{name: "silent_failure", line: `exit 1`, exit: 1},
		{name: "no_such_program", line: `/no/such/program`, exit: 127, last: "/no/such/program"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said []string
			err := runner().Run(context.Background(), Command{Setting: "OCTOPATCH_X", Line: c.line, Limit: time.Minute, Say: func(s string) { said = append(said, s) },
				Facts: map[string]string{"OCTOPATCH_NODE": "O'Brien $(id)", "OCTOPATCH_HOST": "h"}})
			var exit *ExitError
			if errors.As(err, &exit) != (c.exit != 0) || c.exit != 0 && (exit.Code != c.exit || !strings.Contains(exit.Last, c.last)) {
				t.Errorf("got %v, want exit code %d and last line %q", err, c.exit, c.last)
			}
			if c.said != nil && !cmp.Equal(said, c.said) {
				t.Errorf("it said %q, want %q", said, c.said)
			}
		})
	}
}

// TestNothingIsLeft: a command's grandchildren are gone once it has ended, however it ended, and do not keep us.
func TestNothingIsLeft(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the lines are written for /bin/sh")
	}
	for _, c := range []struct {
		name, line string
		limit      time.Duration
		cancel     bool
		check      func(error) bool
	}{
		{"ended_by_itself", `BEAT & exit 0`, time.Minute, false, func(err error) bool { return err == nil }},
		{"limit", `BEAT & wait`, 300 * time.Millisecond, false, func(err error) bool { return errors.Is(err, procedure.ErrTimeout) }},
		{"interrupted", `BEAT & wait`, time.Minute, true, func(err error) bool { return errors.Is(err, context.Canceled) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "beat")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if c.cancel {
				time.AfterFunc(300*time.Millisecond, cancel)
			}
			began := time.Now()
			beat := `(while :; do echo . >> ` + file + `; sleep 0.05; done)`
			err := runner().Run(ctx, Command{Setting: "OCTOPATCH_X", Line: strings.ReplaceAll(c.line, "BEAT", beat), Limit: c.limit})
			if !c.check(err) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
			time.Sleep(200 * time.Millisecond)
			before, _ := os.ReadFile(file)
			time.Sleep(300 * time.Millisecond)
			after, _ := os.ReadFile(file)
			if len(after) != len(before) {
				t.Error("a process of the command is still at work")
			}
		})
	}
}

func TestInheritAndSecrets(t *testing.T) {
	environ := []string{"PATH=/bin", "OCTOPUS_API_KEY=API-1234567890", "AWS_SECRET_ACCESS_KEY=abcdefghij", "AWS_ACCESS_KEY_ID=AKIA12345678", "DB_PASSWORD=short", "TOKEN_FILE=/run/secrets/token"}
	got := Inherit(environ, func(name string) bool { return name == "OCTOPUS_API_KEY" })
	if want := []string{"PATH=/bin", "AWS_SECRET_ACCESS_KEY=abcdefghij", "AWS_ACCESS_KEY_ID=AKIA12345678", "DB_PASSWORD=short", "TOKEN_FILE=/run/secrets/token"}; !cmp.Equal(got, want) {
		t.Errorf("inherited %q, want %q", got, want)
	}
	if got, want := Secrets(environ), []string{"API-1234567890", "abcdefghij"}; !cmp.Equal(got, want) {
		t.Errorf("secrets %q, want %q", got, want)
	}
}
