package settings

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPrecautionsHaveTheirVariables: each precaution names all that it lacks at once, and none of another one's
// is taken for its own.
func TestPrecautionsHaveTheirVariables(t *testing.T) {
	t.Parallel()
	for precaution, names := range required {
		_, err := Load([]string{"OCTOPATCH_PRECAUTION=" + precaution}, Nothing)
		var got []string
		for line := range strings.Lines(err.Error()) {
			name, _, _ := strings.Cut(line, ":")
			got = append(got, name)
		}
		if !cmp.Equal(got, names) {
			t.Errorf("%s: faults of %q, want %q", precaution, got, names)
		}
	}
	_, err := Load([]string{"OCTOPATCH_PRECAUTION=vsphere", "OCTOPATCH_VSPHERE_URL=https://v", "OCTOPATCH_VSPHERE_USERNAME=u", "OCTOPATCH_VSPHERE_PASSWORD=p", "OCTOPATCH_PRECAUTION_TAKE=true"}, Nothing)
	if err == nil || !strings.Contains(err.Error(), "OCTOPATCH_PRECAUTION_TAKE: is set, and OCTOPATCH_PRECAUTION is vsphere (set OCTOPATCH_PRECAUTION=command, or leave it out)") {
		t.Errorf("got %v", err)
	}
}

func TestHooksByPhase(t *testing.T) {
	t.Parallel()
	s, err := Load([]string{"OCTOPATCH_HOOK_BEFORE_STOP=a", "OCTOPATCH_HOOK_AFTER_EXIT=b"}, Nothing)
	if err != nil || !cmp.Equal(s.HookBefore, map[string]string{"stop": "a"}) || !cmp.Equal(s.HookAfter, map[string]string{"exit": "b"}) {
		t.Errorf("got %v, %v, %v", s.HookBefore, s.HookAfter, err)
	}
	if e := s.Effective(); e["OCTOPATCH_HOOK_BEFORE_STOP"] != "a" || e["OCTOPATCH_HOOK_BEFORE_"] != "" {
		t.Errorf("in force: %v", e)
	}
	for _, wrong := range []string{"OCTOPATCH_HOOK_BEFORE_=x", "OCTOPATCH_HOOK_BEFORE_PHASE=x", "OCTOPATCH_HOOK_STOP=x", "OCTOPATCH_HOOK_BEFORE_STOP_FILE=x"} {
		if _, err := Load([]string{wrong}, Nothing); err == nil || !strings.Contains(err.Error(), "did you mean OCTOPATCH_HOOK_") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// TestImageCannotBeGoneBackTo: nobody is left to believe that a failed node comes back by itself.
func TestImageCannotBeGoneBackTo(t *testing.T) {
	t.Parallel()
	for _, target := range []string{`\\backup.example.com\images`, `\\BACKUP\octopus images$\ha`, "E:"} {
		if _, err := Load([]string{"OCTOPATCH_PRECAUTION=image", "OCTOPATCH_IMAGE_TARGET=" + target}, Nothing); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	_, err := Load([]string{"OCTOPATCH_PRECAUTION=image", "OCTOPATCH_IMAGE_TARGET=E:", "OCTOPATCH_ON_FAILURE=recover"}, Nothing)
	if err == nil || !strings.Contains(err.Error(), "OCTOPATCH_ON_FAILURE: is recover, and OCTOPATCH_PRECAUTION=image cannot be reverted to from here: a disk image is restored by somebody who boots the machine from other media (set it to hold") {
		t.Errorf("got %v", err)
	}
}
