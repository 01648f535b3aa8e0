package windows

import (
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// TestPowerShellNetworkLogon: what comes over WinRM may not use Windows Update, whatever its rights; that is why the
// worker runs as SYSTEM, as which every column "worker" of the conformance suite shows that it may.
func TestPowerShellNetworkLogon(t *testing.T) {
	needPowerShell(t)
	t.Parallel()
	common, _, _ := strings.Cut(scripts.Text("worker"), "\n# Worker:") // how scripts answer
	m := newMachine(t, state{}, 20, warmShell)
	for _, use := range []string{
		"(New-Object -ComObject Microsoft.Update.Session).CreateUpdateSearcher()", "(New-Object -ComObject Microsoft.Update.Session).CreateUpdateDownloader()",
		"(New-Object -ComObject Microsoft.Update.Session).CreateUpdateInstaller()", "(New-Object -ComObject Microsoft.Update.SystemInfo).RebootRequired",
	} {
		text := common + "\n" + use + " | Out-Null\nWrite-Answer 'allowed'\n"
		got, _ := ask(t, m, text, nil, false).Answer.(object)
		if fault := objectOf(got, "error"); textOf(fault, "code") != "0x80070005" {
			t.Errorf("%s: %v", use, got)
		}
	}
}
