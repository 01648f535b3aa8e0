package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Output is a value for the later steps of a workflow or a deployment.
type Output struct{ Name, Value string }

// nodeOutput is what later steps learn about a node.
type nodeOutput struct {
	Node      string   `json:"node"`
	Result    string   `json:"result"`
	Reason    string   `json:"reason,omitempty"`
	Windows   string   `json:"windows"` // build and UBR afterwards, "20348.2159"; empty where it is not known
	Installed []string `json:"installed"`
	Failed    []string `json:"failed"`
	Reboots   int      `json:"reboots"`
}

// Outputs are the values that every CI system is handed, in the words of report.json. Values of one line only.
func (r Report) Outputs() []Output {
	installed, nodes := 0, []nodeOutput{}
	for _, n := range r.Nodes {
		installed += len(n.Installed)
		windows := ""
		if n.After.Build != "" {
			windows = n.After.Build + "." + strconv.Itoa(n.After.UBR)
		}
		nodes = append(nodes, nodeOutput{n.Node, string(n.Result), plain(n.Reason), windows, titles(n.Installed), titles(n.Failed), n.Reboots})
	}
	list, err := json.Marshal(nodes)
	if err != nil {
		list = []byte("[]") // strings and numbers always encode
	}
	out := []Output{{"result", r.result()}, {"exit_code", strconv.Itoa(r.Exit)}, {"run", r.Run}, {"updates_installed", strconv.Itoa(installed)}, {"nodes", string(list)}, {"next", plain(r.Next)}}
	if r.Downtime.Probes > 0 { // nothing is said of what was not measured
		out = append(out, Output{"downtime_seconds", strconv.FormatFloat(r.Downtime.Seconds, 'f', 0, 64)})
	}
	return out
}

// result is the exit code in a word.
func (r Report) result() string {
	words := map[int]string{0: "done", 1: "failed", 3: "partly_failed", 4: "refused", 5: "stopped", 6: "unknown", 130: "interrupted"}
	return or(words[r.Exit], "failed")
}

// titles names each update as the summary does.
func titles(list []procedure.UpdateOutcome) []string {
	names := []string{}
	for _, o := range list {
		names = append(names, plain(named(o.KBs, o.Title)))
	}
	return names
}

// HandOver gives the CI system that the log is for the outputs and the files of a run that is over. Files that
// are not there are left out.
func HandOver(kind string, w *Redact, r Report, files ...string) {
	if kind != logOctopus {
		return
	}
	o := NewOctopus(w)
	for _, out := range r.Outputs() {
		o.message("setVariable", "name", out.Name, "value", w.Clean(out.Value))
	}
	for _, file := range files {
		path, err := filepath.Abs(file)
		if err != nil {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			o.message("createArtifact", "path", path, "name", "octopatch-"+filepath.Base(path), "length", strconv.FormatInt(info.Size(), 10))
		}
	}
}
