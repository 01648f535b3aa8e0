package windows

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// name is what the world's log calls the change that a script makes, or empty.
func (m *Machine) name(one call) string {
	var request struct {
		Mode, Action     string
		Deadman, Journal json.RawMessage
	}
	_ = json.Unmarshal(one.json, &request) // what cannot be read has no mode
	switch one.script {
	case "record":
		if given(request.Deadman) {
			return "host arm"
		}
		return "host record"
	case "copy":
		if !given(request.Journal) {
			return "host drop copy"
		}
		return "host copy"
	case "stop", "start", "reboot", "clear", "undrain":
		return "host " + one.script
	case "lease":
		return m.leaseWrite(one)
	case "hyperv":
		if write := one.write(); slices.Contains(checkpointWrites, write) {
			return strings.Replace(write, "-", " ", 1)
		}
	case "work":
		return "host work " + request.Mode
	case "image", "restore":
		if slices.Contains([]string{"take", "revert", "remove", "stop"}, request.Action) {
			return "host " + one.script + " " + request.Action
		}
	}
	return ""
}

// given: the request has a value there.
func given(value json.RawMessage) bool { return len(value) > 0 && string(value) != "null" }

// leaseWrite names what a call for the lease changes: asking for one that is somebody else's changes nothing, and
// renewing one's own is no change that anybody waits for.
func (m *Machine) leaseWrite(one call) string {
	var request struct{ Action, Nonce string }
	if json.Unmarshal(one.json, &request) != nil {
		return ""
	}
	if request.Action == "release" {
		return "host release"
	}
	var lease struct {
		Nonce          string
		Renewed, Every int64
		Released       bool
	}
	text, err := os.ReadFile(filepath.Join(m.ours(), leaseFile))
	if err == nil && json.Unmarshal(text, &lease) == nil {
		live := !lease.Released && m.clock.Now().Unix()-lease.Renewed < 3*lease.Every
		if live || lease.Nonce == request.Nonce {
			return ""
		}
	}
	return "host lease"
}

func (m *Machine) logWrite(what string, one call, fate string) {
	if what != "" {
		m.log(what, detail(one), fate)
	}
}

// detail is what the request itself calls its change.
func detail(one call) string {
	var request struct {
		Job    string `json:"job"`
		Name   string `json:"name"` // of a checkpoint
		Change *struct {
			Intent *struct {
				Phase string `json:"phase"`
				What  string `json:"what"`
			} `json:"intent"`
		} `json:"change"`
	}
	switch {
	case json.Unmarshal(one.json, &request) != nil:
		return ""
	case request.Job+request.Name == "" && request.Change != nil && request.Change.Intent != nil:
		return request.Change.Intent.What
	}
	return request.Job + request.Name
}
