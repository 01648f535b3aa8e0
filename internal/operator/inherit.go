package operator

import (
	"regexp"
	"strings"
)

// Inherit is what commands get of our environment: all but the variables of withhold, which hold our own
// secrets. The operator's own ones, such as a cloud's keys, are what his commands need.
func Inherit(environ []string, withhold func(name string) bool) []string {
	var list []string
	for _, item := range environ {
		name, _, _ := strings.Cut(item, "=")
		if !withhold(name) {
			list = append(list, item)
		}
	}
	return list
}

var (
	secretive = regexp.MustCompile(`(?i)(PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|(API|ACCESS|PRIVATE|ACCOUNT|SAS|SSH)_?KEY)`)
	names     = regexp.MustCompile(`(?i)(_FILE|_PATH|_DIR|_ID|_NAME|_URL|_URI)$`)
)

// Secrets lists the values of variables that sound like secrets: a command may well print its own, and nobody
// has told us what they are. Short values are left alone, because they would spoil ordinary words.
func Secrets(environ []string) []string {
	const shortest = 8
	var values []string
	for _, item := range environ {
		name, value, _ := strings.Cut(item, "=")
		if len(value) >= shortest && secretive.MatchString(name) && !names.MatchString(name) {
			values = append(values, value)
		}
	}
	return values
}
