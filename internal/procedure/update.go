package procedure

import "time"

// What a worker is asked to do.
const (
	WorkScan     = "scan"     // search and filter
	WorkDownload = "download" // scan, then download
	WorkInstall  = "install"  // scan, download, install
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

// WorkProgress is one sign of life of the worker.
type WorkProgress struct {
	Stage   string `json:"stage"` // search, download, install
	Title   string `json:"title"`
	KB      string `json:"kb"`
	Index   int    `json:"index"` // from 1
	Count   int    `json:"count"`
	Percent int    `json:"percent"`
}
