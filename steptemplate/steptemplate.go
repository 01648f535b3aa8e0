// Package steptemplate makes the Octopus step templates, one for Bash and one for PowerShell, from the table of
// settings and two script bodies. The JSON files beside it are what it makes; go generate renews them.
package steptemplate

import (
	"bytes"
	_ "embed" // the bodies
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/gofrs/uuid"
)

//go:generate go test -run ^TestTemplates$ -update

// Prefix is what the name of each parameter begins with.
const Prefix = "OctoPatch."

// Template is an Octopus step template as Octopus exports it.
type Template struct {
	ID           string `json:"Id"`
	Name         string
	Description  string
	ActionType   string
	Version      int     // grows with each change; Octopus offers the new one to who has imported an older one
	Community    *string `json:"CommunityActionTemplateId"`
	Packages     []Package
	Properties   map[string]string
	Parameters   []Parameter
	StepPackage  string `json:"StepPackageId"`
	Meta         Meta   `json:"$Meta"`
	LastModified string `json:"LastModifiedBy"`
	Category     string
}

// Package is a reference to a package that the user of the template chooses.
type Package struct {
	ID                  string `json:"Id"`
	Name                string
	PackageID           *string `json:"PackageId"`
	FeedID              *string `json:"FeedId"`
	AcquisitionLocation string
	Properties          map[string]string
}

// Parameter is what the user of the template is asked for.
type Parameter struct {
	ID              string `json:"Id"`
	Name            string
	Label           string
	HelpText        string // Markdown
	DefaultValue    string
	DisplaySettings map[string]string
}

// Meta says what made the export.
type Meta struct {
	ExportedAt     string
	OctopusVersion string
	Type           string
}

//go:embed body.sh
var bash string

//go:embed body.ps1
var powerShell string

// Templates are both, as they ought to be; Version and ExportedAt are those of the files.
func Templates() []Template {
	return []Template{
		template("Bash", body(bash, "setting %s %s\n")),
		template("PowerShell", body(powerShell, "    Set-Setting '%s' '%s'\n")),
	}
}

func template(syntax, script string) Template {
	name := "Octopus Server - Patch Windows (" + syntax + ")"
	return Template{
		ID: id(name), Name: name, ActionType: "Octopus.Script", StepPackage: "Octopus.Script", Category: "octopus", LastModified: "octopatch",
		Description: "Applies operating-system patches to the Windows machines of *another*, self-hosted Octopus Server with [octopatch](https://github.com/octopatch/octopatch), " +
			"by the [documented procedure](https://octopus.com/docs/administration/managing-infrastructure/applying-operating-system-upgrades): drain or Maintenance Mode, stop, patch, reboot, start, exit.\n\n" +
			"Run it on a worker, never on the server that is patched: octopatch refuses that. Upload `octopatch.<version>.zip` to the built-in feed first. " +
			"A step that is cancelled leaves its journal on the hosts: the same task goes on when it is retried, a later one with *Takeover*.\n\n" +
			"Output variables: `result`, `exit_code`, `run`, `updates_installed`, `downtime_seconds`, `nodes` (JSON), `next`. Artifacts: the report, the plan and the notice.",
		Packages: []Package{{
			ID: id(name, "package"), Name: packageParameter, AcquisitionLocation: "Server",
			Properties: map[string]string{"Extract": "True", "SelectionMode": "deferred", "PackageParameterName": packageParameter, "Purpose": ""},
		}},
		Properties: map[string]string{
			"Octopus.Action.Script.ScriptSource": "Inline", "Octopus.Action.Script.Syntax": syntax, "Octopus.Action.Script.ScriptBody": script,
			"Octopus.Action.RunOnServer": "true", "OctopusUseBundledTooling": "False",
		},
		Parameters: parameters(name),
		Meta:       Meta{OctopusVersion: "2026.1.0", Type: "ActionTemplate"}, // the version whose exports have this shape
	}
}

// body is the script with one line for each setting in place of its mark; format takes variable and parameter.
func body(script, format string) string {
	mark := regexp.MustCompile(`(?m)^ *# <settings>\n`)
	lines := ""
	for _, row := range rows() {
		lines += fmt.Sprintf(format, row.Variable, ParameterName(row.Variable))
	}
	return mark.ReplaceAllLiteralString(strings.ReplaceAll(script, "\r\n", "\n"), lines)
}

// id is the same for the same words, as an id must never change.
func id(words ...string) string {
	return uuid.NewV5(uuid.NamespaceURL, "https://github.com/octopatch/octopatch/steptemplate/"+strings.Join(words, "/")).String()
}

// File is the name of the template's file, as the Octopus Library wants it.
func (t Template) File() string {
	return strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(t.Name), "-"), "-") + ".json"
}

// Script is the body.
func (t Template) Script() string { return t.Properties["Octopus.Action.Script.ScriptBody"] }

// JSON is the content of the file.
func (t Template) JSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(t)
	return b.Bytes(), err
}
