package settings

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// required are the variables that each precaution cannot do without.
var required = map[string][]string{
	"vsphere": {"OCTOPATCH_VSPHERE_URL", "OCTOPATCH_VSPHERE_USERNAME", "OCTOPATCH_VSPHERE_PASSWORD"},
	"hyperv":  {"OCTOPATCH_HYPERV_HOST"},
	"image":   {"OCTOPATCH_IMAGE_TARGET"},
	"command": {"OCTOPATCH_PRECAUTION_TAKE", "OCTOPATCH_PRECAUTION_VERIFY", "OCTOPATCH_PRECAUTION_REVERT", "OCTOPATCH_PRECAUTION_REMOVE"},
}

// irreversible are those that nobody but a human can revert to, and why.
var irreversible = map[string]string{
	procedure.PrecautionNone: "there is nothing to go back to",
	"image":                  "a disk image is restored by somebody who boots the machine from other media",
}

// own are the beginnings of the variables that belong to one precaution alone.
var own = map[string]string{
	"OCTOPATCH_VSPHERE_":        "vsphere",
	"OCTOPATCH_HYPERV_":         "hyperv",
	"OCTOPATCH_IMAGE_":          "image",
	"OCTOPATCH_PRECAUTION_TAKE": "command", "OCTOPATCH_PRECAUTION_VERIFY": "command", "OCTOPATCH_PRECAUTION_REVERT": "command", "OCTOPATCH_PRECAUTION_REMOVE": "command",
}

// checkPrecaution: a precaution has all its variables, and none of another one is set in the belief that it
// counts.
func (s *Settings) checkPrecaution(vars map[string]string, add adder) {
	for _, name := range required[s.Precaution] {
		if vars[name] == "" {
			add(name, "is not set, and OCTOPATCH_PRECAUTION="+s.Precaution+" needs it", "octopatch settings says what it means")
		}
	}
	s.checkVSphere(add)
	s.checkHyperV(add)
	s.checkImage(add)
	if why := irreversible[s.Precaution]; s.OnFailure == procedure.OnFailureRevert && why != "" {
		add("OCTOPATCH_ON_FAILURE", "is recover, and OCTOPATCH_PRECAUTION="+s.Precaution+" cannot be reverted to from here: "+why, "set it to hold, or choose another precaution")
	}
	if s.Precaution == "" || s.Precaution == procedure.PrecautionNone { // none is said out loud by plan and report
		return
	}
	for _, name := range Variables() {
		if of := PrecautionOf(name); vars[name] != "" && of != "" && of != s.Precaution {
			add(name, "is set, and OCTOPATCH_PRECAUTION is "+s.Precaution, "set OCTOPATCH_PRECAUTION="+of+", or leave it out")
		}
	}
}

// PrecautionOf is the precaution that a variable belongs to alone, or empty.
func PrecautionOf(variable string) string {
	for beginning, precaution := range own {
		if strings.HasPrefix(variable, beginning) {
			return precaution
		}
	}
	return ""
}

// targets are those that wbadmin takes: a share, or the letter of a volume. Nothing in them could be read as something
// else on its command line.
var (
	targets     = regexp.MustCompile(`^(?:\\\\[A-Za-z0-9._-]+(?:\\[^\\/:*?"<>|[:cntrl:]]+)+|[A-Za-z]:)$`)
	dotsInPaths = regexp.MustCompile(`\\\.{1,2}(?:\\|$)`)
)

func (s *Settings) checkImage(add adder) {
	const name = "OCTOPATCH_IMAGE_TARGET"
	switch {
	case s.ImageTarget == "":
	case !targets.MatchString(s.ImageTarget) || dotsInPaths.MatchString(s.ImageTarget):
		add(name, fmt.Sprintf("%q is neither a share nor a volume", s.ImageTarget), `write it like \\backup.example.com\images, or like E:, without a backslash at the end`)
	case strings.EqualFold(s.ImageTarget, "C:"):
		add(name, "is C:, which is one of the volumes that the image is of", `name a share, or another volume`)
	}
}

func (s *Settings) checkVSphere(add adder) {
	if s.VSphereURL != "" {
		if err := checkURL(s.VSphereURL); err != nil {
			add("OCTOPATCH_VSPHERE_URL", err.Error(), "write it like https://vcenter.example.com")
		} else if !strings.HasPrefix(strings.ToLower(s.VSphereURL), "https://") {
			add("OCTOPATCH_VSPHERE_URL", "does not begin with https://, and the password would be sent in the clear", "write it like https://vcenter.example.com")
		}
	}
	checkAuthority("OCTOPATCH_VSPHERE_CA_FILE", s.VSphereCAFile, add)
	if s.VSphereFingerprint != "" && !hash.MatchString(s.VSphereFingerprint) {
		add("OCTOPATCH_VSPHERE_FINGERPRINT", fmt.Sprintf("%q is not a SHA-256 of 64 hexadecimal digits", s.VSphereFingerprint), "copy it from the certificate that vCenter shows")
	}
	if s.VSphereMemory && s.VSphereQuiesce {
		add("OCTOPATCH_VSPHERE_MEMORY", "is true, and so is OCTOPATCH_VSPHERE_QUIESCE", "set one of them to false: a snapshot with the memory is not quiesced")
	}
}

// Variables lists the name of every variable, those of files and of families too.
func Variables() []string {
	var list []string
	for _, r := range Table() {
		list = append(list, r.Variables()...)
		if r.Secret {
			list = append(list, r.Variable+fileSuffix)
		}
	}
	return list
}

// Holds reports whether a variable holds a secret of octopatch's own.
func Holds(name string) bool {
	row, file := find(Table(), name)
	return row != nil && row.Secret && !file
}
