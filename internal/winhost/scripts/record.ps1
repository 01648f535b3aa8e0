# Record: merges a change into run.json. Request: change.

Write-Answer ([ordered]@{ journal = (Update-Journal $Request.change) })
