package steptemplate

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the templates, each as its next version where it changed")

// TestTemplates: the files are what the settings and the bodies make of them.
func TestTemplates(t *testing.T) {
	for _, want := range Templates() {
		have, known := read(t, want.File())
		want.Version, want.Meta.ExportedAt = have.Version, have.Meta.ExportedAt
		if diff := cmp.Diff(have, want); diff != "" {
			if !*update {
				t.Errorf("%s is not what the settings make of it; go generate ./steptemplate renews it (-have, +want)\n%s", want.File(), diff)
				continue
			}
			want.Version++
			want.Meta.ExportedAt = time.Now().UTC().Format(time.RFC3339)
			known = false
		}
		text, err := want.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if *update && !known {
			if err := os.WriteFile(want.File(), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if file, err := os.ReadFile(want.File()); err != nil || !bytes.Equal(bytes.ReplaceAll(file, []byte("\r\n"), []byte("\n")), text) {
			t.Errorf("%s is not written as go generate writes it (%v)", want.File(), err)
		}
	}
}

// read is the template in the file, and whether there is one.
func read(t *testing.T, file string) (Template, bool) {
	t.Helper()
	var have Template
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return have, false
	}
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err = d.Decode(&have)
	}
	if err != nil {
		t.Errorf("%s: %v", file, err)
		return Template{}, false
	}
	return have, true
}

// TestParameters: every setting can be reached, each by one parameter, and secrets by sensitive ones only.
func TestParameters(t *testing.T) {
	t.Parallel()
	for _, template := range Templates() {
		controls := map[string]string{}
		for _, p := range template.Parameters {
			controls[p.Name] = p.DisplaySettings["Octopus.ControlType"]
		}
		for _, row := range rows() {
			name := ParameterName(row.Variable)
			if control, known := controls[name]; !known || row.Secret != (control == "Sensitive") {
				t.Errorf("%s: %s is a %q, secret: %t", template.Name, name, control, row.Secret)
			}
			if n := strings.Count(template.Script(), row.Variable+" "+name) + strings.Count(template.Script(), "'"+row.Variable+"' '"+name+"'"); n != 1 {
				t.Errorf("%s sets %s from %s %d times", template.Name, row.Variable, name, n)
			}
		}
		if len(controls) != len(rows())+1 {
			t.Errorf("%s has %d parameters for %d settings and the package", template.Name, len(controls), len(rows()))
		}
	}
	for variable, want := range map[string][2]string{
		"OCTOPUS_URL": {"OctoPatch.OctopusUrl", "Octopus URL"}, "OCTOPATCH_WINRM_USERNAME": {"OctoPatch.WinrmUsername", "WinRM username"}, "OCTOPATCH_PHASE": {"OctoPatch.Command", ""},
	} {
		if got := [2]string{ParameterName(variable), label(variable)}; got[0] != want[0] || want[1] != "" && got[1] != want[1] {
			t.Errorf("%s is %v, want %v", variable, got, want)
		}
	}
}

// TestBodies holds the scripts against what reads them: Bash and ShellCheck, and the rules of Windows PowerShell 5.1.
func TestBodies(t *testing.T) {
	t.Parallel()
	for _, template := range Templates() {
		checks := [][]string{{"bash", "-n"}, {"shellcheck", "-s", "bash"}}
		ending := ".sh"
		if template.Properties["Octopus.Action.Script.Syntax"] == "PowerShell" {
			checks, ending = [][]string{{"check51"}}, ".ps1"
		}
		file := filepath.Join(t.TempDir(), "body"+ending)
		if err := os.WriteFile(file, []byte(template.Script()), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, check := range checks {
			t.Run(check[0], func(t *testing.T) {
				if _, err := exec.LookPath(check[0]); err != nil {
					t.Skipf("%s is not on PATH", check[0])
				}
				if out, err := exec.Command(check[0], append(check[1:], file)...).CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", template.Name, err, out)
				}
			})
		}
	}
}
