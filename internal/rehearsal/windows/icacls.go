package windows

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	sddlEntry = regexp.MustCompile(`\(A;([A-Z]*);([^;]*);;;([^)]*)\)`)
	// Accounts and rights as SDDL abbreviates them and icacls.exe shows them.
	accounts = map[string]string{"SY": `NT AUTHORITY\SYSTEM`, "BA": `BUILTIN\Administrators`, "BU": `BUILTIN\Users`, "CO": "CREATOR OWNER", "WD": "Everyone", "AU": `NT AUTHORITY\Authenticated Users`}
	rights   = map[string]string{"FA": "(F)", "GA": "(F)", "0x1200a9": "(RX)", "0x1301bf": "(M)"}
)

// icacls is what icacls.exe shows of a file or folder; it changes nothing here.
func (m *Machine) icacls(args []string) (output string, exit int) {
	if len(args) != 1 {
		return "Invalid parameter\r\n", 87
	}
	sddl, err := m.accessList(filepath.FromSlash(strings.ReplaceAll(args[0], `\`, "/")))
	if err != nil {
		return fmt.Sprintf("%s: The system cannot find the file specified.\r\nSuccessfully processed 0 files; Failed processing 1 files\r\n", args[0]), 2
	}
	before := args[0]
	var b strings.Builder
	for _, entry := range sddlEntry.FindAllStringSubmatch(sddl, -1) {
		flags := ""
		for _, f := range []struct{ short, long string }{{"OI", "(OI)"}, {"CI", "(CI)"}, {"IO", "(IO)"}, {"ID", "(I)"}} {
			if strings.Contains(entry[1], f.short) {
				flags += f.long
			}
		}
		who, what := accounts[entry[3]], rights[entry[2]]
		if who == "" {
			who = entry[3]
		}
		if what == "" {
			what = "(" + entry[2] + ")"
		}
		fmt.Fprintf(&b, "%s %s:%s%s\r\n", before, who, flags, what)
		before = strings.Repeat(" ", len(args[0]))
	}
	b.WriteString("\r\nSuccessfully processed 1 files; Failed processing 0 files\r\n")
	return b.String(), 0
}
