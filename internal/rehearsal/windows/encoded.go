package windows

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// encodedText is what follows -EncodedCommand: base64 of UTF-16. Other clients than octopatch write their
// commands so, Ansible all of them.
func encodedText(arguments string) (string, bool) {
	at := strings.Index(strings.ToLower(arguments), "-encodedcommand ")
	if at < 0 {
		return "", false
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(arguments[at+len("-encodedcommand "):]))
	if err != nil || len(raw)%2 != 0 {
		return "", false
	}
	var units []uint16
	for ; len(raw) > 0; raw = raw[2:] {
		units = append(units, binary.LittleEndian.Uint16(raw))
	}
	return strings.TrimSpace(string(utf16.Decode(units))), true
}

// isProgram: the whole text of a PowerShell command is the name of a program that this machine has without
// PowerShell.
func isProgram(text string) bool {
	return strings.EqualFold(text, "hostname") || strings.EqualFold(text, "hostname.exe")
}
