package winrm

import (
	"html"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
)

// DecodeCLIXML replaces PowerShell's serialised streams in a text by the words of their errors and warnings;
// progress and the rest are dropped. What is not CLIXML stays as it is. Streams may follow each other, and one
// may be cut off at either end: what is there of it is decoded.
func DecodeCLIXML(text string) string {
	if !strings.Contains(text, "Objs>") && !strings.Contains(text, "<Objs") {
		return text
	}
	var b strings.Builder
	for text != "" {
		before, rest, found := cutObjs(text)
		b.WriteString(marker.ReplaceAllString(before, ""))
		if !found {
			break
		}
		part, after, _ := strings.Cut(rest, "</Objs>")
		b.WriteString(words(part))
		text = after
	}
	return b.String()
}

// marker comes before each stream.
var marker = regexp.MustCompile(`#< CLIXML\r?\n?`)

// cutObjs finds where serialised objects begin: at their first tag, or at the start when only their last tag
// is there.
func cutObjs(text string) (before, objs string, found bool) {
	first, last := strings.Index(text, "<Objs"), strings.Index(text, "</Objs>")
	switch {
	case last >= 0 && (first < 0 || last < first):
		return "", text, true
	case first < 0:
		return text, "", false
	}
	return text[:first], text[first:], true
}

// line is one piece of an error or a warning. A regular expression reads it, for a stream that is cut off is
// no XML.
var line = regexp.MustCompile(`(?s)<S S="(?i:error|warning)">([^<]*)`)

// words are the errors and warnings of a stream.
func words(objs string) string {
	var b strings.Builder
	for _, found := range line.FindAllStringSubmatch(objs, -1) {
		b.WriteString(unescape(html.UnescapeString(found[1])))
	}
	return b.String()
}

var escaped = regexp.MustCompile(`(?:_x[0-9A-Fa-f]{4}_)+`)

// unescape turns _xHHHH_ into the UTF-16 unit that it stands for; a character outside the basic plane is two.
func unescape(text string) string {
	return escaped.ReplaceAllStringFunc(text, func(run string) string {
		var units []uint16
		for ; run != ""; run = run[len("_xHHHH_"):] {
			unit, err := strconv.ParseUint(run[2:6], 16, 16)
			if err != nil {
				return run // the expression above lets none pass
			}
			units = append(units, uint16(unit))
		}
		return string(utf16.Decode(units))
	})
}
