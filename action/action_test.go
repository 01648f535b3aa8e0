package action

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// step is one whose files lie in a folder of the test.
func step(t *testing.T, out *strings.Builder, more map[string]string) (*Step, func(name string) string) {
	t.Helper()
	dir := t.TempDir()
	env := map[string]string{"GITHUB_OUTPUT": filepath.Join(dir, "output"), "GITHUB_STEP_SUMMARY": filepath.Join(dir, "summary")}
	for name, value := range more {
		env[name] = value
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(text)
	}
	return New(out, func(name string) string { return env[name] }), read
}

// outputs reads the file as the runner does: name<<delimiter, lines, delimiter.
func outputs(t *testing.T, text string) map[string]string {
	t.Helper()
	values := map[string]string{}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines) && text != ""; {
		name, end, ok := strings.Cut(lines[i], "<<")
		if !ok {
			t.Fatalf("line %q begins no output", lines[i])
		}
		var value []string
		for i++; i < len(lines) && lines[i] != end; i++ {
			value = append(value, lines[i])
		}
		if i == len(lines) {
			t.Fatalf("output %s has no end", name)
		}
		i++
		values[name] = strings.Join(value, "\n")
	}
	return values
}

// hostile are values from outside: names of tasks and nodes, texts of updates, errors.
var hostile = []string{
	"a\nresult=done", "a\r\n::set-output name=result::done", "::set-output name=result::done", "%0A::error::x", "a%0Dresult<<x",
	delimiter, "a\n" + delimiter + "\nresult<<E\ndone\nE", "_GitHubActions" + delimiter + "FileCommandDelimeter_", "\u2028" + delimiter + "\u2028", "##[add-mask]x", "\x1b[2J", "",
}

// TestOutputsCannotBeInjected: whatever a value holds, the file holds exactly the outputs that were set.
func TestOutputsCannotBeInjected(t *testing.T) {
	for _, value := range hostile {
		var out strings.Builder
		s, read := step(t, &out, nil)
		if err := s.Set(map[string]string{"next": value, "run": "R", "no_such_output": "x"}); err != nil {
			t.Fatal(err)
		}
		got := outputs(t, read("output"))
		if len(got) != 2 || got["run"] != "R" || strings.ContainsAny(got["next"], "\r\n\x1b") {
			t.Errorf("%q became %q", value, got)
		}
		if out.Len() > 0 {
			t.Errorf("%q printed %q", value, out.String())
		}
	}
}

// TestAnnotationsCannotBeInjected: a refusal is one command for each of its lines, and no other.
func TestAnnotationsCannotBeInjected(t *testing.T) {
	for _, value := range hostile {
		var out strings.Builder
		s, _ := step(t, &out, nil)
		if err := s.Refused(errors.New("OCTOPATCH_NODES: " + value)); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if !strings.HasPrefix(line, "::error title=octopatch refused::") {
				t.Errorf("%q printed %q", value, line)
			}
		}
		if strings.Count(out.String(), "\n") != strings.Count(value, "\n")+1 && value != "" && !strings.HasSuffix(value, "\n") {
			t.Errorf("%q printed %q", value, out.String())
		}
	}
}

func TestMask(t *testing.T) {
	var out strings.Builder
	s, _ := step(t, &out, nil)
	if err := s.Mask("a%b", ""); err != nil || out.String() != "::add-mask::a%25b\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// TestSummaryIsCut: GitHub shows nothing of a summary of more than 1 MiB.
func TestSummaryIsCut(t *testing.T) {
	var out strings.Builder
	s, read := step(t, &out, nil)
	if err := s.Summary(strings.Repeat("- a line of a long report\n", 60000)); err != nil {
		t.Fatal(err)
	}
	if got := read("summary"); len(got) >= 1<<20 || !strings.Contains(got, "report\n\nGitHub shows no more") {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-100:])
	}
	if err := New(&out, func(string) string { return "" }).Summary("x"); err != nil {
		t.Errorf("without a file for it: %v", err)
	}
}

// TestUnwritable: what cannot be told is an error, and no panic.
func TestUnwritable(t *testing.T) {
	var out strings.Builder
	s, _ := step(t, &out, map[string]string{"GITHUB_OUTPUT": t.TempDir(), "GITHUB_STEP_SUMMARY": t.TempDir()})
	if s.Set(map[string]string{"run": "R"}) == nil || s.Summary("x") == nil {
		t.Error("a folder was written to")
	}
}

// TestIDToken: the token is asked for with the audience, masked, and no answer's body shows in an error.
func TestIDToken(t *testing.T) {
	answer, status := `{"value":"header.payload.signature"}`, http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer request-token" || r.URL.Query().Get("audience") != "account" || r.URL.Query().Get("x") != "1" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	var out strings.Builder
	s, _ := step(t, &out, map[string]string{requestURL: server.URL + "?x=1", requestToken: "request-token"})
	if token, err := s.IDToken(context.Background(), "account"); err != nil || token.Reveal() != "header.payload.signature" || out.String() != "::add-mask::header.payload.signature\n" {
		t.Errorf("%v, printed %q", err, out.String())
	}
	answer, status = "what a proxy says about us", http.StatusForbidden
	if _, err := s.IDToken(context.Background(), "account"); err == nil || strings.Contains(err.Error(), "proxy") || !strings.Contains(err.Error(), "403") {
		t.Errorf("%v", err)
	}
	answer, status = `{"value":""}`, http.StatusOK
	if _, err := s.IDToken(context.Background(), "account"); err == nil {
		t.Error("an empty token was taken")
	}
	none, _ := step(t, &out, nil)
	if _, err := none.IDToken(context.Background(), "account"); err == nil || none.CanIDToken() || !s.CanIDToken() {
		t.Errorf("%v", err)
	}
}
