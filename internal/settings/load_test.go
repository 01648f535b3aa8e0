package settings

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/octopatch/octopatch/internal/procedure"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// good is an environment with which every command may begin.
func good(more ...string) []string {
	return append([]string{"OCTOPUS_URL=https://octopus.example.com", "OCTOPUS_API_KEY=API-KEY", "OCTOPATCH_NODES=A=a.example.com,B", "OCTOPATCH_WINRM_USERNAME=u",
		"OCTOPATCH_WINRM_PASSWORD=hunter2", "OCTOPATCH_PRECAUTION=none", "PATH=/bin"}, more...)
}

func TestLoad(t *testing.T) {
	t.Parallel()
	s, err := Load(good("OCTOPATCH_WINDOW=2026-12-13T02:00+10:00/4h", "OCTOPATCH_INCLUDE_KBS=KB5031234,5031235", "OCTOPATCH_NODE_URLS=A=https://a,B=https://b"), Change)
	if err != nil {
		t.Fatal(err)
	}
	if s.Nodes.List[0].Host != "a.example.com" || s.Nodes.List[1].Host != "B" || s.MaxRounds != 5 || !s.TLS || s.NodeURLs["B"] != "https://b" {
		t.Errorf("got %+v", s)
	}
	want := procedure.UpdateFilter{Source: "default", Include: []string{"5031234", "5031235"}, Exclude: []string{},
		Classifications: []string{classifications["security"], classifications["critical"], classifications["rollups"]}}
	if got := s.Filter(); !cmp.Equal(got, want) {
		t.Errorf("filter differs (+got, -want):\n%s", cmp.Diff(want, got))
	}
	if text := fmt.Sprintf("%+v %v", s, s.Effective()); strings.Contains(text, "hunter2") || strings.Contains(text, "API-KEY") {
		t.Errorf("a secret shows in %s", text)
	}
}

func TestFaultsNameVariableAndRemedy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ env, subject, says string }{
		{"OCTOPUS_URL=", "OCTOPUS_URL", "is not set"},
		{"OCTOPUS_URL=octopus.example.com", "OCTOPUS_URL", "is not an address"},
		{"OCTOPUS_URL=https://u:p@octopus", "OCTOPUS_URL", "carries a user"},
		{"OCTOPUS_URL=https://octopus?x=1", "OCTOPUS_URL", "query"},
		{"OCTOPUS_API_KEY=", "OCTOPUS_API_KEY", "is not set"},
		{"OCTOPUS_ACCESS_TOKEN=t", "OCTOPUS_API_KEY", "keep one"},
		{"OCTOPATCH_NODES=", "OCTOPATCH_NODES", "unset never means all"},
		{"OCTOPATCH_NODES=A,a", "OCTOPATCH_NODES", "twice"},
		{"OCTOPATCH_NODES=A=h:0", "OCTOPATCH_NODES", "port"},
		{"OCTOPATCH_NODES=A,", "OCTOPATCH_NODES", "no node name"},
		{"OCTOPATCH_NODES=A,all", "OCTOPATCH_NODES", "all stands alone"},
		{"OCTOPATCH_NODE_URLS=A", "OCTOPATCH_NODE_URLS", "NAME=value"},
		{"OCTOPATCH_NODE_URLS=A=ftp://a", "OCTOPATCH_NODE_URLS", "node A"},
		{"OCTOPATCH_TOPOLOGY=cluster", "OCTOPATCH_TOPOLOGY", "auto, single, ha"},
		{"OCTOPATCH_DRAIN_TIMEOUT=1 hour", "OCTOPATCH_DRAIN_TIMEOUT", "a duration such as"},
		{"OCTOPATCH_DRAIN_TIMEOUT=-1h", "OCTOPATCH_DRAIN_TIMEOUT", "not above 0"},
		{"OCTOPATCH_MAX_ROUNDS=many", "OCTOPATCH_MAX_ROUNDS", "whole number"},
		{"OCTOPATCH_MAX_ROUNDS=0", "OCTOPATCH_MAX_ROUNDS", "between 1 and 20"},
		{"OCTOPATCH_CATEGORIES=securty", "OCTOPATCH_CATEGORIES", "not a category"},
		{"OCTOPATCH_EXCLUDE_KBS=KB12", "OCTOPATCH_EXCLUDE_KBS", "not a KB number"},
		{"OCTOPATCH_PRECAUTION=", "OCTOPATCH_PRECAUTION", "must be chosen"},
		{"OCTOPATCH_PRECAUTION=vsphere", "OCTOPATCH_PRECAUTION", `"vsphere" is not one of none`},
		{"OCTOPATCH_WINDOW=tomorrow", "OCTOPATCH_WINDOW", "4h"},
		{"OCTOPATCH_WINDOW=2026-12-13/4h", "OCTOPATCH_WINDOW", "offset"},
		{"OCTOPATCH_WINRM_PASSWORD=", "OCTOPATCH_WINRM_PASSWORD", "is not set"},
		{"OCTOPATCH_WINRM_AUTH=kerberos", "OCTOPATCH_WINRM_AUTH", "ntlm, basic"},
		{"OCTOPATCH_WINRM_TLS=false", "OCTOPATCH_WINRM_TLS", "sealed"},
		{"OCTOPATCH_WINRM_FINGERPRINT=abc", "OCTOPATCH_WINRM_FINGERPRINT", "64 hexadecimal"},
		{"OCTOPATCH_WINRM_CREDENTIALS_FILE=/does/not/exist", "OCTOPATCH_WINRM_CREDENTIALS_FILE", "/does/not/exist"},
		{"OCTOPATCH_DRAIN_TIMEOUTS=1h", "OCTOPATCH_DRAIN_TIMEOUTS", "OCTOPATCH_DRAIN_TIMEOUT?"},
		{"OCTOPATCH_NODS=x", "OCTOPATCH_NODS", "OCTOPATCH_NODE"},
		{"OCTOPUS_API_KEY_FILE=x", "OCTOPUS_API_KEY", "keep one"},
		{"OCTOPATCH_WINRM_INSECURE=perhaps", "OCTOPATCH_WINRM_INSECURE", "true or false"},
		{"OCTOPATCH_REHEARSAL_CLOCK=1,10", "OCTOPATCH_REHEARSAL_CLOCK", "not a loopback"},
		{"OCTOPATCH_REHEARSAL_CLOCK=1", "OCTOPATCH_REHEARSAL_CLOCK", "epoch"},
		{"OCTOPATCH_REHEARSAL_SPEED=NaN", "OCTOPATCH_REHEARSAL_SPEED", "between"},
	} {
		t.Run(c.env, func(t *testing.T) {
			t.Parallel()
			name, _, _ := strings.Cut(c.env, "=")
			var env []string
			for _, item := range good() {
				if !strings.HasPrefix(item, name+"=") {
					env = append(env, item)
				}
			}
			_, err := Load(append(env, c.env), Change)
			var f *procedure.Fault
			if !errors.Is(err, procedure.ErrRefused) || !errors.As(err, &f) {
				t.Fatalf("got %v", err)
			}
			if f.Subject != c.subject || !strings.Contains(f.Error(), c.says) || f.Remedy == "" || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v\nwant one fault of %s that says %q and has a remedy", err, c.subject, c.says)
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Load([]string{"OCTOPATCH_TOPOLOGY=x", "OCTOPATCH_SOAK=x", "OCTOPATCH_UNHEARD_OF=x", "OCTOPATCH_QUEUED="}, Change)
	text := fmt.Sprint(err)
	for _, name := range []string{"OCTOPATCH_TOPOLOGY", "OCTOPATCH_SOAK", "OCTOPATCH_UNHEARD_OF", "OCTOPUS_URL", "OCTOPUS_API_KEY", "OCTOPATCH_NODES", "OCTOPATCH_WINRM_USERNAME", "OCTOPATCH_WINRM_PASSWORD", "OCTOPATCH_PRECAUTION"} {
		if strings.Count(text, "\n"+name)+strings.Count(text, name+":") == 0 {
			t.Errorf("%s is not reported in\n%s", name, text)
		}
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("API-FROMFILE\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load([]string{"OCTOPUS_API_KEY_FILE=" + file}, Nothing)
	if err != nil || s.Key.Reveal() != "API-FROMFILE" {
		t.Errorf("got %q, %v", s.Key.Reveal(), err)
	}
	for _, bad := range []string{filepath.Join(t.TempDir(), "none"), emptyFile(t)} {
		if _, err := Load([]string{"OCTOPUS_API_KEY_FILE=" + bad}, Nothing); err == nil || !strings.Contains(err.Error(), "OCTOPUS_API_KEY_FILE") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func emptyFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(name, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCredentialsFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(file, []byte(`{"A":{"username":"u","password":"hunter3"},"B":{"username":"v","password":"hunter4"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"OCTOPUS_URL=https://o", "OCTOPUS_API_KEY=k", "OCTOPATCH_NODES=A,B", "OCTOPATCH_WINRM_CREDENTIALS_FILE=" + file}
	s, err := Load(env, Hosts)
	if err != nil || s.Credentials["B"].Password.Reveal() != "hunter4" {
		t.Errorf("got %+v, %v", s.Credentials, err)
	}
	env[2] = "OCTOPATCH_NODES=A,C"
	if _, err := Load(env, Hosts); err == nil || !strings.Contains(err.Error(), "OCTOPATCH_WINRM_USERNAME") {
		t.Errorf("node C has no login, and yet: %v", err)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(*bytes.Buffer) error{"settings.txt": func(b *bytes.Buffer) error { return WriteTable(b) }, "settings.json": func(b *bytes.Buffer) error { return WriteJSON(b) }} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := b.String(), strings.ReplaceAll(string(want), "\r\n", "\n"); got != want {
			t.Errorf("%s differs (+got, -want); go test ./internal/settings -update renews it\n%s", name, cmp.Diff(want, got))
		}
	}
}

// FuzzLoad: whatever the environment holds, Load ends in settings or in refusals, and prints no secret.
func FuzzLoad(f *testing.F) {
	f.Add("OCTOPATCH_NODES", "A=[::1]:5986,B")
	f.Add("OCTOPATCH_WINDOW", "2026-12-13T02:00+10:00/4h")
	f.Add("OCTOPATCH_NODE_URLS", "A=https://a,B=http://b")
	f.Fuzz(func(t *testing.T, name, value string) {
		_, err := Load(good(name+"="+value), Change)
		if err != nil && !errors.Is(err, procedure.ErrRefused) {
			t.Errorf("%v is no refusal", err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password shows: %v", err)
		}
	})
}
