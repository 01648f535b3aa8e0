package steptemplate

import (
	"slices"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/settings"
)

const (
	packageParameter = Prefix + "Package"
	command          = "OCTOPATCH_PHASE"
)

// rows are the settings that a step may set, one for each variable. The rehearsal is not for steps, and how the log
// is written is known; ID tokens of GitHub are for GitHub's jobs.
func rows() []settings.Row {
	var list []settings.Row
	for _, row := range settings.Table() {
		if row.Group == "Rehearsal" || slices.Contains([]string{"OCTOPATCH_LOG", "OCTOPATCH_SERVICE_ACCOUNT_ID"}, row.Variable) {
			continue
		}
		if len(row.Names) == 0 {
			list = append(list, row)
		}
		for _, name := range row.Names { // a family: one for each phase
			row.Variable = name
			list = append(list, row)
		}
	}
	return list
}

// Commands are the commands that a step may run: those that change nothing first.
func Commands() []string {
	list := []string{"plan", "preflight", "status", "stage", "run"}
	for _, p := range procedure.Phases() {
		list = append(list, p.Name)
	}
	return append(list, procedure.Recover)
}

// ParameterName is the name of the parameter for a setting: OctoPatch.WinrmUsername for OCTOPATCH_WINRM_USERNAME.
func ParameterName(variable string) string {
	if variable == command {
		return Prefix + "Command"
	}
	name := ""
	for _, word := range words(variable) {
		name += word[:1] + strings.ToLower(word[1:])
	}
	return Prefix + name
}

func words(variable string) []string {
	return strings.Split(strings.TrimPrefix(variable, "OCTOPATCH_"), "_")
}

// parameters are the package, the command, and every setting in the table's order. Settings are left empty, which
// means octopatch's own default: it is that of the octopatch in the package, and what nobody chose is not set.
func parameters(template string) []Parameter {
	list := []Parameter{{
		ID: id(template, packageParameter), Name: packageParameter, Label: "Package",
		HelpText: "octopatch for every system, `octopatch.<version>.zip`, from the release, in a feed of this Octopus Server.", DisplaySettings: control("Package"),
	}}
	all := rows()
	slices.SortStableFunc(all, func(a, b settings.Row) int { return first(a) - first(b) })
	for _, row := range all {
		name := ParameterName(row.Variable)
		p := Parameter{
			ID: id(template, name), Name: name, Label: label(row.Variable), DisplaySettings: display(row),
			HelpText: row.Meaning + "\n\nSets `" + row.Variable + "`." + standard(row.Default),
		}
		if row.Variable == command {
			p.Label, p.DefaultValue = "Command", "plan"
			p.HelpText = "What to do. `plan`, `preflight` and `status` change nothing, `stage` only downloads; `run` is the full procedure, the others are its phases.\n\nSets `" + command + "`."
		}
		list = append(list, p)
	}
	return list
}

// standard says what empty means.
func standard(value string) string {
	if value == "" {
		return ""
	}
	return " Empty: `" + value + "`."
}

// first sorts the command before everything else.
func first(r settings.Row) int {
	if r.Variable == command {
		return 0
	}
	return 1
}

// display is the control that suits the setting.
func display(row settings.Row) map[string]string {
	switch {
	case row.Variable == command:
		return choice(Commands())
	case row.Secret:
		return control("Sensitive")
	case row.Default == "true" || row.Default == "false":
		return choice([]string{"true", "false"}) // a check box cannot say that nothing was chosen
	case row.Valid != "" && !strings.Contains(row.Valid, " to "):
		return choice(strings.Split(row.Valid, "|"))
	}
	return control("SingleLineText")
}

func control(kind string) map[string]string {
	return map[string]string{"Octopus.ControlType": kind}
}

// choice is a list from which one is chosen: a line for each, value and label.
func choice(values []string) map[string]string {
	var lines []string
	for _, v := range values {
		lines = append(lines, v+"|"+v)
	}
	m := control("Select")
	m["Octopus.SelectOptions"] = strings.Join(lines, "\n")
	return m
}

// label is the variable's name as a person writes it.
func label(variable string) string {
	spelling := map[string]string{
		"WINRM": "WinRM", "OCTOPUS": "Octopus", "URL": "URL", "URLS": "URLs", "API": "API", "CA": "CA", "TLS": "TLS", "KBS": "KBs", "ID": "ID", "KRB5": "Kerberos",
		"VSPHERE": "vSphere", "HYPERV": "Hyper-V", "VM": "VM", "VMS": "VMs",
	}
	var list []string
	for i, word := range words(variable) {
		switch spelled, known := spelling[word]; {
		case known:
			word = spelled
		case i == 0:
			word = word[:1] + strings.ToLower(word[1:])
		default:
			word = strings.ToLower(word)
		}
		list = append(list, word)
	}
	return strings.Join(list, " ")
}
