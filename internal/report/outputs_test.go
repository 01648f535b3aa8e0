package report

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOutputs: what later steps are told is one line for each name.
func TestOutputs(t *testing.T) {
	t.Parallel()
	text := ""
	for _, o := range whole().Outputs() {
		if strings.ContainsAny(o.Name+o.Value, "\r\n") {
			t.Errorf("%s has more than one line", o.Name)
		}
		text += o.Name + "=" + o.Value + "\n"
	}
	golden(t, "outputs.txt", text)
	for _, o := range (Report{Exit: 4}).Outputs() {
		switch {
		case o.Name == "downtime_seconds":
			t.Error("a downtime that was not measured is told as a number")
		case o.Name == "nodes" && o.Value != "[]", o.Name == "result" && o.Value != "refused":
			t.Errorf("%s=%s", o.Name, o.Value)
		}
	}
	for exit, want := range map[int]string{0: "done", 1: "failed", 2: "failed", 3: "partly_failed", 5: "stopped", 6: "unknown", 99: "failed", 130: "interrupted"} {
		if got := (Report{Exit: exit}).result(); got != want {
			t.Errorf("exit code %d is %s, want %s", exit, got, want)
		}
	}
}

// TestHandOverToOctopus: a step's outputs and artifacts are service messages whose values are base64, and no
// secret is in any form of them.
func TestHandOverToOctopus(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "summary.md")
	if err := os.WriteFile(file, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := NewRedact(&b)
	w.Hide("hunter-secret")
	r := whole()
	r.Next = "hunter-secret\n##octopus[mask value='eA==']"
	HandOver(logOctopus, w, r, filepath.Join(dir, "report.json"), file)
	Refused(logOctopus, w, errors.New("OCTOPUS_URL is not set"))
	got := messages(t, b.String())
	want := map[string]string{
		"setVariable result": "partly_failed", "setVariable exit_code": "3", "setVariable run": r.Run, "setVariable updates_installed": "2", "setVariable downtime_seconds": "20",
		"setVariable next": "[redacted]; # #octopus[mask value='eA==']", "setVariable nodes": got["setVariable nodes"], "createArtifact octopatch-summary.md": file + " 5", "resultMessage ": "OCTOPUS_URL is not set",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(got["setVariable nodes"], `{"node":"OCTO-03","result":"done","windows":"20348.2159","installed":["KB5031234"],"failed":[],"reboots":2}`) {
		t.Error(got["setVariable nodes"])
	}
	b.Reset()
	HandOver(logText, w, r, file)
	Refused(logJSON, w, errors.New("x"))
	if b.Len() > 0 {
		t.Errorf("another log than Octopus' got %q", b.String())
	}
}

var (
	serviceMessage = regexp.MustCompile(`^##octopus\[(\w+)((?: \w+='[A-Za-z0-9+/=]*')*)\]$`)
	attribute      = regexp.MustCompile(`(\w+)='([^']*)'`)
)

// messages reads lines of service messages as Octopus does: the kind and name, and what is said.
func messages(t *testing.T, text string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for line := range strings.Lines(text) {
		m := serviceMessage.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			t.Fatalf("%q is no service message", line)
		}
		values := map[string]string{}
		for _, a := range attribute.FindAllStringSubmatch(m[2], -1) {
			value, err := base64.StdEncoding.DecodeString(a[2])
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			values[a[1]] = string(value)
		}
		switch m[1] {
		case "setVariable":
			got["setVariable "+values["name"]] = values["value"]
		case "createArtifact":
			got["createArtifact "+values["name"]] = fmt.Sprint(values["path"], " ", values["length"])
		default:
			got[m[1]+" "] = values["message"]
		}
	}
	return got
}

// TestASCII: inside a step nothing else is written, whoever writes it.
func TestASCII(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := NewRedact(&b)
	w.ASCII()
	fmt.Fprintln(w, "naïve – 10 … ·")
	if got := b.String(); got != "na?ve - 10 . ?\n" {
		t.Errorf("got %q", got)
	}
}
