# Clear: removes our task and our folder. Request: run (empty: only what no journal claims).

$state = Get-FolderState
if ($state -ne 'absent' -and $state -ne 'ours') { Stop-WithError -Kind 'folder' -Message ('{0} {1}' -f $FolderPath, $state) }
if ($state -eq 'ours') {
    if (-not $Request.run -and (Test-Path -LiteralPath $JournalPath)) {
        Write-Answer ([ordered]@{ cleared = $false })
        exit 0
    }
    $journal = Read-Journal
    if ($null -ne $journal -and [string]$journal.run -cne [string]$Request.run) {
        Stop-WithError -Kind 'journal' -Message ('{0} belongs to run {1}' -f $JournalPath, $journal.run)
    }
}
$scheduler = Connect-Scheduler
Stop-Worker $scheduler
Remove-OurTask $scheduler
Remove-OurFolder
Write-Answer ([ordered]@{ cleared = $true })
