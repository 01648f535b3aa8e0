package settings

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

// Load reads the environment, NAME=value each, and checks all of it. Every fault is a refusal that names its
// variable; all are joined.
func Load(environ []string, need Need) (Settings, error) {
	vars, faults := collect(environ)
	var s Settings
	err := env.ParseWithOptions(&s, env.Options{Environment: vars, FuncMap: map[reflect.Type]env.ParserFunc{
		reflect.TypeFor[clock.Clock]():   func(v string) (any, error) { return clock.Parse(v) },
		reflect.TypeFor[secret.Secret](): func(v string) (any, error) { return secret.New(v), nil },
		reflect.TypeFor[map[string]string](): func(v string) (any, error) {
			return pairs(v)
		},
	}})
	misread := translate(err, vars)
	faults = append(faults, misread...)
	for _, f := range s.check(vars, need) {
		if !slices.ContainsFunc(misread, func(m error) bool { return subject(m) == subject(f) }) {
			faults = append(faults, f) // what could not be read is not judged as well
		}
	}
	return s, errors.Join(faults...)
}

func subject(err error) string {
	var f *procedure.Fault
	if errors.As(err, &f) {
		return f.Subject
	}
	return ""
}

func refuse(name, problem, remedy string) error { return procedure.Refuse(name, problem, remedy) }

// collect takes the variables that are ours, reads those that name a file, and refuses unknown ones. Empty
// means unset.
func collect(environ []string) (map[string]string, []error) {
	rows := Table()
	vars, files := map[string]string{}, map[string]string{}
	var faults []error
	for _, item := range environ {
		name, value, _ := strings.Cut(item, "=")
		value = strings.TrimSpace(value)
		if value == "" {
			continue
		}
		if i := slices.IndexFunc(rows, func(r Row) bool { return r.Variable == name || r.Secret && r.Variable+"_FILE" == name }); i < 0 {
			if strings.HasPrefix(name, "OCTOPATCH_") {
				faults = append(faults, refuse(name, "is not a setting of octopatch", "did you mean "+nearest(name, rows)+"? octopatch settings lists them all"))
			}
			continue
		} else if rows[i].Variable != name {
			files[rows[i].Variable] = value
			continue
		}
		vars[name] = value
	}
	for name, file := range files {
		if vars[name] != "" {
			faults = append(faults, refuse(name, "is set, and so is "+name+"_FILE", "keep one of them"))
			continue
		}
		text, err := os.ReadFile(file)
		value := strings.TrimRight(string(text), "\r\n")
		switch {
		case err != nil:
			faults = append(faults, refuse(name+"_FILE", "cannot be read: "+err.Error(), "name a file that this user may read"))
		case value == "":
			faults = append(faults, refuse(name+"_FILE", "names the empty file "+file, "write the value into it"))
		default:
			vars[name] = value
		}
	}
	return vars, faults
}

// translate turns the library's parse errors into faults that name the variable.
func translate(err error, vars map[string]string) []error {
	if err == nil {
		return nil
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		return []error{refuse("environment", err.Error(), "octopatch settings lists every variable")}
	}
	var faults []error
	for _, e := range all.Errors {
		var parse env.ParseError
		if !errors.As(e, &parse) {
			faults = append(faults, refuse("environment", e.Error(), "octopatch settings lists every variable"))
			continue
		}
		field, _ := reflect.TypeFor[Settings]().FieldByName(parse.Name)
		name := field.Tag.Get("env")
		faults = append(faults, refuse(name, "cannot be understood: "+reason(field, vars[name], parse.Err), field.Tag.Get("help")))
	}
	return faults
}

// reason says what was expected, where the library only says what failed.
func reason(field reflect.StructField, value string, err error) string {
	switch field.Type {
	case reflect.TypeFor[secret.Secret]():
		return "the value"
	case reflect.TypeFor[Nodes](), reflect.TypeFor[Window](), reflect.TypeFor[clock.Clock](), reflect.TypeFor[map[string]string]():
		return err.Error()
	}
	expected := map[string]string{"Duration": "a duration such as 90m", "bool": "true or false", "int": "a whole number", "float64": "a number"}[field.Type.Name()]
	return fmt.Sprintf("%q is not %s", value, expected)
}

// check is everything that a type cannot say.
func (s *Settings) check(vars map[string]string, need Need) []error {
	faults := s.checkTags(vars)
	add := func(name, problem, remedy string) { faults = append(faults, refuse(name, problem, remedy)) }
	for name, value := range map[string]string{"OCTOPUS_URL": s.URL, "OCTOPATCH_STEP_SERVER_URL": s.StepServerURL} {
		if value != "" {
			if err := checkURL(value); err != nil {
				add(name, err.Error(), "write it like https://octopus.example.com")
			}
		}
	}
	for node, address := range s.NodeURLs {
		if err := checkURL(address); err != nil {
			add("OCTOPATCH_NODE_URLS", "the address of node "+node+" "+err.Error(), "write it like "+node+"=https://node.example.com")
		}
	}
	s.checkUpdates(add)
	s.checkWinRM(add, need)
	if !s.Key.IsZero() && !s.Token.IsZero() {
		add("OCTOPUS_API_KEY", "is set, and so is OCTOPUS_ACCESS_TOKEN", "keep one of them")
	}
	if need >= Octopus {
		if s.URL == "" {
			add("OCTOPUS_URL", "is not set", "set it to the address of your Octopus Server, such as https://octopus.example.com")
		}
		if s.Key.IsZero() && s.Token.IsZero() {
			add("OCTOPUS_API_KEY", "is not set, and neither is OCTOPUS_ACCESS_TOKEN", "set one of them, or OCTOPUS_API_KEY_FILE")
		}
	}
	if need >= Hosts && vars["OCTOPATCH_NODES"] == "" {
		add("OCTOPATCH_NODES", "is not set, and unset never means all", "list the nodes in patch order, NAME=host,…, or set it to all")
	}
	if need >= Change && s.Precaution == "" {
		add("OCTOPATCH_PRECAUTION", "is not set, and a precaution must be chosen", "set it to none if your own backup is the precaution")
	}
	if s.RehearsalClock != (clock.Clock{}) && vars["OCTOPATCH_REHEARSAL_CLOCK"] != "" {
		if far := s.notLoopback(); far != "" {
			add("OCTOPATCH_REHEARSAL_CLOCK", "is set, and "+far+" is not a loopback address", "leave it out: it is for rehearsals only")
		}
	}
	return faults
}

// checkTags enforces oneof, min and max.
func (s *Settings) checkTags(vars map[string]string) []error {
	var faults []error
	for field := range reflect.TypeFor[Settings]().Fields() {
		name := field.Tag.Get("env")
		value := reflect.ValueOf(*s).FieldByIndex(field.Index)
		if valid := field.Tag.Get("oneof"); valid != "" && vars[name] != "" && !slices.Contains(strings.Fields(valid), value.String()) {
			faults = append(faults, refuse(name, fmt.Sprintf("%q is not one of %s", value.String(), strings.ReplaceAll(valid, " ", ", ")), field.Tag.Get("help")))
		}
		if low := field.Tag.Get("min"); low != "" && vars[name] != "" {
			n, a, b := number(value), parse(low), parse(field.Tag.Get("max"))
			if !(n >= a && n <= b) {
				faults = append(faults, refuse(name, fmt.Sprintf("%s is not between %s and %s", vars[name], low, field.Tag.Get("max")), field.Tag.Get("help")))
			}
		}
		if field.Type.Name() == "Duration" && vars[name] != "" && value.Int() <= 0 && name != "OCTOPATCH_SOAK" {
			faults = append(faults, refuse(name, vars[name]+" is not above 0", field.Tag.Get("help")))
		}
	}
	return faults
}

func number(v reflect.Value) float64 {
	if v.CanInt() {
		return float64(v.Int())
	}
	return v.Float()
}

func parse(text string) float64 {
	f, _ := strconv.ParseFloat(text, 64) //nolint:errcheck // a tag of ours
	return f
}
