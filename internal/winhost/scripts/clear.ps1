# Clear: removes our tasks and our folder; the lease of the process that asks stays. Request: run (empty: only what
# no journal claims).

Assert-Unclaimed
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
Remove-OurTasks $scheduler
Remove-OurFolder -KeepLease ($null -ne (Read-Property $Request 'lease'))
Write-Answer ([ordered]@{ cleared = $true })
