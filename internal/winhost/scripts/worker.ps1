# Worker: what the scheduled task runs as SYSTEM. Reads work.json; searches, downloads and installs through
# the Windows Update Agent; writes progress.jsonl and, at the end and as a whole, result.json.

$order = ConvertFrom-Json -InputObject (Read-TextFile (Join-Path $FolderPath 'work.json'))

# Open-Log waits for a deleted file of that name to go: until Windows Server 2019 it stays while anybody who follows
# an earlier job has it open.
function Open-Log {
    $share = [IO.FileShare]::ReadWrite -bor [IO.FileShare]::Delete
    for ($try = 1; ; $try++) {
        try { return [IO.StreamWriter]::new([IO.FileStream]::new((Join-Path $FolderPath 'progress.jsonl'), [IO.FileMode]::Append, [IO.FileAccess]::Write, $share)) }
        catch {
            if ($try -ge 15) { throw }
            Start-Sleep -Seconds 1
        }
    }
}

$log = Open-Log
$log.AutoFlush = $true

function Write-Stage([string]$Stage, [string]$Title = '', [string]$KB = '', [int]$Index = 0, [int]$Count = 0, [int]$Percent = 0) {
    try { $log.Write((ConvertTo-Line ([ordered]@{ stage = $Stage; title = $Title; kb = $KB; index = $Index; count = $Count; percent = $Percent })) + "`n") }
    catch { return } # a full disk must not cut an installation short
}

# Stop-Work ends the work with a problem of our own and what to do about it.
function Stop-Work([string]$Problem, [string]$Next) {
    $work.next = $Next
    throw $Problem
}

# Errors that pass by themselves: time-outs, busy servers, name resolution, the agent renewing itself.
$Passing = @(
    '0x8024401C', '0x8024401F', '0x80244020', '0x80244021', '0x80244022', '0x80244023', '0x8024402C', '0x80244010',
    '0x8024001B', '0x80240009', '0x8024001E', '0x8024001F', '0x80240438', '0x80248007', '0x8024200D', '0x800706BA',
    '0x80072EE2', '0x80072EE7', '0x80072EFD', '0x80072EFE', '0x80D02002'
)

# Test-Again says whether an error may be tried again after so many attempts; a data store that lacks something
# gets one more attempt only.
function Test-Again([string]$Code, [int]$Tries, [int]$Most) {
    if ($Code -eq '0x80248007') { $Most = 2 }
    return $Tries -lt $Most -and $Passing -contains $Code
}

$MicrosoftUpdate = '7971f918-a847-4430-9279-4a52d1efe18d'
$FeatureUpgrades = '3689bdc8-b205-4af4-8d4a-a63924c5e9d5'
$Definitions = 'e0789628-ce08-4437-be74-2495b842f43b'

# ---- search ----

function Get-Searcher {
    $searcher = $session.CreateUpdateSearcher()
    $selection = @{ 'default' = 0; 'wsus' = 1; 'windows-update' = 2; 'microsoft-update' = 3 }
    if (-not $selection.ContainsKey([string]$order.filter.source)) { throw ('there is no update source {0}' -f $order.filter.source) }
    $searcher.ServerSelection = $selection[[string]$order.filter.source]
    if ($order.filter.source -eq 'microsoft-update') {
        $manager = New-Object -ComObject Microsoft.Update.ServiceManager
        if (@($manager.Services | Where-Object { $_.ServiceID -eq $MicrosoftUpdate }).Count -eq 0) {
            # Opting in stays on the host for ever, so that is left to its administrator.
            Stop-Work 'Microsoft Update is not registered on this host' 'let its administrator turn on updates for other Microsoft products there, or set OCTOPATCH_UPDATE_SOURCE=default'
        }
        $searcher.ServiceID = $MicrosoftUpdate
    }
    return $searcher
}

# Search-Updates asks again after an error that passes by itself, at most five times.
function Search-Updates {
    for ($try = 1; ; $try++) {
        Write-Stage -Stage 'search' -Title $(if ($try -gt 1) { 'again, attempt {0}: {1}' -f $try, $code } else { '' })
        try {
            $found = (Get-Searcher).Search('IsInstalled=0')
            # 2: succeeded, 3: with warnings, which concern single updates
            if ([int]$found.ResultCode -notin 2, 3) { throw ('the search ended with result code {0}' -f $found.ResultCode) }
            foreach ($warning in @(Read-Property $found 'Warnings' @())) {
                $work.warnings += '0x{0:X8} {1}' -f $warning.HResult, $warning.Message
            }
            return $found
        } catch {
            $code = Get-ErrorCode $_
            if (-not (Test-Again $code $try 6)) { throw }
            Start-Sleep -Seconds ([Math]::Min(15 * $try, 60))
        }
    }
}

# Get-Missing names what a broken update does not say of itself. Some builds of Windows hand out updates without
# their properties (mended by KB5040527); then nobody knows what is on offer. No InstallationBehavior is no fault:
# Windows may leave it out, as its documentation says.
function Get-Missing([object]$Update) {
    foreach ($name in 'Identity', 'Title', 'Categories') {
        $there = $false
        try { $there = $null -ne $Update.PSObject.Properties[$name].Value } catch { $there = $false }
        if (-not $there) { $name }
    }
}

function Get-Update([object]$Update) {
    $kbs = @(@(Read-Property $Update 'KBArticleIDs' @()) | ForEach-Object { ([string]$_) -replace '\D', '' } | Where-Object { $_ })
    if ($kbs.Count -eq 0 -and [string]$Update.Title -match '\bKB(?<kb>\d{6,})') { $kbs = @($Matches['kb']) }
    $class = @(@(Read-Property $Update 'Categories' @()) | Where-Object { [string]$_.Type -eq 'UpdateClassification' } | ForEach-Object { ([string]$_.CategoryID).ToLowerInvariant() })
    $first = ''
    if ($class.Count) { $first = $class[0] }
    return [ordered]@{
        id             = [string]$Update.Identity.UpdateID
        title          = [string]$Update.Title
        kbs            = @($kbs)
        bytes          = [int64](Read-Property $Update 'MaxDownloadSize' 0)
        classification = $first
        definition     = $first -eq $Definitions
        downloaded     = [bool](Read-Property $Update 'IsDownloaded' $false)
        skip           = ''
    }
}

# Get-SkipReason says why an update is not taken, or nothing. Excluding beats including; including beats
# every other rule but those on updates that wait for a reboot, or for somebody at the screen.
function Get-SkipReason([object]$Update, [object]$Facts) {
    if ([bool](Read-Property $Update 'RebootRequired' $false)) { return 'installed, and waits for a reboot' }
    foreach ($kb in $Facts.kbs) { if (@($order.filter.exclude) -contains $kb) { return 'excluded: KB' + $kb } }
    $behavior = Read-Property $Update 'InstallationBehavior'
    if ([bool](Read-Property $behavior 'CanRequestUserInput' $false)) { return 'may ask somebody at the screen' }
    foreach ($kb in $Facts.kbs) { if (@($order.filter.include) -contains $kb) { return '' } }
    if ([int](Read-Property $Update 'Type' 1) -eq 2) { return 'driver' }
    if ($Facts.classification -eq $FeatureUpgrades) { return 'feature upgrade' }
    if ([bool](Read-Property $Update 'IsHidden' $false)) { return 'hidden on this host' }
    if ([bool](Read-Property $Update 'BrowseOnly' $false)) { return 'optional' }
    # Product names are not translated.
    $products = @(@(Read-Property $Update 'Categories' @()) | Where-Object { [string]$_.Type -like 'Product*' } | ForEach-Object { [string]$_.Name })
    foreach ($name in $products + $Facts.title) {
        if ($name -match '\b(?<product>SQL Server|Exchange Server)\b') { return 'product: ' + $Matches['product'] }
    }
    if ($Facts.classification -eq '') { return 'no classification' }
    if (@($order.filter.classifications) -notcontains $Facts.classification) { return 'classification not chosen: ' + $Facts.classification }
    return ''
}

# ---- download and install ----

function Test-Exclusive([object]$Update) {
    # 2: must be installed alone
    return [int](Read-Property (Read-Property $Update 'InstallationBehavior') 'Impact' 0) -eq 2
}

function Get-Outcome([object]$Facts, [string]$Step, [int]$ResultCode, [string]$Code, [bool]$Reboot) {
    $names = @{ 2 = 'succeeded'; 3 = 'succeeded-with-errors'; 4 = 'failed'; 5 = 'aborted' }
    $result = 'failed'
    if ($names.ContainsKey($ResultCode)) { $result = $names[$ResultCode] }
    return [ordered]@{
        id = $Facts.id; title = $Facts.title; kbs = @($Facts.kbs); step = $Step; result = $result; code = $Code
        reboot = $Reboot; words = ''; next = ''; succeeded = $ResultCode -in 2, 3
    }
}

# Invoke-Once hands one update alone to the agent: progress comes update by update, a failure stays with the
# one that failed, and an exclusive update is alone by itself.
function Invoke-Once([object]$Update, [object]$Facts, [string]$Step) {
    try {
        if (-not [bool](Read-Property $Update 'EulaAccepted' $true)) { $Update.AcceptEula() }
        $one = New-Object -ComObject Microsoft.Update.UpdateColl
        $one.Add($Update) | Out-Null
        $reboot = $false
        if ($Step -eq 'download') {
            $agent = $session.CreateUpdateDownloader()
            $agent.Updates = $one
            $result = $agent.Download().GetUpdateResult(0)
        } else {
            $agent = $session.CreateUpdateInstaller()
            $agent.AllowSourcePrompts = $false
            $agent.ForceQuiet = $true
            $agent.Updates = $one
            $result = $agent.Install().GetUpdateResult(0)
            $reboot = [bool]$result.RebootRequired
        }
        $code = ''
        if ($result.HResult -ne 0) { $code = '0x{0:X8}' -f $result.HResult }
        return Get-Outcome $Facts $Step $result.ResultCode $code $reboot
    } catch {
        return Get-Outcome $Facts $Step 4 (Get-ErrorCode $_) $false
    }
}

# Invoke-Step tries again what passes by itself, four times at most.
function Invoke-Step([object]$Update, [object]$Facts, [string]$Step, [int]$Index, [int]$Count) {
    $kb = ''
    if (@($Facts.kbs).Count) { $kb = @($Facts.kbs)[0] }
    for ($try = 1; ; $try++) {
        Write-Stage -Stage $Step -Title $Facts.title -KB $kb -Index $Index -Count $Count -Percent ([Math]::Floor(($Index - 1) * 100 / $Count))
        $outcome = Invoke-Once $Update $Facts $Step
        if ($outcome.succeeded -or -not (Test-Again $outcome.code $try 4)) { break }
        Start-Sleep -Seconds (30 * $try)
    }
    Write-Stage -Stage $Step -Title $Facts.title -KB $kb -Index $Index -Count $Count -Percent ([Math]::Floor($Index * 100 / $Count))
    return $outcome
}

# Wait-Agent waits for somebody else's installation, at most ten minutes; the answer is false when Windows
# wants a reboot before it installs anything more.
function Wait-Agent {
    for ($try = 1; ; $try++) {
        $agent = $session.CreateUpdateInstaller()
        if ([bool](Read-Property $agent 'RebootRequiredBeforeInstallation' $false)) { return $false }
        if (-not [bool](Read-Property $agent 'IsBusy' $false) -or $try -ge 40) { return $true }
        Write-Stage -Stage 'install' -Title 'waiting for another installation'
        Start-Sleep -Seconds 15
    }
}

# Select-Updates judges every update that is on offer, and returns those that are taken.
function Select-Updates([object]$Updates) {
    $seen = @{}
    for ($i = 0; $i -lt $Updates.Count; $i++) {
        $update = $Updates.Item($i)
        $missing = @(Get-Missing $update)
        if ($missing.Count) { $broken.number++; $broken.missing = $missing -join ', '; continue }
        $facts = Get-Update $update
        if ($seen.ContainsKey($facts.id)) { continue }
        $seen[$facts.id] = $true
        $facts.skip = [string](Get-SkipReason $update $facts)
        $same = '{0}|{1}' -f $facts.title, ($facts.kbs -join ',')
        if (-not $facts.skip -and $seen.ContainsKey($same)) { $facts.skip = 'on offer twice' }
        if (-not $facts.skip) { $seen[$same] = $true; @{ update = $update; facts = $facts } }
        $work.updates += $facts
    }
}

# Measure-Space: a download comes, is unpacked, and leaves the old files behind. A size above 4 GB is the sum of
# every file that some host might need, and not of what comes.
function Measure-Space([object[]]$Taken) {
    foreach ($one in $Taken) {
        $times = 3
        if ($one.facts.downloaded) { $times = 2 }
        $work.need += [int64]($times * [Math]::Min([int64]$one.facts.bytes, 4GB))
    }
    $drive = Get-CimInstance -ClassName Win32_LogicalDisk | Where-Object { $_.DeviceID -eq $env:SystemDrive }
    $work.free = [int64](Read-Property $drive 'FreeSpace' 0)
}

# Stop-Broken ends the work where updates could not be told apart, so that it does not look complete.
function Stop-Broken([int]$All) {
    if ($broken.number -eq 0) { return }
    Stop-Work ('Windows describes {0} of {1} updates without their {2}' -f $broken.number, $All, $broken.missing) 'reboot the host; if it stays, install its latest cumulative update by hand (KB5040527 mends a known case), then run again'
}

# Install-Updates installs what is downloaded, until Windows wants to restart.
function Install-Updates([object[]]$Ready) {
    $index = 0
    foreach ($one in $Ready) {
        $index++
        if (-not (Wait-Agent)) {
            $work.reboot = $true
            # Nothing came of this round, and that must not look like there was nothing to do.
            if (@($work.outcomes | Where-Object { $_.succeeded }).Count -eq 0) {
                foreach ($left in $Ready) { $work.outcomes += Get-Outcome $left.facts 'install' 5 '0x80240016' $true }
            }
            return
        }
        $outcome = Invoke-Step $one.update $one.facts 'install' $index $Ready.Count
        $work.outcomes += $outcome
        if ($outcome.reboot) { $work.reboot = $true }
        # Windows shuts down, or wants to before the next one: the rest comes in the next round.
        if ($outcome.code -eq '0x8007045B' -or ($outcome.reboot -and (Test-Exclusive $one.update))) { return }
    }
}

function Invoke-Work {
    $updates = (Search-Updates).Updates
    $taken = @(Select-Updates $updates)
    Measure-Space $taken
    if ($order.mode -ne 'install') { Stop-Broken $updates.Count }
    if ($order.mode -eq 'scan') { return }
    if ($work.free -lt $work.need) {
        Stop-Work ('{0} MB are free on the system drive, and the updates need some {1} MB' -f [Math]::Floor($work.free / 1MB), [Math]::Ceiling($work.need / 1MB)) 'free space on the system drive (Disk Cleanup, DISM /Online /Cleanup-Image /StartComponentCleanup), then run again'
    }

    # Exclusive updates come first: they are mostly what the others need.
    $taken = @($taken | Where-Object { Test-Exclusive $_.update }) + @($taken | Where-Object { -not (Test-Exclusive $_.update) })
    # Always download, whatever IsDownloaded says: it is wrong at times, and asking again costs little.
    $ready = @()
    $index = 0
    foreach ($one in $taken) {
        $index++
        $outcome = Invoke-Step $one.update $one.facts 'download' $index $taken.Count
        $one.facts.downloaded = $outcome.succeeded
        if ($outcome.succeeded) { $ready += $one }
        if (-not $outcome.succeeded -or $order.mode -eq 'download') { $work.outcomes += $outcome }
    }
    if ($order.mode -eq 'install') {
        Install-Updates $ready
        Stop-Broken $updates.Count
    }
}

$work = [ordered]@{
    job = [string]$order.job; updates = @(); outcomes = @(); reboot = $false; code = ''; problem = ''; next = ''
    warnings = @(); free = [int64]0; need = [int64]0
}
$broken = @{ number = 0; missing = '' }
try {
    if ([string]$order.mode -notin 'scan', 'download', 'install') { throw ('there is no mode {0}' -f $order.mode) }
    $session = New-Object -ComObject Microsoft.Update.Session
    $session.ClientApplicationID = 'octopatch'
    Invoke-Work
    if ((New-Object -ComObject Microsoft.Update.SystemInfo).RebootRequired) { $work.reboot = $true }
} catch {
    $work.code = Get-ErrorCode $_
    $work.problem = Get-ErrorText $_
}
$log.Dispose()
Write-TextFile -Path (Join-Path $FolderPath 'result.json') -Text (ConvertTo-Line $work)
