# Copy: keeps the newest journal of another node on this host while that node's machine is reverted, for the revert
# rewinds its own; or drops it. Request: node (whose), journal (null: drop it). Answer: kept.

Assert-Unclaimed
$state = Get-FolderState
if ($state -ne 'absent' -and $state -ne 'ours') { Stop-WithError -Kind 'folder' -Message ('{0} {1}' -f $FolderPath, $state) }
$kept = $null
if ($state -eq 'ours') { $kept = Read-JournalFile $CopyPath }
$journal = Read-Property $Request 'journal'
if ($null -eq $journal) {
    if ($null -ne $kept -and [string](Read-Property $kept 'node' '') -ceq [string]$Request.node) { Remove-Item -LiteralPath $CopyPath -Force }
    Write-Answer ([ordered]@{ kept = $false })
    exit 0
}
# There is room for one: of two nodes that are reverted at once the second finds it on another host, or nowhere.
if ($null -ne $kept -and [string](Read-Property $kept 'node' '') -cne [string]$Request.node) {
    Stop-WithError -Kind 'journal' -Message ('{0} is of node {1}, run {2}' -f $CopyPath, (Read-Property $kept 'node' ''), $kept.run)
}
Open-Folder
Write-TextFile -Path $CopyPath -Text (ConvertTo-Line $journal)
Write-Answer ([ordered]@{ kept = $true })
