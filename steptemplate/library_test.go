package steptemplate

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLibraryRules holds the files against the rules of the Octopus Library (its specs, its contributor's guide
// and its review list), so that they can be handed in as they are.
func TestLibraryRules(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) != len(Templates()) {
		t.Fatalf("the templates are %v (%v)", files, err)
	}
	seen := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		template, ok := read(t, file)
		if !ok {
			continue
		}
		for _, broken := range append(rules(template, file), bytesRules(text)...) {
			t.Errorf("%s: %s", file, broken)
		}
		ids := []string{template.ID, template.Name, template.Packages[0].ID}
		for _, p := range template.Parameters {
			ids = append(ids, p.ID)
		}
		for _, id := range ids {
			if other := seen[id]; other != "" {
				t.Errorf("%s and %s both have %s", file, other, id)
			}
			seen[id] = file
		}
	}
}

var (
	guid       = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	nounVerb   = regexp.MustCompile(`^[A-Z][\w ]+ - [A-Z][\w ]+( \([\w ]+\))?$`)
	controls   = []string{"SingleLineText", "MultiLineText", "Select", "Checkbox", "Sensitive", "Package"}
	kebab      = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*\.json$`)
	exportForm = regexp.MustCompile(`^20\d\d\.\d+\.\d+$`)
)

// rules returns each rule that the template breaks.
func rules(t Template, file string) []string {
	_, exported := time.Parse(time.RFC3339, t.Meta.ExportedAt)
	body := t.Script()
	broken := failing(map[string]bool{
		"LastModifiedBy is a GitHub user":                   regexp.MustCompile(`^[a-zA-Z0-9-]+$`).MatchString(t.LastModified),
		"$Meta.ExportedAt is a time":                        exported == nil,
		"$Meta.OctopusVersion is a version":                 exportForm.MatchString(t.Meta.OctopusVersion),
		"$Meta.Type is ActionTemplate":                      t.Meta.Type == "ActionTemplate",
		"Name is said, in at most 200 characters":           t.Name != "" && len(t.Name) <= 200,
		"Name is Noun - Verb":                               nounVerb.MatchString(t.Name),
		"the file is named after the template":              kebab.MatchString(file) && file == t.File(),
		"Id is a GUID of its own":                           guid.MatchString(t.ID) && !strings.HasPrefix(t.ID, "00000000-") && !strings.HasPrefix(t.ID, "abcdef00-"),
		"Version begins with 1":                             t.Version >= 1,
		"CommunityActionTemplateId is null":                 t.Community == nil,
		"Description is there":                              len(t.Description) > 40,
		"the category has a logo in the Library":            t.Category == "octopus",
		"ActionType runs a script":                          t.ActionType == "Octopus.Script" && t.StepPackage == "Octopus.Script",
		"the script is inline":                              t.Properties["Octopus.Action.Script.ScriptSource"] == "Inline",
		"the script is in a known language":                 slices.Contains([]string{"Bash", "PowerShell"}, t.Properties["Octopus.Action.Script.Syntax"]),
		"the body is there":                                 len(body) > 500,
		"no feed is named, which other servers do not have": t.Packages[0].FeedID == nil || strings.HasPrefix(*t.Packages[0].FeedID, "#"),
		"no package is named":                               t.Packages[0].PackageID == nil,
		"the package is chosen by its parameter":            t.Packages[0].Properties["SelectionMode"] == "deferred" && t.Packages[0].Properties["PackageParameterName"] == t.Packages[0].Name,
		// #{X} in the body would be replaced by X's value in clear, in a file on the worker, with no regard to quotes.
		"the body has no #{}":                      !strings.Contains(body, "#{"),
		"the body is ASCII with plain line breaks": !strings.ContainsFunc(body, func(r rune) bool { return r > 126 || r < 32 && r != '\n' }),
	})
	for _, p := range t.Parameters {
		for _, b := range parameterRules(p) {
			broken = append(broken, p.Name+": "+b)
		}
	}
	return broken
}

func parameterRules(p Parameter) []string {
	control := p.DisplaySettings["Octopus.ControlType"]
	options := strings.Split(p.DisplaySettings["Octopus.SelectOptions"], "\n")
	return failing(map[string]bool{
		"Id is a GUID":                           guid.MatchString(p.ID),
		"the name has the prefix":                regexp.MustCompile(`^OctoPatch\.[A-Z][A-Za-z0-9]+$`).MatchString(p.Name),
		"the label is there":                     p.Label != "",
		"the help text is there, and no #{}":     len(p.HelpText) > 20 && !strings.Contains(p.HelpText, "#{"),
		"the control is known":                   slices.Contains(controls, control),
		"a sensitive parameter has no default":   control != "Sensitive" || p.DefaultValue == "",
		"a checkbox is True or False":            control != "Checkbox" || p.DefaultValue == "True" || p.DefaultValue == "False",
		"options are value|label":                control != "Select" || !slices.ContainsFunc(options, func(o string) bool { return !regexp.MustCompile(`^[^|]+\|[^|]+$`).MatchString(o) }),
		"the default is one of the options":      control != "Select" || p.DefaultValue == "" || slices.Contains(options, p.DefaultValue+"|"+p.DefaultValue),
		"the default is no example":              !strings.Contains(p.DefaultValue, "example"),
		"only a list has options to choose from": control == "Select" || p.DisplaySettings["Octopus.SelectOptions"] == "",
	})
}

func bytesRules(text []byte) []string {
	return failing(map[string]bool{"there is no byte order mark": !bytes.HasPrefix(text, []byte("\ufeff"))})
}

// failing are the rules that do not hold, sorted.
func failing(holds map[string]bool) []string {
	var broken []string
	for rule, ok := range holds {
		if !ok {
			broken = append(broken, rule)
		}
	}
	slices.Sort(broken)
	return broken
}

// TestRulesCanFail: each rule is broken by something.
func TestRulesCanFail(t *testing.T) {
	t.Parallel()
	feed, community := "Feeds-1", "x"
	bad := Template{
		Name: "x", ID: "abcdef00-0000-0000-0000-000000000000", Community: &community, Packages: []Package{{FeedID: &feed, PackageID: &feed}},
		Properties: map[string]string{"Octopus.Action.Script.ScriptBody": "#{Secret}\r"},
		Parameters: []Parameter{
			{Name: "$x", DefaultValue: "example", DisplaySettings: map[string]string{"Octopus.ControlType": "Sensitive", "Octopus.SelectOptions": "a"}},
			{DisplaySettings: map[string]string{"Octopus.ControlType": "Checkbox"}}, {DisplaySettings: map[string]string{"Octopus.ControlType": "Select"}},
			{DefaultValue: "b", DisplaySettings: map[string]string{"Octopus.ControlType": "Select", "Octopus.SelectOptions": "a|a"}}, {},
		},
	}
	found := map[string]bool{}
	for _, b := range append(rules(bad, "X.json"), bytesRules([]byte("\ufeff{}"))...) {
		found[b[strings.LastIndex(b, ": ")+1:]] = true
	}
	if len(found) < 32 {
		t.Errorf("only %d rules fail: %v", len(found), found)
	}
}
