package windows

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

var (
	exportList  = regexp.MustCompile(`(?s)Export-ModuleMember .*?@\((.*?)\n\)`)
	quoted      = regexp.MustCompile(`'([^']+)'`)
	aliasName   = regexp.MustCompile(`Set-Alias -Name (?:'([^']+)'|"([^"]+)"|(\$[A-Za-z.]+))`)
	tables      = regexp.MustCompile(`(?m)^.*\$(?:Machine|types) = @\{.*$`) // the shim's own
	propertyKey = regexp.MustCompile(`(?:;|\{|\n)\s*([A-Z_]\w*) =`)
	memberName  = regexp.MustCompile(`(?:Add-Method|Add-Property) \$\w+ '(\w+)'|PS(?:Script|Note)Property\]::new\('(\w+)'`)
	comName     = regexp.MustCompile(`(?m)^\s+'([A-Z][\w.]+)' \{ return New-`)
	className   = regexp.MustCompile(`case "((?:win32|msvm)_\w+|systemrestore)"`)
	cimKey      = regexp.MustCompile(`"([A-Z]\w+)": `)
	listed      = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\S.*?) \\|$")
)

// exported are all names that a script finds in the shim: commands, COM classes, and what their objects have.
func exported(t *testing.T) []string {
	t.Helper()
	text := shim()
	var names []string
	add := func(found [][]string) {
		for _, f := range found {
			names = append(names, strings.Join(f[1:], ""))
		}
	}
	list := exportList.FindStringSubmatch(text)
	if list == nil {
		t.Fatal("the shim exports nothing")
	}
	add(quoted.FindAllStringSubmatch(list[1], -1))
	add(aliasName.FindAllStringSubmatch(text, -1))
	add(comName.FindAllStringSubmatch(text, -1))
	add(memberName.FindAllStringSubmatch(text, -1))
	add(propertyKey.FindAllStringSubmatch(tables.ReplaceAllString(text, ""), -1))
	calls, err := os.ReadFile("calls.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(calls), "// instances are the objects of a CIM class.")
	body, _, _ = strings.Cut(body, "WBEM_E_INVALID_CLASS")
	add(className.FindAllStringSubmatch(body, -1))
	add(cimKey.FindAllStringSubmatch(body, -1))
	virtual, err := os.ReadFile("virtual_calls.go")
	if err != nil {
		t.Fatal(err)
	}
	add(cimKey.FindAllStringSubmatch(string(virtual), -1))
	restore, err := os.ReadFile("restorepoint.go")
	if err != nil {
		t.Fatal(err)
	}
	add(cimKey.FindAllStringSubmatch(string(restore), -1))
	slices.Sort(names)
	return slices.Compact(names)
}

// TestShimKnowsWindowsOnly: every name that the shim offers is on the list with the place where Windows
// describes it, and the list holds nothing else. What begins with an underscore is the shim's own memory, and no
// script may look at it.
func TestShimKnowsWindowsOnly(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("shim/NAMES.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, line := range listed.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\r\n", "\n"), -1) {
		known[line[1]] = false
	}
	names := exported(t)
	if len(names) < 80 {
		t.Errorf("only %d names were found in the shim: %v", len(names), names)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "_") {
			continue
		}
		if _, ok := known[name]; !ok {
			t.Errorf("the shim offers %s, and NAMES.md does not tell where Windows describes it", name)
		}
		known[name] = true
	}
	for name, seen := range known {
		if !seen {
			t.Errorf("NAMES.md lists %s, which the shim does not offer", name)
		}
	}
	own := regexp.MustCompile(`\._[A-Za-z]`)
	for _, name := range scripts.Names() {
		if found := own.FindString(scripts.Text(name)); found != "" {
			t.Errorf("%s.ps1 looks at %s, which Windows does not have", name, found)
		}
	}
}
