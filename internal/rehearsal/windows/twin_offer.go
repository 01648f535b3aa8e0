package windows

import (
	"regexp"
	"slices"
	"strings"
)

// offer is an update that the worker judges.
type offer struct {
	updateView
	facts object
}

var (
	titleKB        = regexp.MustCompile(`(?i)\bKB(\d{6,})`)
	serverProduct  = regexp.MustCompile(`(?i)\b(SQL Server|Exchange Server)\b`)
	featureUpgrade = "3689bdc8-b205-4af4-8d4a-a63924c5e9d5"
)

func (o *offer) kbs() []string {
	if len(o.KBs) > 0 {
		return o.KBs
	}
	if found := titleKB.FindStringSubmatch(o.Title); found != nil {
		return []string{found[1]}
	}
	return []string{}
}

// kb is the first of its numbers, or empty.
func (o *offer) kb() string {
	if kbs := o.kbs(); len(kbs) > 0 {
		return kbs[0]
	}
	return ""
}

func (o *offer) describe() object {
	return object{
		"id": o.ID, "title": o.Title, "kbs": o.kbs(), "bytes": o.Bytes, "classification": o.Class,
		"definition": o.Class == classDefinition, "downloaded": o.Downloaded, "skip": "",
	}
}

// skip is the reason why an update is not taken.
func (w *workRun) skip(o *offer) string {
	if o.Waits {
		return "installed, and waits for a reboot"
	}
	has := func(list, kb string) bool { return slices.Contains(texts(w.filter[list]), kb) }
	for _, kb := range o.kbs() {
		if has("exclude", kb) {
			return "excluded: KB" + kb
		}
	}
	if o.UserInput {
		return "may ask somebody at the screen"
	}
	if slices.ContainsFunc(o.kbs(), func(kb string) bool { return has("include", kb) }) {
		return ""
	}
	product := serverProduct.FindString(o.Product)
	if product == "" {
		product = serverProduct.FindString(o.Title)
	}
	switch {
	case o.Type == typeDriver:
		return "driver"
	case o.Class == featureUpgrade:
		return "feature upgrade"
	case o.Hidden:
		return "hidden on this host"
	case o.Optional:
		return "optional"
	case product != "":
		return "product: " + product
	case o.Class == "":
		return "no classification"
	case !slices.ContainsFunc(texts(w.filter["classifications"]), func(c string) bool { return strings.EqualFold(c, o.Class) }):
		return "classification not chosen: " + o.Class
	}
	return ""
}
