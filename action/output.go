package action

import (
	"strings"
	"unicode"
)

// Output is one output of the step.
type Output struct{ Name, Meaning string }

// Outputs lists what a step hands to later ones.
func Outputs() []Output {
	return []Output{
		{"result", "done, failed, partly_failed, refused, stopped, unknown or interrupted."},
		{"exit_code", "The exit code that the result stands for."},
		{"run", "The run id."},
		{"report", "Directory with report.json, report.html and summary.md of run, or plan.json and plan.md of plan; empty where neither was written."},
		{"downtime_seconds", "For how long OCTOPUS_URL did not answer during run; empty where that was not measured."},
		{"updates_installed", "How many updates were installed, on all nodes together."},
		{"updates_planned", "How many updates plan would install, on all nodes together; empty for other phases."},
		{"nodes", "JSON list of the nodes in patch order: node, result, reason, windows, installed, failed, reboots."},
		{"next", "The one command to run next; empty where there is none."},
	}
}

// Set hands values to later steps. Names that are no output of Outputs are left out.
func (s *Step) Set(values map[string]string) error {
	if s.getenv("GITHUB_OUTPUT") == "" {
		return nil
	}
	return written(func() {
		for _, o := range Outputs() {
			if value, ok := values[o.Name]; ok {
				s.action.SetOutput(o.Name, oneLine(value))
			}
		}
	})
}

// delimiter is what the library ends a value with, always the same: a value that held it could go on with outputs
// of its own.
const delimiter = "_GitHubActionsFileCommandDelimeter_"

// oneLine is a value without what could end it.
func oneLine(value string) string {
	for strings.Contains(value, delimiter) {
		value = strings.ReplaceAll(value, delimiter, "")
	}
	return printable(value)
}

// printable is text in one line, without characters that command a terminal.
func printable(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			return -1
		}
		return r
	}, text))
}
