package scripts

import (
	"strings"
	"testing"
)

// leased lets the functions of the lease work in a folder of their own.
const leased = `
function Get-FolderState { if (Test-Path -LiteralPath $FolderPath) { 'ours' } else { 'absent' } }
function Open-Folder { [IO.Directory]::CreateDirectory($FolderPath) | Out-Null }
function Connect-Scheduler {}
function Stop-Worker {}
function Remove-OurTasks {}
function Stop-WithError { param($Kind, $Message) throw ($Kind + ': ' + $Message.Replace($FolderPath, '').TrimStart('/', '\')) }
function Say([scriptblock]$Block) { try { $a = & $Block; if ($null -ne $a) { '{0} {1} {2} {3}' -f $a.held, $a.live, (Read-Property $a.lease 'nonce' '-'), (Read-Property $a.lease 'released' '-') } else { 'fine' } } catch { $_.Exception.Message } }
function Ask([string]$Nonce, [string]$Expect = '', [string]$Action = 'take') {
    $script:Request = [pscustomobject]@{ action = $Action; run = 'r1'; owner = 'of ' + $Nonce; attempt = '1'; nonce = $Nonce; every = 300; expect = $Expect }
    if ($Action -eq 'release') { return Revoke-Lease }
    $lock = Open-Lock
    try { return Request-Lease } finally { $lock.Dispose() }
}
function Age([int]$Seconds) { $l = Read-Lease; $l.renewed = [int64]$l.renewed - $Seconds; Write-Lease $l }
$FolderPath = Join-Path $FolderPath 'octopatch'; $LeasePath = Join-Path $FolderPath 'lease.json'; $LockPath = Join-Path $FolderPath 'lock'; $JournalPath = Join-Path $FolderPath 'run.json'; $CopyPath = Join-Path $FolderPath 'copy.json'
`

func TestLeaseHasOneHolder(t *testing.T) {
	t.Parallel()
	got := evaluate(t, "lease", leased+`
Say { Ask a }; Say { Ask a }; Say { Ask b }; Say { Ask b a }
Age 880; Say { Ask b a }
Age 30; Say { Ask b }; Say { Ask b c }; Say { Ask b a }
Say { Update-Lease ([pscustomobject]@{ nonce = 'a'; every = 60 }) }
Say { Update-Lease ([pscustomobject]@{ nonce = 'b'; every = 60 }) }
Age -700; Say { Ask c b }; Say { Ask b }; Age 881; Say { Ask c b }
$script:Request = [pscustomobject]@{ run = '' }
Say { Assert-Unclaimed }
Say { Ask c '' release }; Test-Path -LiteralPath $FolderPath
Say { Update-Lease ([pscustomobject]@{ nonce = 'c'; every = 60 }) }
Open-Folder; [IO.File]::WriteAllText($JournalPath, '{"format":1,"run":"r1"}'); Say { Ask d }; Say { Ask x '' release }; Say { Ask d '' release }; Say { Ask d '' release }
$script:Request = [pscustomobject]@{ run = '' }
Say { Assert-Unclaimed }
Say { Ask e d }; [IO.File]::WriteAllText($CopyPath, ''); Remove-OurFolder $true; (Get-ChildItem -LiteralPath $FolderPath | ForEach-Object { $_.Name }) -join ' '; Say { Ask e '' release }; Say { Ask e e }; Remove-Item -LiteralPath $CopyPath; Remove-OurFolder $true; (Get-ChildItem -LiteralPath $FolderPath | ForEach-Object { $_.Name }) -join ' '; Say { Ask e '' release }; Test-Path -LiteralPath $FolderPath
Open-Folder; [IO.File]::WriteAllText($LeasePath, '{"format":2}'); Say { Ask a }
[IO.File]::WriteAllText($LeasePath, '{'); (Say { Ask a }).Substring(0, 33)
`)
	check(t, got, "True True a False", "True True a False", "False True a False", "False True a False",
		"False True a False",
		"False False a False", "False False a False", "True True b False",
		"lease: run r1 of of b holds the lease now",
		"fine",
		"True True c False", "False True c False", "True True c False",
		"lease: run r1 of of c holds the lease now",
		"False False - -", "False",
		"lease: the lease of this process is no longer there",
		"True True d False", "False True d False", "False False d True", "False False d True",
		"fine",
		"True True e False", "copy.json lease.json lock", "False False e True", "True True e False", "lease.json lock", "False False - -", "False",
		"newer: lease.json has the format 2", "journal: lease.json cannot be rea")
}

// TestLeaseRace: of four processes of the operating system that ask at once, one has the lease, and the others
// are told whose it is.
func TestLeaseRace(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	got := evaluate(t, "lease", leased+`
$here = $PSCommandPath; $me = (Get-Process -Id $PID).Path
if (-not $env:LEASE_NONCE) {
    # Each of the others reads the same test, and asks when the clock strikes.
    $env:LEASE_AT = (Get-Date).AddSeconds(4).ToUniversalTime().Ticks
    $all = foreach ($n in 1..4) {
        $env:LEASE_NONCE = "p$n"
        $info = [System.Diagnostics.ProcessStartInfo]::new($me, '-NoProfile -NonInteractive -ExecutionPolicy Bypass -File "' + $here + '"')
        $info.RedirectStandardOutput = $true; $info.UseShellExecute = $false
        [System.Diagnostics.Process]::Start($info)
    }
    $said = foreach ($one in $all) { $one.StandardOutput.ReadToEnd() -split '\r?\n' | Where-Object { $_ } }
    $said.Count
    foreach ($round in 0..19) { $now = @($said | Where-Object { $_ -like "$round *" }); '{0} {1}' -f @($now | Where-Object { $_ -like '* True' }).Count, @($now | Where-Object { $_ -like '* p? False' } | ForEach-Object { ($_ -split ' ')[2] } | Sort-Object -Unique).Count }
    exit 0
}
while ([DateTime]::UtcNow.Ticks -lt [int64]$env:LEASE_AT) { Start-Sleep -Milliseconds 1 }
$root = $FolderPath
foreach ($round in 0..19) {
    $FolderPath = '{0}{1}' -f $root, $round; $LeasePath = Join-Path $FolderPath 'lease.json'; $LockPath = Join-Path $FolderPath 'lock'; $JournalPath = Join-Path $FolderPath 'run.json'
    $a = Ask $env:LEASE_NONCE
    [Console]::Out.WriteLine(('{0} {1} {2} {3}' -f $round, $env:LEASE_NONCE, $a.lease.nonce, $a.held))
}
`)
	if got[0] != "80" {
		t.Errorf("the processes said %v", got)
	}
	for round, said := range got[1:] {
		if said != "1 1" { // one holds it, and all others were told the same one
			t.Errorf("round %d: %s holders and names of holders", round, strings.TrimSpace(said))
		}
	}
}
