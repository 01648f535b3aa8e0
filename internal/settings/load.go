package settings

import (
	"errors"
	"fmt"
	"reflect"
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
		reflect.TypeFor[clock.Clock]():       func(v string) (any, error) { return clock.Parse(v) },
		reflect.TypeFor[secret.Secret]():     func(v string) (any, error) { return secret.New(v), nil },
		reflect.TypeFor[map[string]string](): func(v string) (any, error) { return pairs(v) },
		reflect.TypeFor[[]string]():          func(v string) (any, error) { return list(v) },
	}})
	s.HookBefore, s.HookAfter = family(vars, "OCTOPATCH_HOOK_BEFORE_"), family(vars, "OCTOPATCH_HOOK_AFTER_")
	misread := translate(err, vars)
	faults = append(faults, misread...)
	told := map[string]bool{}
	for _, f := range faults {
		told[subject(f)] = true
	}
	for _, f := range s.check(vars, need) {
		if name := subject(f); !told[name] && !told[name+fileSuffix] {
			faults = append(faults, f) // what could not be read is not judged as well
		}
	}
	return s, errors.Join(inOrder(faults)...)
}

// family collects the variables whose names begin alike, by what they end with.
func family(vars map[string]string, prefix string) map[string]string {
	var found map[string]string
	for name, value := range vars {
		phase, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		if found == nil {
			found = map[string]string{}
		}
		found[strings.ToLower(phase)] = value
	}
	return found
}

func subject(err error) string {
	var f *procedure.Fault
	if errors.As(err, &f) {
		return f.Subject
	}
	return ""
}

func refuse(name, problem, remedy string) error { return procedure.Refuse(name, problem, remedy) }

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
	case reflect.TypeFor[Nodes](), reflect.TypeFor[Places](), reflect.TypeFor[Window](), reflect.TypeFor[clock.Clock](), reflect.TypeFor[map[string]string](), reflect.TypeFor[[]string]():
		return err.Error()
	}
	expected := map[string]string{"Duration": "a duration such as 90m", "bool": "true or false", "int": "a whole number", "float64": "a number"}[field.Type.Name()]
	return fmt.Sprintf("%q is not %s", value, expected)
}
