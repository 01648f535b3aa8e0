package scripts

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shell is the PowerShell to test with.
func shell(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"powershell.exe", "pwsh"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("neither pwsh nor powershell.exe is on PATH: the scripts are not executed")
	return ""
}

// evaluate defines the functions of a script, without running the script, and returns what the commands say,
// line by line.
func evaluate(t *testing.T, script, commands string) []string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "script.txt")
	if err := os.WriteFile(path, []byte(Text(script)), 0o600); err != nil {
		t.Fatal(err)
	}
	test := `
$tokens = $null; $faults = $null
$tree = [System.Management.Automation.Language.Parser]::ParseFile('` + path + `', [ref]$tokens, [ref]$faults)
if ($faults) { $faults | ForEach-Object { $_.ToString() }; exit 1 }
foreach ($one in $tree.FindAll({ $args[0] -is [System.Management.Automation.Language.FunctionDefinitionAst] }, $false)) { . ([ScriptBlock]::Create($one.Extent.Text)) }
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$Nonce = 'n'
$FolderPath = '` + dir + `'
$JournalPath = Join-Path $FolderPath 'run.json'
$LeasePath = Join-Path $FolderPath 'lease.json'
$LockPath = Join-Path $FolderPath 'lock'
$CopyPath = Join-Path $FolderPath 'copy.json'
$DeadmanPath = Join-Path $FolderPath 'deadman.json'
$Request = $null
` + commands
	file := filepath.Join(dir, "test.ps1")
	if err := os.WriteFile(file, []byte(test), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(shell(t), "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.Split(strings.TrimSpace(strings.ReplaceAll(string(out), "\r", "")), "\n")
}

func check(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A folder that somebody else could write to would let them run their script as SYSTEM.
func TestFolderStates(t *testing.T) {
	t.Parallel()
	got := evaluate(t, "record", `
function Get-Acl { param($LiteralPath) [pscustomobject]@{ Sddl = $sddl } }
foreach ($sddl in @(
    'O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'
    'O:SYG:S-1-5-21-1-2-3-513D:P(A;OICI;FA;;;S-1-5-18)'
    'O:BAD:PAI(A;OICI;FA;;;SY)'
    'O:S-1-5-21-1-2-3-1001G:BAD:PAI(A;OICI;FA;;;SY)'
    'O:BAG:BAD:AI(A;OICIID;FA;;;SY)'
    'O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;0x1301bf;;;BU)'
    'O:BAG:BAD:PAI(A;OICI;FA;;;SY)(D;;FA;;;BA)'
    'O:BAG:BAD:NO_ACCESS_CONTROL'
    'O:BAG:BAD:P'
    'O:LAG:BAD:PAI(A;OICI;FA;;;SY)'
    ''
)) { Get-FolderState }
$FolderPath = Join-Path $FolderPath 'not-there'; Get-FolderState
[IO.File]::WriteAllText($FolderPath, ''); Get-FolderState
`)
	check(t, got, "ours", "ours", "has an access list that cannot be read: O:BAD:PAI(A;OICI;FA;;;SY)",
		"is owned by S-1-5-21-1-2-3-1001", "inherits access from its parent",
		"grants access beyond SYSTEM and Administrators: A;OICI;0x1301bf;;;BU", "grants access beyond SYSTEM and Administrators: D;;FA;;;BA",
		"has an access list that cannot be read: O:BAG:BAD:NO_ACCESS_CONTROL", "has an access list that cannot be read: O:BAG:BAD:P",
		"is owned by LA", "has an access list that cannot be read: ", "absent", "is a file")
}

func TestJournalMerges(t *testing.T) {
	t.Parallel()
	got := evaluate(t, "record", `
function Open-Folder {}
function Get-FolderState { 'ours' }
$first = '{"run":"r1","counter":1,"node":"n","owner":"me","topology":"ha","at":5,"intent":{"phase":"enter","what":"drain","at":5},"phases":{"schedule":{"result":"done"}},"octopus":{"known":true,"taskCap":5}}'
$second = '{"run":"r1","counter":2,"node":"n","owner":"me","topology":"ha","at":6,"phases":{"enter":{"result":"done"}},"octopus":{"known":true,"taskCap":5,"oursDrain":true}}'
$x = Update-Journal (ConvertFrom-Json $first)
$x = Update-Journal (ConvertFrom-Json $second) ([pscustomobject]@{ services = @([pscustomobject]@{ name = 'one'; dependents = @('two') }) })
$text = [IO.File]::ReadAllText($JournalPath)
[IO.File]::WriteAllText($JournalPath, $text.Replace('"format":1', '"format":1,"future":[1]'))
$x = Update-Journal (ConvertFrom-Json $second)
[IO.File]::ReadAllText($JournalPath)
@(Get-ChildItem -LiteralPath $FolderPath -Filter '*.new').Count
`)
	var journal any
	if err := json.Unmarshal([]byte(got[0]), &journal); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"format": 1.0, "run": "r1", "counter": 2.0, "node": "n", "owner": "me", "topology": "ha", "updated": 6.0, "future": []any{1.0},
		"intent":  map[string]any{"phase": "enter", "what": "drain", "at": 5.0},
		"phases":  map[string]any{"schedule": map[string]any{"result": "done"}, "enter": map[string]any{"result": "done"}},
		"octopus": map[string]any{"known": true, "taskCap": 5.0, "oursDrain": true},
		"host":    map[string]any{"services": []any{map[string]any{"name": "one", "dependents": []any{"two"}}}},
	}
	if diff := cmp.Diff(want, journal); diff != "" {
		t.Error(diff)
	}
	check(t, got[1:], "0")
}

func TestJournalRefuses(t *testing.T) {
	t.Parallel()
	got := evaluate(t, "record", `
function Open-Folder {}
function Get-FolderState { 'ours' }
function Stop-WithError { param($Kind, $Message) throw ($Kind + ': ' + $Message.Replace($FolderPath, '').TrimStart('/', '\')) }
$stored = '{"format":1,"run":"r1","counter":5}'
$cases = @(
    @($stored, '{"run":"r2","counter":9}'), @($stored, '{"run":"r1","counter":4}'), @($stored, '{"run":"","counter":9}'),
    @('{"format":2,"run":"r1"}', '{"run":"r1","counter":9}'), @('{"format":1}', '{"run":"r1","counter":9}'),
    @('[]', '{"run":"r1","counter":9}'), @('', '{"run":"r1","counter":9}')
)
foreach ($case in $cases) {
    [IO.File]::WriteAllText($JournalPath, $case[0])
    try { Update-Journal (ConvertFrom-Json $case[1]) } catch { $_.Exception.Message }
    if ([IO.File]::ReadAllText($JournalPath) -cne $case[0]) { 'WRITTEN' }
}
`)
	check(t, got, "journal: run.json belongs to run r1", "journal: the journal is at 5, the change at 4: another process has gone on with this run", "journal: a change without a run id",
		"newer: run.json has the format 2", "journal: run.json names no run", "journal: run.json is not a journal", "journal: run.json is not a journal")
}

func TestOctopusIsFound(t *testing.T) {
	t.Parallel()
	got := evaluate(t, "probe", `
foreach ($line in @(
    '"C:\Program Files\Octopus Deploy\Octopus\Octopus.Server.exe" run --instance="A b"'
    '"C:\Program Files\Octopus Deploy\Octopus\Octopus.Server.exe" run --instance=One --noninteractive'
    'C:\Octopus\octopus.server.exe'
    '"C:\Program Files\Octopus Deploy\Tentacle\Tentacle.exe" service run'
    '"C:\Tools\NotOctopus.Server.exe" x'
    '"C:\wrap.exe" "C:\Octopus\Octopus.Server.exe"'
)) { $s = [pscustomobject]@{ Name = 'OctopusDeploy: Named'; PathName = $line }; '{0}|{1}' -f (Get-ServerProgram $s), (Get-InstanceName $s) }
Get-InstanceName ([pscustomobject]@{ Name = 'OctopusDeploy'; PathName = 'C:\Octopus\octopus.server.exe' })
$own = '.', '(local)', 'localhost', 'OCTO-01', 'octo-01.corp'
foreach ($json in @(
    '{"Octopus.Storage.ExternalDatabaseConnectionString":"Data Source=(local)\\SQLEXPRESS;Password=x"}'
    '{"Octopus":{"Storage":{"ExternalDatabaseConnectionString":"Server = tcp:octo-01.corp,1433 ;Database=O"}}}'
    '{"c":"Data Source=sql01;Initial Catalog=Octopus"}'
    '{"share":"\\\\OCTO-01\\Octopus\\Artifacts"}'
    '{"share":"\\\\nas\\Octopus","home":"C:\\Octopus"}'
)) { Test-LocalData (ConvertFrom-Json $json) $own; (Get-DataOnDisks (ConvertFrom-Json $json) $own) -join ',' }
Find-Setting (ConvertFrom-Json '{"Octopus.Server.NodeName":"A"}') 'Octopus.Server.NodeName'
Find-Setting (ConvertFrom-Json '{"Octopus":{"Server":{"NodeName":"B"}}}') 'Octopus.Server.NodeName'
`)
	const exe = `C:\Program Files\Octopus Deploy\Octopus\Octopus.Server.exe`
	check(t, got, exe+"|A b", exe+"|One", `C:\Octopus\octopus.server.exe|Named`, "|Named", "|Named", "|Named", "OctopusServer",
		"True", "Octopus.Storage.ExternalDatabaseConnectionString,unknown path", "True", "Octopus.Storage.ExternalDatabaseConnectionString,unknown path",
		"False", "unknown path", "True", "share,unknown source", "False", "home,unknown source", "A", "B")
}

// The configuration holds the password of the database: of it, only what is listed leaves the host.
func TestConfigurationStaysOnTheHost(t *testing.T) {
	t.Parallel()
	got := evaluate(t, "probe", `
$said = '{"Octopus.Server.NodeName":"A","Octopus.WebPortal.ListenPrefixes":"http://+:80/;https://x/","c":"Server=sql01;Password=hunter2","Octopus.Storage.MasterKey":"hunter2"}'
function Invoke-Server { param($Program, $Arguments) 'hunter2: noise' + [Environment]::NewLine + $said }
$program = Join-Path $FolderPath 'Octopus.Server.exe'
[IO.File]::WriteAllText($program, '')
$service = [pscustomobject]@{ Name = 'OctopusDeploy'; State = 'Running'; StartMode = 'Auto'; PathName = '"' + $program + '" run' }
ConvertTo-Line (Get-InstanceFacts $service @('one') @('localhost'))
$said = '{"broken hunter2"'
ConvertTo-Line (Get-InstanceFacts $service @() @('localhost'))
`)
	const service = `{"service":{"name":"OctopusDeploy","state":"Running","start":"Auto","delayed":false,"dependents":`
	for i := range got {
		before, rest, _ := strings.Cut(got[i], `"version":"`)
		_, after, _ := strings.Cut(rest, `"`)
		got[i] = before + `"version":"` + `"` + after // an empty file has another version everywhere
	}
	check(t, got, service+`["one"]},"name":"OctopusServer","node":"A","prefixes":["http://+:80/","https://x/"],"version":"","localData":false,"onDisks":["unknown path"]}`,
		service+`[]},"name":"OctopusServer","node":"","prefixes":[],"version":"","localData":false,"onDisks":["unknown source","unknown path"]}`)
}

func TestPingAddresses(t *testing.T) {
	t.Parallel()
	got := evaluate(t, "health", `
foreach ($prefix in 'http://+:80/', 'http://*:8080/octopus', 'https://octopus.corp/', 'http://octopus.corp:81/o/', 'http://10.0.0.1:8065', 'http://[::1]:8065/', 'http://0.0.0.0:1/', 'localhost:80', 'ftp://x/') {
    $a = Get-PingAddress $prefix
    if ($null -eq $a) { 'none' } else { ('{0} {1}' -f $a.url, $a.header).Trim() }
}`)
	const ping = "api/octopusservernodes/ping"
	check(t, got, "http://localhost:80/"+ping, "http://localhost:8080/octopus/"+ping, "https://localhost/"+ping+" octopus.corp", "http://localhost:81/o/"+ping+" octopus.corp:81",
		"http://10.0.0.1:8065/"+ping, "http://[::1]:8065/"+ping, "http://localhost:1/"+ping, "none", "none")
}

// TestPingOverHTTPS: the certificate is for another name and of no authority, and is asked about on .NET's own threads.
func TestPingOverHTTPS(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(r.Host, ":") // .NET adds the port that is meant anyway
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, `{"Name": "%s", "Version": "2026.3"}`, name)
	}))
	t.Cleanup(s.Close)
	got := evaluate(t, "health", `
foreach ($try in 1, 2) { ConvertTo-Line (Invoke-Ping @{ url = '`+s.URL+`/'; header = 'octopus.corp' }) }`)
	const answer = `{"status":418,"name":"octopus.corp","version":"2026.3"}`
	check(t, got, answer, answer)
}

func TestUpdatesAreFiltered(t *testing.T) {
	t.Parallel()
	got := evaluate(t, "worker", `
$FeatureUpgrades = '3689bdc8-b205-4af4-8d4a-a63924c5e9d5'; $Definitions = 'e0789628-ce08-4437-be74-2495b842f43b'
$security = '0fa1201d-4330-4fa8-8ae9-b877473b6441'
$order = [pscustomobject]@{ filter = [pscustomobject]@{ classifications = @($security); include = @('1', '2'); exclude = @('2') } }
function New-Update([string]$KB, [string]$Class = $security, [hashtable]$More = @{}) {
    $u = @{ Identity = [pscustomobject]@{ UpdateID = 'id' }; Title = 'Update'; KBArticleIDs = @($KB); MaxDownloadSize = [decimal]7; Categories = @([pscustomobject]@{ Type = 'UpdateClassification'; CategoryID = $Class.ToUpper(); Name = 'x' }) }
    foreach ($key in $More.Keys) { $u[$key] = $More[$key] }
    [pscustomobject]$u
}
$ask = [pscustomobject]@{ CanRequestUserInput = $true; Impact = 0 }
foreach ($u in @(
    (New-Update '9'), (New-Update 'KB9' $security @{ Type = 2 }), (New-Update '1' $security @{ Type = 2 }), (New-Update '2'),
    (New-Update '1' $security @{ InstallationBehavior = $ask }), (New-Update '9' $FeatureUpgrades), (New-Update '1' $FeatureUpgrades),
    (New-Update '9' $security @{ BrowseOnly = $true }), (New-Update '9' $security @{ IsHidden = $true }),
    (New-Update '9' $security @{ Title = 'Security Update for SQL Server 2019' }), (New-Update '9' $security @{ Categories = @([pscustomobject]@{ Type = 'UpdateClassification'; CategoryID = $security }, [pscustomobject]@{ Type = 'Product'; CategoryID = 'p'; Name = 'Exchange Server 2019' }) }),
    (New-Update '9' $Definitions), (New-Update '9' $security @{ Categories = @() }), (New-Update '1' $security @{ Categories = @() })
)) { 'x' + (Get-SkipReason $u (Get-Update $u)) }
ConvertTo-Line (Get-Update (New-Update '9' $Definitions @{ KBArticleIDs = @(); Title = 'Defender KB2267602 (1.2)'; IsDownloaded = $true }))
`)
	check(t, got, "x", "xdriver", "x", "xexcluded: KB2", "xmay ask somebody at the screen", "xfeature upgrade", "x", "xoptional", "xhidden on this host",
		"xproduct: SQL Server", "xproduct: Exchange Server", "xclassification not chosen: e0789628-ce08-4437-be74-2495b842f43b", "xno classification", "x",
		`{"id":"id","title":"Defender KB2267602 (1.2)","kbs":["2267602"],"bytes":7,"classification":"e0789628-ce08-4437-be74-2495b842f43b","definition":true,"downloaded":true,"skip":""}`)
}

// send is the stdin of a command.
func send(nonce string, parts ...string) string {
	text := nonce + "\n"
	for _, part := range parts {
		code := base64.StdEncoding.EncodeToString([]byte(part))
		for len(code) > 0 {
			n := min(len(code), 1000)
			text += code[:n] + "\n"
			code = code[n:]
		}
		text += ".\n"
	}
	return text
}

func TestBootstrap(t *testing.T) {
	t.Parallel()
	const nonce = "0123456789abcdef0123456789abcdef"
	long := strings.Repeat("# "+strings.Repeat("x", 90)+"\n", 2000)
	echo := "param([string]$Nonce, [string]$Json)\n" + long + "'got ' + $Nonce + ' ' + ($Json -ceq ('{\"a\":\"' + [char]0xe9 + '\"}'))"
	cases := []struct{ name, before, stdin, want string }{
		{"runs", "", send(nonce, echo, "{\"a\":\"é\"}"), "got " + nonce + " True"},
		{"constrained", "$ExecutionContext.SessionState.LanguageMode = 'ConstrainedLanguage'; ", send(nonce, echo, "{}"),
			`{"nonce":"` + nonce + `","error":{"kind":"language","message":"ConstrainedLanguage"}}`},
		{"cut_off", "", send(nonce, echo), ""},
		{"empty", "", "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(shell(t), "-NoProfile", "-NonInteractive", "-Command", c.before+Bootstrap)
			cmd.Stdin = strings.NewReader(c.stdin)
			var out, fault bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &fault
			err := cmd.Run()
			if got := strings.TrimSpace(out.String()); got != c.want {
				t.Errorf("said %q, want %q (%v, stderr %q)", got, c.want, err, fault.String())
			}
			if (err == nil) != (c.name == "runs") {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// What goes wrong anywhere ends as one error line with the innermost code.
func TestErrorsBecomeOneLine(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, last, want string }{
		{"com", "throw [System.Runtime.InteropServices.COMException]::new('busy', -2145124343)", `"code":"0x80240009"}}`},
		{"nested", "[IO.File]::ReadAllText((Join-Path $FolderPath 'not' )) | Out-Null", `"code":"0x8007000`},
		{"own", "throw 'no way'", `{"nonce":"n","error":{"kind":"script","message":"no way","code":""}}`},
		{"kind", "Stop-WithError -Kind 'folder' -Message ('a' + [char]0xe9)", `{"nonce":"n","error":{"kind":"folder","message":"a\u00e9","code":""}}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(shell(t), "-NoProfile", "-NonInteractive", "-Command", Bootstrap)
			cmd.Env = append(os.Environ(), "ProgramData="+t.TempDir())
			cmd.Stdin = strings.NewReader(send("n", file("common")+"\n"+c.last+"\nWrite-Answer @{}", "{}"))
			out, err := cmd.Output()
			got := strings.TrimSpace(string(out))
			if err == nil || strings.Contains(got, "\n") || !strings.Contains(got, c.want) {
				t.Errorf("said %q (%v), want %q", got, err, c.want)
			}
		})
	}
}
