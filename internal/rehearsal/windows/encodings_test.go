package windows

import (
	"context"
	"io"
	"testing"

	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// noise is what a profile, an AutoRun of the command processor or a chatty module says before and around an
// answer; a line that only looks like one is among it.
const noise = `
Write-Output 'Welcome to OCTO-01'; Write-Output ([char]0xe4 + [string][char]0x65e5); [Console]::Out.WriteLine('{"nonce":"","answer":{"cleared":true}}')
[Console]::Out.WriteLine('{"nonce":"ffffffffffffffffffffffffffffffff","error":{"kind":"script","message":"not ours","code":""}}'); [Console]::Out.Write('no line end: ')
[Console]::Out.WriteLine(); Write-Warning 'deprecated'; Write-Host 'hello'; [Console]::Error.WriteLine('noise on stderr'); `

// around starts a process as startShell does, with noise before the command or with another code page.
func around(before string, more ...string) shell {
	return func(ctx context.Context, command string, variables []string, stdin []byte, stdout, stderr io.Writer) (int, error) {
		return startShell(ctx, before+command, append(variables, more...), stdin, stdout, stderr)
	}
}

// TestPowerShellOutput: whatever code page the console has and whatever else is said, every script of a host
// with odd names answers as its twin does. On a real host the code page is the installation's language.
func TestPowerShellOutput(t *testing.T) {
	needPowerShell(t)
	var odd state
	for _, s := range states() {
		if s.instance != "" {
			odd = s
		}
	}
	shells := map[string]shell{
		"noise": around(noise), "noise and code page 850": around(noise, "PWSH_OEM=850"),
		"code page 437": around("", "PWSH_OEM=437"), "code page 850": around("", "PWSH_OEM=850"), "code page 932": around("", "PWSH_OEM=932"),
		"line ends of Windows": around("", "PWSH_NEWLINE=crlf"),
	}
	for name, run := range shells {
		for _, c := range cells(odd) {
			if name != "code page 437" && c.name != "probe" && c.name != "stop" && c.name != "worker" {
				continue // every script once, and those that tell names each time
			}
			t.Run(name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				judged(t, func(slower float64) string { return compare(t, odd, c, scripts.Text(c.script), run, slower) })
			})
		}
	}
}
