package settings

import (
	"strings"
)

// required are the variables that each precaution cannot do without.
var required = map[string][]string{
	"command": {"OCTOPATCH_PRECAUTION_TAKE", "OCTOPATCH_PRECAUTION_VERIFY", "OCTOPATCH_PRECAUTION_REVERT", "OCTOPATCH_PRECAUTION_REMOVE"},
}

// own are the beginnings of the variables that belong to one precaution alone.
var own = map[string]string{
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
	if s.Precaution == "" {
		return
	}
	for _, name := range Variables() {
		for beginning, precaution := range own {
			if vars[name] != "" && strings.HasPrefix(name, beginning) && precaution != s.Precaution {
				add(name, "is set, and OCTOPATCH_PRECAUTION is "+s.Precaution, "set OCTOPATCH_PRECAUTION="+precaution+", or leave it out")
			}
		}
	}
}

// Variables lists the name of every variable, those of files and of families too.
func Variables() []string {
	var list []string
	for _, r := range Table() {
		list = append(list, r.names()...)
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
