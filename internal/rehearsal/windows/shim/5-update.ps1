# The Windows Update Agent. It refuses the token of a network logon, whatever its rights.

# New-UpdateList is a collection as COM shows it: Count, Item, Add.
function New-UpdateList([object[]]$Items) {
    $list = [pscustomobject]@{ _List = [System.Collections.ArrayList]@($Items) }
    $list.PSObject.Members.Add([System.Management.Automation.PSScriptProperty]::new('Count', { return $this._List.Count }))
    Add-Method $list 'Item' { param($Index) return $this._List[[int]$Index] }
    Add-Method $list 'Add' { param($Item) return $this._List.Add($Item) }
    return $list
}

function New-Update([object]$Offer) {
    $categories = @(
        [pscustomobject]@{ Type = 'UpdateClassification'; CategoryID = $Offer.class; Name = 'Classification' }
        [pscustomobject]@{ Type = 'Product'; CategoryID = $Offer.productID; Name = $Offer.product }
    )
    $update = [pscustomobject]@{
        Identity = [pscustomobject]@{ UpdateID = $Offer.id; RevisionNumber = 200 }
        Title = $Offer.title; KBArticleIDs = @($Offer.kbs); Categories = $categories; MaxDownloadSize = [long]$Offer.bytes; MinDownloadSize = 0
        IsDownloaded = [bool]$Offer.downloaded; IsInstalled = $false; IsHidden = [bool]$Offer.hidden; BrowseOnly = [bool]$Offer.optional; Type = [int]$Offer.type
        EulaAccepted = [bool]$Offer.eula; RebootRequired = [bool]$Offer.waits
        InstallationBehavior = $null
    }
    if (-not $Offer.plain) {
        $update.InstallationBehavior = [pscustomobject]@{ CanRequestUserInput = [bool]$Offer.userInput; Impact = [int]$(if ($Offer.exclusive) { 2 } else { 0 }); RebootBehavior = 2 }
    }
    if ($Offer.broken) { foreach ($name in 'Title', 'Categories') { $update.PSObject.Properties.Remove($name) } }
    Add-Method $update 'AcceptEula' { Invoke-Machine 'update eula' @{ id = $this.Identity.UpdateID } | Out-Null; $this.EulaAccepted = $true }
    return $update
}

function New-UpdateSession {
    Invoke-Machine 'update class' | Out-Null
    $session = [pscustomobject]@{ ClientApplicationID = ''; UserLocale = 1033; ReadOnly = $false }
    Add-Method $session 'CreateUpdateSearcher' { Invoke-Machine 'update allowed' | Out-Null; return New-UpdateSearcher }
    Add-Method $session 'CreateUpdateDownloader' { Invoke-Machine 'update allowed' | Out-Null; return New-UpdateDownloader }
    Add-Method $session 'CreateUpdateInstaller' { Invoke-Machine 'update allowed' | Out-Null; return New-UpdateInstaller }
    return $session
}

function New-UpdateSearcher {
    $searcher = [pscustomobject]@{ ServerSelection = 0; ServiceID = ''; Online = $true }
    Add-Method $searcher 'Search' {
        param($Criteria)
        if ($Criteria -ne 'IsInstalled=0') { throw [System.Runtime.InteropServices.COMException]::new('Exception from HRESULT: 0x80240032', [int]-2145124302) }
        $answer = Invoke-Machine 'update search' @{ selection = [int]$this.ServerSelection; id = [string]$this.ServiceID }
        $found = @(@($answer.updates) | ForEach-Object { if ($null -ne $_) { New-Update $_ } })
        $warnings = @(@($answer.warnings) | ForEach-Object { if ($null -ne $_) { [pscustomobject]@{ HResult = [int]$_.hresult; Message = $_.message; Context = 4 } } })
        return [pscustomobject]@{ ResultCode = [int]$answer.resultCode; Updates = (New-UpdateList $found); Warnings = $warnings }
    }
    return $searcher
}

# Invoke-Agent hands the updates to the agent one after the other, and answers as it does. Only an installation
# knows of reboots.
function Invoke-Agent([string]$Call, [object]$Updates) {
    $results = @(foreach ($update in $Updates._List) {
        $done = Invoke-Machine $Call @{ id = $update.Identity.UpdateID }
        $result = [pscustomobject]@{ ResultCode = [int]$done.resultCode; HResult = [int]$done.hresult }
        if ($Call -eq 'update install') { Add-Property $result 'RebootRequired' ([bool]$done.rebootRequired) }
        $result
    })
    $code = 2
    if (@($results | Where-Object { $_.ResultCode -ne 2 }).Count) { $code = 4 }
    $all = [pscustomobject]@{ ResultCode = $code; HResult = 0; _Results = $results }
    if ($Call -eq 'update install') { Add-Property $all 'RebootRequired' ([bool]@($results | Where-Object { $_.RebootRequired }).Count) }
    Add-Method $all 'GetUpdateResult' { param($Index) return @($this._Results)[[int]$Index] }
    return $all
}

function New-UpdateDownloader {
    $agent = [pscustomobject]@{ Updates = $null; Priority = 2; IsForced = $false; ClientApplicationID = '' }
    Add-Method $agent 'Download' { return Invoke-Agent 'update download' $this.Updates }
    return $agent
}

function New-UpdateInstaller {
    $state = Invoke-Machine 'update state'
    $agent = [pscustomobject]@{ Updates = $null; AllowSourcePrompts = $true; ForceQuiet = $false; IsForced = $false; IsBusy = [bool]$state.busy; RebootRequiredBeforeInstallation = [bool]$state.blocked }
    Add-Method $agent 'Install' { return Invoke-Agent 'update install' $this.Updates }
    return $agent
}

# A property that fails would be an empty one here, so the object itself is refused.
function New-UpdateInfo {
    Invoke-Machine 'update allowed' | Out-Null
    return [pscustomobject]@{ RebootRequired = [bool](Invoke-Machine 'update state').reboot }
}

function New-UpdateServices {
    Invoke-Machine 'update allowed' | Out-Null
    $services = @(foreach ($one in @(Invoke-Machine 'update services')) { [pscustomobject]@{ ServiceID = $one.id; Name = $one.name; IsManaged = [bool]$one.managed } })
    return [pscustomobject]@{ Services = $services }
}
