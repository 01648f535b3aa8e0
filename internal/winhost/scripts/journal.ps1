# The journal of an unfinished run: run.json in the folder.

$JournalPath = Join-Path $FolderPath 'run.json'

function Read-Journal { return Read-JournalFile $JournalPath }

# Read-JournalFile is the journal in a file, or $null when there is none. One that cannot be understood ends the
# script: nobody may write over the only truth about an unfinished run.
function Read-JournalFile([string]$Path) {
    if (-not (Test-Path -LiteralPath $Path)) { return $null }
    $journal = $null
    try { $journal = ConvertFrom-Json -InputObject (Read-TextFile $Path) }
    catch { Stop-WithError -Kind 'journal' -Message ('{0} cannot be read: {1}' -f $Path, (Get-RootError $_).Message) }
    if ($journal -isnot [System.Management.Automation.PSCustomObject] -or $null -eq (Read-Property $journal 'format')) {
        Stop-WithError -Kind 'journal' -Message ('{0} is not a journal' -f $Path)
    }
    if ($journal.format -ne 1) { Stop-WithError -Kind 'newer' -Message ('{0} has the format {1}' -f $Path, $journal.format) }
    if (-not (Read-Property $journal 'run' '')) {
        Stop-WithError -Kind 'journal' -Message ('{0} names no run' -f $Path)
    }
    return $journal
}

function Write-Journal([object]$Journal) {
    Write-TextFile -Path $JournalPath -Text (ConvertTo-Line $Journal)
}

# Merge-Property copies the fields of one object into another and keeps the fields that it does not know.
function Merge-Property([object]$Into, [object]$From) {
    foreach ($field in @($From.PSObject.Properties)) { Set-Property $Into $field.Name $field.Value }
}

# Test-Change ends the script when the change does not belong to the journal. The counter only grows; an
# equal one is the same change asked for again after its reply was lost.
function Test-Change([object]$Journal, [object]$Change) {
    if (-not (Read-Property $Change 'run' '')) { Stop-WithError -Kind 'journal' -Message 'a change without a run id' }
    if ($null -eq $Journal) { return }
    if ([string]$Journal.run -cne [string]$Change.run) {
        Stop-WithError -Kind 'journal' -Message ('{0} belongs to run {1}' -f $JournalPath, $Journal.run)
    }
    if ([int64]$Change.counter -lt [int64](Read-Property $Journal 'counter' 0)) {
        Stop-WithError -Kind 'journal' -Message ('the journal is at {0}, the change at {1}: another process has gone on with this run' -f $Journal.counter, $Change.counter)
    }
}

# Update-Journal writes the change into run.json before the script does what the change announces.
# $HostPrior is the host as it was; it stays out when the journal has one already.
function Update-Journal([object]$Change, [object]$HostPrior = $null) {
    Assert-Unclaimed
    Open-Folder
    $journal = Read-Journal
    Test-Change $journal $Change
    if ($null -eq $journal) { $journal = [pscustomobject][ordered]@{ format = 1 } }
    foreach ($name in 'run', 'counter', 'node', 'owner', 'topology') { Set-Property $journal $name $Change.$name }
    Set-Property $journal 'updated' $Change.at
    if ($null -ne (Read-Property $Change 'intent')) { Set-Property $journal 'intent' $Change.intent }
    foreach ($part in 'phases', 'octopus', 'precaution') {
        $new = Read-Property $Change $part
        if ($null -eq $new) { continue }
        $old = Read-Property $journal $part
        if ($null -eq $old) { Set-Property $journal $part $new } else { Merge-Property $old $new }
    }
    if ($null -ne $HostPrior) {
        Set-Property $journal 'host' $HostPrior
        $journal.PSObject.Properties.Remove('deadman') # what it did is being undone
    }
    Write-Journal $journal
    return $journal
}
