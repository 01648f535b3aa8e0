// Package scripts holds the PowerShell that runs on a Windows host: every script, the parts that they share,
// and the one command line that starts them. It imports the standard library only.
package scripts

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

//go:embed *.ps1
var files embed.FS

// parts lists the shared parts that each script needs before its own text; common comes before all.
var parts = map[string][]string{
	"clear":   {"lock", "journal", "task"},
	"copy":    {"lock", "journal"},
	"deadman": {"lock", "journal", "task", "windows", "services", "armed"},
	"follow":  {"lock", "task"},
	"health":  {"lock", "journal", "windows"},
	"hyperv":  {},
	"image":   {"lock", "task"},
	"imager":  {},
	"lease":   {"lock", "journal", "task"},
	"probe":   {"lock", "journal", "windows", "octopus", "armed", "policy"},
	"ready":   {"lock", "windows"},
	"reboot":  {"lock", "journal", "task", "shutdown"},
	"record":  {"lock", "journal", "task", "armed"},
	"restore": {"lock", "windows", "shutdown"},
	"start":   {"lock", "journal", "task", "windows", "services", "armed"},
	"stop":    {"lock", "journal", "task", "windows", "services", "armed"},
	"undrain": {"lock", "journal", "octopus"},
	"work":    {"lock", "journal", "task"},
	"worker":  {},
}

// Bootstrap follows `powershell.exe -NoProfile -NonInteractive -Command `, in double quotes. It reads from
// stdin a nonce, the script and the request, the latter two as base64 lines that end with a line ".".
// cmd.exe stands in between: no double quote, no percent sign, no line break. The first half uses only what
// constrained language mode allows, so that it can say that it is in that mode.
const Bootstrap = `$ErrorActionPreference = 'Stop'; $ProgressPreference = 'SilentlyContinue'; ` +
	`$lines = @($input); $nonce = [string]$lines[0]; $mode = [string]$ExecutionContext.SessionState.LanguageMode; ` +
	`if ($mode -ne 'FullLanguage') { ('{~nonce~:~' + $nonce + '~,~error~:{~kind~:~language~,~message~:~' + $mode + '~}}') -replace '~', ([char]34); exit 1 }; ` +
	`$text = @('', ''); $part = 0; foreach ($line in $lines[1..($lines.Count - 1)]) { if ($line -eq '.') { $part++ } else { $text[$part] += $line } }; ` +
	`if ($part -ne 2) { throw 'stdin ended too early' }; ` +
	`$code, $request = $text | ForEach-Object { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($_)) }; ` +
	`& ([ScriptBlock]::Create($code)) $nonce $request`

// CommandLine starts a script on a host; what it is to do comes on stdin.
const CommandLine = `powershell.exe -NoProfile -NonInteractive -Command "` + Bootstrap + `"`

// Names lists the scripts, sorted.
func Names() []string { return slices.Sorted(maps.Keys(parts)) }

// Text is the whole text of a script as a host receives it. It panics for a name that is not in Names.
func Text(name string) string {
	shared, ok := parts[name]
	if !ok {
		panic(fmt.Sprintf("there is no script %q", name))
	}
	var b strings.Builder
	list := slices.Concat([]string{"common"}, shared, []string{name})
	if name == "work" {
		list = append(list, "follow") // once the worker runs, it is followed in the same command
	}
	for _, part := range list {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(file(part))
	}
	return b.String()
}

// SHA256 is the hash of a script's whole text, as security teams and the rehearsal's records know it.
func SHA256(name string) string {
	sum := sha256.Sum256([]byte(Text(name)))
	return hex.EncodeToString(sum[:])
}

// file reads an embedded file; line ends are the same whatever git made of them.
func file(name string) string {
	text, err := files.ReadFile(name + ".ps1")
	if err != nil {
		panic(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}
