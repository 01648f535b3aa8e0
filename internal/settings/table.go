package settings

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

// Row is one setting in the table that `octopatch settings` prints.
type Row struct {
	Group    string `json:"group"`
	Variable string `json:"variable"`
	Default  string `json:"default"`
	Valid    string `json:"valid,omitempty"` // every valid word, or the least and the greatest value
	Secret   bool   `json:"secret"`          // also readable from the file that VARIABLE_FILE names
	Meaning  string `json:"meaning"`
	// Names lists the variables where one row stands for a family of them, one for each phase.
	Names []string `json:"names,omitempty"`
}

// anyPhase stands for a phase's name in the variable of a family's row.
const anyPhase = "PHASE"

// Variables lists the variables of a row.
func (r Row) Variables() []string {
	if len(r.Names) > 0 {
		return r.Names
	}
	return []string{r.Variable}
}

// Table lists every setting, in the order of the struct.
func Table() []Row {
	var rows []Row
	for field := range reflect.TypeFor[Settings]().Fields() {
		if field.Tag.Get("help") == "" {
			continue
		}
		valid := strings.ReplaceAll(field.Tag.Get("oneof"), " ", "|")
		if low := field.Tag.Get("min"); low != "" {
			valid = low + " to " + field.Tag.Get("max")
		}
		name := field.Tag.Get("env")
		var names []string
		if field.Tag.Get("family") != "" {
			for _, p := range append(procedure.Phases(), procedure.Recovery()) {
				names = append(names, name+strings.ToUpper(p.Name))
			}
			name += anyPhase
		}
		rows = append(rows, Row{
			Group: field.Tag.Get("group"), Variable: name, Names: names, Default: field.Tag.Get("envDefault"), Valid: valid,
			Secret: field.Type == reflect.TypeFor[secret.Secret](), Meaning: field.Tag.Get("help"),
		})
	}
	return rows
}

// width is where the meanings are wrapped, so that the table reads well on a narrow terminal and in a log.
const width = 100

// WriteTable prints the table for people.
func WriteTable(w io.Writer) error {
	var b strings.Builder
	b.WriteString("Every setting is an environment variable. Empty means unset. A variable marked [_FILE] is also read\nfrom the file that the same name with _FILE added names.\n")
	group := ""
	for _, r := range Table() {
		if r.Group != group {
			group = r.Group
			fmt.Fprintf(&b, "\n%s\n", group)
		}
		b.WriteString("  " + r.Variable)
		if r.Secret {
			b.WriteString("[_FILE]")
		}
		if r.Default != "" {
			b.WriteString("=" + r.Default)
		}
		if r.Valid != "" {
			fmt.Fprintf(&b, "  (%s)", r.Valid)
		}
		b.WriteString("\n" + wrap(r.Meaning, "      "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wrap breaks text at blanks, each line indented.
func wrap(text, indent string) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+len(word) > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String() + "\n"
}

// WriteJSON prints the table for programs.
func WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(Table())
}

// Effective is what is in force, by variable, without the secrets' values. What is neither set nor has a
// default is left out.
func (s Settings) Effective() map[string]string {
	m := map[string]string{}
	for field := range reflect.TypeFor[Settings]().Fields() {
		_, fallback := field.Tag.Lookup("envDefault")
		value := reflect.ValueOf(s).FieldByIndex(field.Index)
		if family, ok := value.Interface().(map[string]string); ok && field.Tag.Get("family") != "" {
			for phase, line := range family {
				m[field.Tag.Get("env")+strings.ToUpper(phase)] = line
			}
			continue
		}
		if field.Tag.Get("help") != "" && (fallback || !value.IsZero()) {
			m[field.Tag.Get("env")] = written(value.Interface())
		}
	}
	return m
}

// written is a value as it would be set.
func written(value any) string {
	switch v := value.(type) {
	case []string:
		return strings.Join(v, ",")
	case map[string]string:
		var items []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			items = append(items, name+"="+v[name])
		}
		return strings.Join(items, ",")
	case time.Duration:
		return short(v)
	}
	return fmt.Sprint(value)
}

// short drops the zeros that Go writes after the hours and minutes.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
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
		text += node.Name + "=" + bracketed(node.Host)
		if node.Port != 0 {
			text += fmt.Sprintf(":%d", node.Port)
		}
	}
	return text
}

// bracketed keeps the colons of IPv6 apart from that of a port.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// String writes the window as it was read.
func (w Window) String() string {
	if w.Start.IsZero() {
		return short(w.Length)
	}
	return w.Start.Format("2006-01-02T15:04Z07:00") + "/" + short(w.Length)
}

// Secrets lists every secret value in force, for the writer that keeps them out of all output.
func (s Settings) Secrets() []string {
	list := []string{s.Key.Reveal(), s.Token.Reveal(), s.Password.Reveal(), s.VSpherePassword.Reveal(), s.HyperVPassword.Reveal(), s.Notify.Reveal()}
	for _, c := range s.Credentials {
		list = append(list, c.Password.Reveal())
	}
	return list
}
