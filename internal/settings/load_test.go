package settings

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
		Classifications: []string{procedure.Classifications()["security"], procedure.Classifications()["critical"], procedure.Classifications()["rollups"]}}
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
		{"OCTOPATCH_DRAIN_TIMEOUT=-1h", "OCTOPATCH_DRAIN_TIMEOUT", "between 1m and 168h"},
		{"OCTOPATCH_MAX_ROUNDS=many", "OCTOPATCH_MAX_ROUNDS", "whole number"},
		{"OCTOPATCH_MAX_ROUNDS=0", "OCTOPATCH_MAX_ROUNDS", "between 1 and 20"},
		{"OCTOPATCH_CATEGORIES=securty", "OCTOPATCH_CATEGORIES", "not a category"},
		{"OCTOPATCH_EXCLUDE_KBS=KB12", "OCTOPATCH_EXCLUDE_KBS", "not a KB number"},
		{"OCTOPATCH_PRECAUTION=", "OCTOPATCH_PRECAUTION", "must be chosen"},
		{"OCTOPATCH_PRECAUTION=image", "OCTOPATCH_IMAGE_TARGET", "is not set, and OCTOPATCH_PRECAUTION=image needs it"},
		{"OCTOPATCH_IMAGE_TARGET=backup", "OCTOPATCH_IMAGE_TARGET", `"backup" is neither a share nor a volume`},
		{`OCTOPATCH_IMAGE_TARGET=\\backup\images\`, "OCTOPATCH_IMAGE_TARGET", "is neither a share nor a volume"},
		{`OCTOPATCH_IMAGE_TARGET=\\backup\images\..\windows`, "OCTOPATCH_IMAGE_TARGET", "is neither a share nor a volume"},
		{`OCTOPATCH_IMAGE_TARGET=\\backup\images" -include:D:`, "OCTOPATCH_IMAGE_TARGET", "is neither a share nor a volume"},
		{"OCTOPATCH_IMAGE_TARGET=c:", "OCTOPATCH_IMAGE_TARGET", "is one of the volumes that the image is of"},
		{"OCTOPATCH_PRECAUTION=hyperv", "OCTOPATCH_HYPERV_HOST", "OCTOPATCH_PRECAUTION=hyperv needs it"},
		{"OCTOPATCH_PRECAUTION=hyperv OCTOPATCH_HYPERV_HOST=h:0", "OCTOPATCH_HYPERV_HOST", "no port between"},
		{"OCTOPATCH_PRECAUTION=hyperv OCTOPATCH_HYPERV_HOST=h,g", "OCTOPATCH_HYPERV_HOST", "NODE=host"},
		{"OCTOPATCH_PRECAUTION=hyperv OCTOPATCH_HYPERV_HOST=A=h,a=g", "OCTOPATCH_HYPERV_HOST", "twice"},
		{"OCTOPATCH_PRECAUTION=hyperv OCTOPATCH_HYPERV_HOST=A=h", "OCTOPATCH_HYPERV_HOST", "names no Hyper-V host for node B"},
		{"OCTOPATCH_PRECAUTION=hyperv OCTOPATCH_HYPERV_HOST=A.example.com", "OCTOPATCH_HYPERV_HOST", "is the host of node A itself"},
		{"OCTOPATCH_PRECAUTION=hyperv OCTOPATCH_HYPERV_HOST=b.example.com", "OCTOPATCH_HYPERV_HOST", "is the host of node B itself"},
		{"OCTOPATCH_PRECAUTION=hyperv OCTOPATCH_HYPERV_HOST=h OCTOPATCH_HYPERV_USERNAME=u", "OCTOPATCH_HYPERV_PASSWORD", "is not set, and OCTOPATCH_HYPERV_USERNAME is"},
		{"OCTOPATCH_PRECAUTION=hyperv OCTOPATCH_HYPERV_HOST=h OCTOPATCH_HYPERV_PASSWORD=p", "OCTOPATCH_HYPERV_USERNAME", "is not set, and OCTOPATCH_HYPERV_PASSWORD is"},
		{"OCTOPATCH_PRECAUTION=hyperv OCTOPATCH_HYPERV_HOST=h OCTOPATCH_HYPERV_FINGERPRINT=12", "OCTOPATCH_HYPERV_FINGERPRINT", "is not a SHA-256"},
		{"OCTOPATCH_PRECAUTION=hyperv OCTOPATCH_HYPERV_HOST=h OCTOPATCH_HYPERV_FINGERPRINT=" + pin + " OCTOPATCH_WINRM_TLS=false", "OCTOPATCH_HYPERV_FINGERPRINT", "OCTOPATCH_WINRM_TLS is false"},
		{"OCTOPATCH_PRECAUTION=hyperv OCTOPATCH_HYPERV_HOST=h OCTOPATCH_HYPERV_SERVER_NAME=https://h", "OCTOPATCH_HYPERV_SERVER_NAME", "certificate can carry"},
		{"OCTOPATCH_HYPERV_VMS=A", "OCTOPATCH_HYPERV_VMS", "NAME=value"},
		{"OCTOPATCH_VSPHERE_URL=http://v", "OCTOPATCH_VSPHERE_URL", "in the clear"},
		{"OCTOPATCH_VSPHERE_MEMORY=true", "OCTOPATCH_VSPHERE_MEMORY", "and so is OCTOPATCH_VSPHERE_QUIESCE"},
		{"OCTOPATCH_VSPHERE_FINGERPRINT=12", "OCTOPATCH_VSPHERE_FINGERPRINT", "is not a SHA-256"},
		{"OCTOPATCH_WINDOW=tomorrow", "OCTOPATCH_WINDOW", "4h"},
		{"OCTOPATCH_WINDOW=2026-12-13/4h", "OCTOPATCH_WINDOW", "offset"},
		{"OCTOPATCH_WINRM_PASSWORD=", "OCTOPATCH_WINRM_PASSWORD", "is not set"},
		{"OCTOPATCH_WINRM_AUTH=digest", "OCTOPATCH_WINRM_AUTH", "not one of ntlm, kerberos, basic"},
		{"OCTOPATCH_WINRM_AUTH=basic OCTOPATCH_WINRM_TLS=false", "OCTOPATCH_WINRM_TLS", "in clear"},
		{"OCTOPATCH_WINRM_TLS=false OCTOPATCH_WINRM_INSECURE=true", "OCTOPATCH_WINRM_INSECURE", "no certificate"},
		{"OCTOPATCH_WINRM_KRB5_CONF=load_test.go", "OCTOPATCH_WINRM_KRB5_CONF", "OCTOPATCH_WINRM_AUTH is ntlm"},
		{"OCTOPATCH_WINRM_AUTH=kerberos OCTOPATCH_WINRM_KRB5_KEYTAB=/does/not/exist OCTOPATCH_WINRM_PASSWORD=", "OCTOPATCH_WINRM_KRB5_KEYTAB", "cannot be read"},
		{"OCTOPATCH_WINRM_AUTH=kerberos OCTOPATCH_WINRM_KRB5_KEYTAB=load_test.go", "OCTOPATCH_WINRM_KRB5_KEYTAB", "so is OCTOPATCH_WINRM_PASSWORD"},
		{"OCTOPATCH_WINRM_AUTH=kerberos OCTOPATCH_WINRM_KRB5_CCACHE=load_test.go", "OCTOPATCH_WINRM_KRB5_CCACHE", "names the account"},
		{"OCTOPATCH_WINRM_FINGERPRINT=abc", "OCTOPATCH_WINRM_FINGERPRINT", "64 hexadecimal"},
		{"OCTOPATCH_WINRM_CREDENTIALS_FILE=/does/not/exist", "OCTOPATCH_WINRM_CREDENTIALS_FILE", "/does/not/exist"},
		{"OCTOPATCH_DRAIN_TIMEOUTS=1h", "OCTOPATCH_DRAIN_TIMEOUTS", "OCTOPATCH_DRAIN_TIMEOUT?"},
		{"OCTOPATCH_NODS=x", "OCTOPATCH_NODS", "OCTOPATCH_NODE"},
		{"OCTOPUS_API_KEY_FILE=x", "OCTOPUS_API_KEY", "keep one"},
		{"OCTOPATCH_WINRM_INSECURE=perhaps", "OCTOPATCH_WINRM_INSECURE", "true or false"},
		{"OCTOPATCH_REHEARSAL_CLOCK=1,10", "OCTOPATCH_REHEARSAL_CLOCK", "not a loopback"},
		{"OCTOPATCH_REHEARSAL_SNAPSHOTS=http://127.0.0.1:9", "OCTOPATCH_REHEARSAL_SNAPSHOTS", "not a loopback"},
		{"OCTOPATCH_REHEARSAL_CLOCK=1", "OCTOPATCH_REHEARSAL_CLOCK", "epoch"},
		{"OCTOPATCH_REHEARSAL_SPEED=NaN", "OCTOPATCH_REHEARSAL_SPEED", "between"},
		{"OCTOPATCH_REHEARSAL_NODES=17", "OCTOPATCH_REHEARSAL_NODES", "between 1 and 16"},
		{"OCTOPUS_URL=https://u:p@octo pus", "OCTOPUS_URL", `"...@octo pus" is not an address`},
		{"OCTOPUS_URL=https://octopus:99999", "OCTOPUS_URL", "is not an address"},
		{"OCTOPUS_URL=https://octopus/api/", "OCTOPUS_URL", "ends with /api"},
		{"OCTOPATCH_STEP_SERVER_URL=ops", "OCTOPATCH_STEP_SERVER_URL", "is not an address"},
		{"OCTOPATCH_OCTOPUS_CA_FILE=/does/not/exist", "OCTOPATCH_OCTOPUS_CA_FILE", "/does/not/exist cannot be read"},
		{"OCTOPATCH_WINRM_CA_FILE=load_test.go", "OCTOPATCH_WINRM_CA_FILE", "no certificate"},
		{"OCTOPATCH_NODES=A=::1", "OCTOPATCH_NODES", "IPv6 in brackets"},
		{"OCTOPATCH_NODES=A=h#x", "OCTOPATCH_NODES", "host or host:port"},
		{"OCTOPATCH_NODES=A=,B", "OCTOPATCH_NODES", "host or host:port"},
		{"OCTOPATCH_NODES=A=h,B=H", "OCTOPATCH_NODES", "same host"},
		{"OCTOPATCH_NODES=A=h:0,B=h:x", "OCTOPATCH_NODES", "; "},
		{"OCTOPATCH_NODE_URLS=A=https://a,a=https://b", "OCTOPATCH_NODE_URLS", "twice"},
		{"OCTOPATCH_CATEGORIES=,", "OCTOPATCH_CATEGORIES", "lists nothing"},
		{"OCTOPATCH_INCLUDE_KBS=5031234x", "OCTOPATCH_INCLUDE_KBS", "not a KB number"},
		{"OCTOPATCH_SOAK=-1s", "OCTOPATCH_SOAK", "between 0s and 24h"},
		{"OCTOPATCH_STALL_TIMEOUT=1s", "OCTOPATCH_STALL_TIMEOUT", "between 1m and 24h"},
		{"OCTOPATCH_WINDOW=0h", "OCTOPATCH_WINDOW", "above 0"},
		{"OCTOPATCH_MAX_FAILED_NODES=-1", "OCTOPATCH_MAX_FAILED_NODES", "between 0 and 100"},
		{"OCTOPATCH_WINRM_PORT=0", "OCTOPATCH_WINRM_PORT", "between 1 and 65535"},
		{"OCTOPATCH_WINRM_FINGERPRINT=A=" + pin + ",B=xyz", "OCTOPATCH_WINRM_FINGERPRINT", "node B"},
		{"OCTOPATCH_WINRM_FINGERPRINT=A=" + pin + "," + pin, "OCTOPATCH_WINRM_FINGERPRINT", "NAME=value"},
		{"OCTOPATCH_WINRM_SERVER_NAME=https://octo-01", "OCTOPATCH_WINRM_SERVER_NAME", "certificate can carry"},
		{"OCTOPATCH_WINRM_PASSWORD=two\nlines", "OCTOPATCH_WINRM_PASSWORD", "line break"},
		{"OCTOPATCH_RUN_ID=../../etc", "OCTOPATCH_RUN_ID", "not a run id"},
		{"OCTOPATCH_ON_FAILURE=recover", "OCTOPATCH_ON_FAILURE", "cannot be reverted to from here"},
		{"Octopatch_Nodes=x", "Octopatch_Nodes", "OCTOPATCH_NODES?"},
		{"OCTOPATCH_WINRM_PASSWORD_FIEL=x", "OCTOPATCH_WINRM_PASSWORD_FIEL", "OCTOPATCH_WINRM_PASSWORD_FILE?"},
	} {
		t.Run(c.env, func(t *testing.T) {
			t.Parallel()
			more := strings.Split(strings.ReplaceAll(c.env, " OCTOPATCH_", "\x00OCTOPATCH_"), "\x00")
			var env []string
			for _, item := range good() {
				if !slices.ContainsFunc(more, func(m string) bool {
					name, _, _ := strings.Cut(m, "=")
					return strings.HasPrefix(item, name+"=")
				}) {
					env = append(env, item)
				}
			}
			_, err := Load(append(env, more...), Change)
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

var pin = strings.Repeat("0a:", 31) + "0A"

func TestWhatIsAccepted(t *testing.T) {
	t.Parallel()
	s, err := Load(good("OCTOPATCH_NODES= A=[::1]:5986 , B=10.0.0.2:1 ", "OCTOPATCH_CATEGORIES=Security, service-packs ,0FA1201D-4330-4FA8-8AE9-B877473B6441", "OCTOPATCH_SERVICES=OctopusDeploy: Ops, X ",
		"OCTOPATCH_WINRM_FINGERPRINT=A="+pin+",B="+pin, "OCTOPATCH_NODE_URLS=a=http://[::1]:8080", "OCTOPATCH_WINRM_PASSWORD= blank ", "OCTOPATCH_SOAK=0s", "OCTOPATCH_QUEUED=", "OCTOPATCH_WINDOW=4h", "octopus=x"), Change)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, got, want string }{
		{"nodes", fmt.Sprint(s.Nodes.List), "[{A ::1 5986} {B 10.0.0.2 1}]"},
		{"classifications", fmt.Sprint(s.Filter().Classifications), "[0fa1201d-4330-4fa8-8ae9-b877473b6441 68c5b0a3-d1a6-4553-ae49-01d3a7827828]"},
		{"services", fmt.Sprintf("%q", s.Services), `["OctopusDeploy: Ops" "X"]`},
		{"fingerprint", PerNode(s.Fingerprint, "b"), pin},
		{"no fingerprint", PerNode(s.Fingerprint, "C"), ""},
		{"node URL", s.NodeURL("A"), "http://[::1]:8080"},
		{"no node URL", s.NodeURL("B"), ""},
		{"password", s.Login("A").Password.Reveal(), " blank "},
		{"empty is unset", s.Queued, "run"},
		{"window", fmt.Sprint(s.Window.Start.IsZero(), s.Window), "true 4h"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %s, want %s", c.what, c.got, c.want)
		}
	}
}

// TestEffectiveReadsBack: what is reported as in force, set again, gives the same settings.
func TestEffectiveReadsBack(t *testing.T) {
	t.Parallel()
	s, err := Load(good("OCTOPATCH_NODES=A=[::1]:5986,B=b:1,C", "OCTOPATCH_NODE_URLS=A=https://a,B=https://b", "OCTOPATCH_INCLUDE_KBS=KB5031234,5031235", "OCTOPATCH_WINDOW=2026-12-13T02:00+10:00/90m"), Change)
	if err != nil {
		t.Fatal(err)
	}
	effective := s.Effective()
	if effective["OCTOPUS_API_KEY"] != "[redacted]" || effective["OCTOPATCH_MAX_FAILED_NODES"] != "0" || effective["OCTOPATCH_DRAIN_TIMEOUT"] != "1h" {
		t.Errorf("got %v", effective)
	}
	var environ []string
	for name, value := range effective {
		environ = append(environ, name+"="+value)
	}
	again, err := Load(environ, Change)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(effective, again.Effective()); diff != "" {
		t.Error(diff)
	}
}

func TestNeed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		need Need
		env  []string
		want string // the subjects of all faults, in order
	}{
		{"nothing", Nothing, nil, ""},
		{"nothing_but_wrong", Nothing, []string{"OCTOPATCH_QUEUED=x"}, "OCTOPATCH_QUEUED"},
		{"octopus", Octopus, nil, "OCTOPUS_URL OCTOPUS_API_KEY"},
		{"token_will_do", Octopus, []string{"OCTOPUS_URL=http://o", "OCTOPUS_ACCESS_TOKEN=t"}, ""},
		{"hosts", Hosts, []string{"OCTOPUS_URL=http://o", "OCTOPUS_API_KEY=k"}, "OCTOPATCH_NODES OCTOPATCH_WINRM_USERNAME OCTOPATCH_WINRM_PASSWORD"},
		{"change", Change, good("OCTOPATCH_PRECAUTION="), ""},
		{"change_unsaid", Change, slices.DeleteFunc(good(), func(v string) bool { return strings.HasPrefix(v, "OCTOPATCH_PRECAUTION") }), "OCTOPATCH_PRECAUTION"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(c.env, c.need)
			var got []string
			if err != nil {
				for line := range strings.Lines(err.Error()) {
					name, _, _ := strings.Cut(line, ":")
					got = append(got, name)
				}
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("got %s, want %s\n%v", text, c.want, err)
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

// TestOneFaultIsToldOnce: neither as that of the value and of its file, nor once for each empty entry.
func TestOneFaultIsToldOnce(t *testing.T) {
	t.Parallel()
	_, err := Load([]string{"OCTOPUS_API_KEY_FILE=" + filepath.Join(t.TempDir(), "none"), "OCTOPATCH_NODES=,"}, Change)
	text := fmt.Sprint(err)
	for _, once := range []string{"OCTOPUS_API_KEY", "has no node name"} {
		if n := strings.Count(text, once); n != 1 {
			t.Errorf("%s is told %d times in\n%s", once, n, text)
		}
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, content, value, says string }{
		{"plain", "API-FROMFILE", "API-FROMFILE", ""},
		{"line_break", "API-FROMFILE\n", "API-FROMFILE", ""},
		{"windows_line_break", "API-FROMFILE\r\n", "API-FROMFILE", ""},
		{"byte_order_mark", "\ufeffAPI-FROMFILE\r\n", "API-FROMFILE", ""},
		{"blanks_stay", " x \n", " x ", ""},
		{"empty", "\n", "", "is empty"},
		{"two_lines", "a\nb\n", "", "more than one line"},
		{"utf16", "\xff\xfea\x00b\x00", "", "UTF-8"},
		{"utf16_without_mark", "a\x00b\x00", "", "UTF-8"},
		{"huge", strings.Repeat("x", mostBytes+1), "", "larger than"},
		{"tab", "a\tb", "", "control character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := Load([]string{"OCTOPUS_API_KEY_FILE=" + write(t, c.content)}, Nothing)
			if c.says == "" && (err != nil || s.Key.Reveal() != c.value) {
				t.Errorf("got %q, %v", s.Key.Reveal(), err)
			}
			if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "OCTOPUS_API_KEY")) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
	if _, err := Load([]string{"OCTOPUS_API_KEY_FILE=" + filepath.Join(t.TempDir(), "none")}, Nothing); err == nil || !strings.HasPrefix(err.Error(), "OCTOPUS_API_KEY_FILE") {
		t.Errorf("no such file, and yet: %v", err)
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCredentialsFile(t *testing.T) {
	t.Parallel()
	file := write(t, `{"A":{"username":"u","password":"hunter3"},"b":{"username":"v","password":"hunter4"}}`)
	env := []string{"OCTOPUS_URL=https://o", "OCTOPUS_API_KEY=k", "OCTOPATCH_NODES=A,B", "OCTOPATCH_WINRM_CREDENTIALS_FILE=" + file}
	s, err := Load(env, Hosts)
	if err != nil || s.Login("B").Password.Reveal() != "hunter4" {
		t.Errorf("got %+v, %v", s.Credentials, err)
	}
	env[2] = "OCTOPATCH_NODES=A,C"
	if _, err := Load(env, Hosts); err == nil || !strings.Contains(err.Error(), "OCTOPATCH_WINRM_USERNAME") {
		t.Errorf("node C has no login, and yet: %v", err)
	}
	for _, bad := range []string{`{`, `[]`, `{}`, `{"A":{"user":"u","password":"hunter3"}}`, `{"A":{"username":"u","password":"hunter3"},"a":{"username":"v","password":"hunter4"}}`} {
		env[3] = "OCTOPATCH_WINRM_CREDENTIALS_FILE=" + write(t, bad)
		if _, err := Load(env, Hosts); err == nil || !strings.Contains(err.Error(), "OCTOPATCH_WINRM_CREDENTIALS_FILE") || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", bad, err)
		}
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
		if _, again := Load(good(name+"="+value), Change); fmt.Sprint(again) != fmt.Sprint(err) {
			t.Errorf("the second reading ends otherwise:\n%v\n%v", err, again)
		}
	})
}
