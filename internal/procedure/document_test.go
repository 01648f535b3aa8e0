package procedure

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sentences are the document's words without their mark-up: links keep their text, menus lose their braces.
func sentences(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/documented-procedure.md")
	if err != nil {
		t.Fatal(err)
	}
	plain := regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`).ReplaceAllString(string(text), "$1")
	return strings.NewReplacer("{{", "", "}}", "").Replace(plain)
}

// TestPhasesAreTheDocumentsSteps holds the list against the document: each phase in its words, in its order.
func TestPhasesAreTheDocumentsSteps(t *testing.T) {
	t.Parallel()
	single, ha, ok := strings.Cut(sentences(t), "## Octopus High Availability")
	if !ok {
		t.Fatal("the document has no chapter on High Availability")
	}
	var got []string
	at, atHA := 0, 0
	for _, p := range Phases() {
		got = append(got, p.Name)
		i := strings.Index(single[at:], p.Single)
		if i < 0 {
			t.Errorf("%s: %q does not follow in the document", p.Name, p.Single)
			continue
		}
		at += i + len(p.Single)
		if p.Cluster { // the document does not repeat it for a cluster
			continue
		}
		if i = strings.Index(ha[atHA:], p.HA); i < 0 {
			t.Errorf("%s: %q does not follow in the document's chapter on High Availability", p.Name, p.HA)
			continue
		}
		atHA += i + len(p.HA)
	}
	want := []string{"schedule", "enter", "wait", "stop", "precaution", "patch", "start", "exit"}
	if !slices.Equal(got, want) {
		t.Errorf("phases differ (+got, -want):\n%s", cmp.Diff(want, got))
	}
}

// TestEveryStepHasAPhase: each numbered step of either chapter is some phase's sentence.
func TestEveryStepHasAPhase(t *testing.T) {
	t.Parallel()
	for _, step := range regexp.MustCompile(`(?m)^1\. (.*)$`).FindAllStringSubmatch(sentences(t), -1) {
		if !slices.ContainsFunc(Phases(), func(p Phase) bool { return p.Single == step[1] || p.HA == step[1] }) {
			t.Errorf("no phase has the document's step %q", step[1])
		}
	}
}

// TestREADMESaysTheDocumentsWords: the table of phases in the README is the list.
func TestREADMESaysTheDocumentsWords(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Phases() {
		ha := p.HA
		if p.Cluster {
			ha = "the same, once"
		} else if p.Name == Precaution {
			ha = "the same"
		}
		if row := "| `" + p.Name + "` | " + p.Single + " | " + ha + " |"; !strings.Contains(string(text), row) {
			t.Errorf("the README lacks the row %s", row)
		}
	}
}
