package settings

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"text/tabwriter"

	"github.com/octopatch/octopatch/internal/secret"
)

// Row is one setting in the table that `octopatch settings` prints.
type Row struct {
	Group    string `json:"group"`
	Variable string `json:"variable"`
	Default  string `json:"default"`
	Valid    string `json:"valid,omitempty"`
	Secret   bool   `json:"secret"` // also readable from the file that VARIABLE_FILE names
	Meaning  string `json:"meaning"`
}

// Table lists every setting, in the order of the struct.
func Table() []Row {
	var rows []Row
	for field := range reflect.TypeFor[Settings]().Fields() {
		if field.Tag.Get("help") == "" {
			continue
		}
		rows = append(rows, Row{
			Group: field.Tag.Get("group"), Variable: field.Tag.Get("env"), Default: field.Tag.Get("envDefault"), Valid: field.Tag.Get("oneof"),
			Secret: field.Type == reflect.TypeFor[secret.Secret](), Meaning: field.Tag.Get("help"),
		})
	}
	return rows
}

// WriteTable prints the table for people.
func WriteTable(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	group := ""
	for _, r := range Table() {
		if r.Group != group {
			group = r.Group
			fmt.Fprintf(tab, "\n%s\n", group)
		}
		name := r.Variable
		if r.Secret {
			name += "[_FILE]"
		}
		if r.Default != "" {
			name += "=" + r.Default
		}
		fmt.Fprintf(tab, "  %s\t%s\n", name, r.Meaning)
	}
	return tab.Flush()
}

// WriteJSON prints the table for programs.
func WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(Table())
}

// Effective is what is in force, by variable, without the secrets' values.
func (s Settings) Effective() map[string]string {
	m := map[string]string{}
	for field := range reflect.TypeFor[Settings]().Fields() {
		name := field.Tag.Get("env")
		value := reflect.ValueOf(s).FieldByIndex(field.Index)
		if field.Tag.Get("help") == "" || value.IsZero() {
			continue
		}
		m[name] = fmt.Sprint(value.Interface())
	}
	return m
}

// String writes the list as it was read.
func (n Nodes) String() string {
	if n.All {
		return "all"
	}
	text := ""
	for i, node := range n.List {
		if i > 0 {
			text += ","
		}
		text += node.Name + "=" + node.Host
		if node.Port != 0 {
			text += fmt.Sprintf(":%d", node.Port)
		}
	}
	return text
}

// String writes the window as it was read.
func (w Window) String() string {
	if w.Start.IsZero() {
		return w.Length.String()
	}
	return w.Start.Format("2006-01-02T15:04Z07:00") + "/" + w.Length.String()
}

// Secrets lists every secret value in force, for the writer that keeps them out of all output.
func (s Settings) Secrets() []string {
	list := []string{s.Key.Reveal(), s.Token.Reveal(), s.Password.Reveal()}
	for _, c := range s.Credentials {
		list = append(list, c.Password.Reveal())
	}
	return list
}
