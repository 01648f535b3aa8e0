package windows

import "time"

func (t *twin) text(name string) string { return textOf(t.request, name) }

func (t *twin) flag(name string) bool { return flagOf(t.request, name) }

func (t *twin) number(name string) int { return int(numberOf(t.request, name)) }

func (t *twin) seconds(name string) time.Duration {
	return time.Duration(numberOf(t.request, name) * float64(time.Second))
}

func (t *twin) list(name string) []string { return texts(t.request[name]) }

func (t *twin) change() object { return objectOf(t.request, "change") }

func textOf(o object, name string) string {
	s, _ := o[name].(string)
	return s
}

func flagOf(o object, name string) bool {
	b, _ := o[name].(bool)
	return b
}

func numberOf(o object, name string) float64 {
	n, _ := o[name].(float64)
	return n
}

func objectOf(o object, name string) object {
	inner, _ := o[name].(object)
	return inner
}

func texts(v any) []string {
	list := []string{}
	switch v := v.(type) {
	case []string:
		return v
	case []any:
		for _, item := range v {
			if s, ok := item.(string); ok {
				list = append(list, s)
			}
		}
	case string:
		list = append(list, v)
	}
	return list
}

func objects(v any) []object {
	var list []object
	switch v := v.(type) {
	case []object:
		return v
	case []any:
		for _, item := range v {
			if o, ok := item.(object); ok {
				list = append(list, o)
			}
		}
	}
	return list
}
