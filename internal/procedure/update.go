package procedure

import (
	"slices"
	"strings"
	"time"
)

// What a worker is asked to do.
const (
	WorkScan     = "scan"     // search and filter
	WorkDownload = "download" // scan, then download
	WorkInstall  = "install"  // scan, download, install
)

// Helps says what helps against a code.
type Helps string

// What helps against a code of Windows Update.
const (
	HelpsNobody    Helps = ""           // nothing by itself: somebody has to act
	HelpsNotNeeded Helps = "not needed" // the code is no error
	HelpsTime      Helps = "time"       // it passes by itself, and was waited for already
	HelpsReboot    Helps = "reboot"     // a reboot, and then once more
	HelpsRestart   Helps = "restart"    // a restart is under way already
)

// WorkOrder is what the worker on the host is to do. Job names it: asking for the same job again follows
// the worker that runs already.
type WorkOrder struct {
	Job    string
	Mode   string
	Filter UpdateFilter
	Keep   bool          // leave task and folder in place afterwards; false removes them when no journal is there
	Stall  time.Duration // no sign of progress for that long means stuck
}

// UpdateFilter says which updates are taken.
type UpdateFilter struct {
	Classifications []string // GUIDs, lower case
	Include         []string // KB numbers, digits only; taken whatever their category
	Exclude         []string // KB numbers, digits only; beats Include
	Source          string   // default, wsus, windows-update, microsoft-update
}

// Update is one update that Windows Update offers.
type Update struct {
	ID             string   `json:"id"`
	Title          string   `json:"title"`
	KBs            []string `json:"kbs"`            // digits only
	Bytes          int64    `json:"bytes"`          // largest download size
	Classification string   `json:"classification"` // GUID, lower case
	Definition     bool     `json:"definition"`     // does not count for convergence
	Downloaded     bool     `json:"downloaded"`
	Skip           string   `json:"skip"` // why it is not taken; empty: it is
}

// UpdateOutcome is what became of one update.
type UpdateOutcome struct {
	ID        string   `json:"id"`
	Title     string   `json:"title"`
	KBs       []string `json:"kbs"`
	Step      string   `json:"step"`   // download or install
	Result    string   `json:"result"` // succeeded, succeeded-with-errors, failed, aborted
	Code      string   `json:"code"`   // HRESULT, "0x80070643"; empty when there was none
	Reboot    bool     `json:"reboot"` // this update wants a reboot
	Words     string   `json:"words"`  // what the code means, filled in by the runner
	Next      string   `json:"next"`   // what to do about it, filled in by the runner
	Helps     Helps    `json:"helps"`  // filled in by the runner
	Succeeded bool     `json:"succeeded"`
}

// WorkResult is the worker's final answer.
type WorkResult struct {
	Job      string          `json:"job"`
	Updates  []Update        `json:"updates"`
	Outcomes []UpdateOutcome `json:"outcomes"`
	Reboot   bool            `json:"reboot"` // Windows Update says that a reboot is required
	Code     string          `json:"code"`   // HRESULT that ended the work as a whole; empty: none
	Problem  string          `json:"problem"`
	Next     string          `json:"next"`
	Helps    Helps           `json:"helps"`    // filled in by the runner
	Warnings []string        `json:"warnings"` // what the search said besides
	Free     int64           `json:"free"`     // bytes on the system drive before the downloads; 0: not read
	Need     int64           `json:"need"`     // bytes that the updates that are taken need there, as a rule
}

// Classifications are Microsoft's classifications of updates: GUID by the name that OCTOPATCH_CATEGORIES gives it. Their
// own names are localised, and not compared.
func Classifications() map[string]string {
	return map[string]string{
		"security": "0fa1201d-4330-4fa8-8ae9-b877473b6441", "critical": "e6cf1350-c01b-414d-a61f-263d14d133b4",
		"rollups": "28bc880e-0592-4cbf-8f95-c79b17911d5f", "updates": "cd5ffd1e-e932-4e3a-bf74-18bf0b1bbd83",
		"definitions": "e0789628-ce08-4437-be74-2495b842f43b", "servicepacks": "68c5b0a3-d1a6-4553-ae49-01d3a7827828",
		"featurepacks": "b54e7d24-7add-428f-8b75-90a396fa584f", "tools": "b4832bd8-e735-4761-8daf-37f882276dab",
	}
}

// ClassificationName is the name of a classification, or its GUID where it has none here.
func ClassificationName(guid string) string {
	for name, id := range Classifications() {
		if strings.EqualFold(id, guid) {
			return name
		}
	}
	return guid
}

// Taken lists the updates that the filter takes.
func (r WorkResult) Taken() []Update {
	var taken []Update
	for _, u := range r.Updates {
		if u.Skip == "" {
			taken = append(taken, u)
		}
	}
	return taken
}

// asks reports whether that is what helps against anything that failed.
func (r WorkResult) asks(h Helps) bool {
	return r.Helps == h || slices.ContainsFunc(r.Outcomes, func(o UpdateOutcome) bool { return !o.Succeeded && o.Helps == h })
}

// WorkProgress is one sign of life of the worker.
type WorkProgress struct {
	Stage   string `json:"stage"` // search, download, install
	Title   string `json:"title"`
	KB      string `json:"kb"`
	Index   int    `json:"index"` // from 1
	Count   int    `json:"count"`
	Percent int    `json:"percent"`
}
