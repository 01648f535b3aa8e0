package main

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"golang.org/x/sys/windows/registry"
)

// machineID is this machine's own MachineGuid, hashed as the probe of a host hashes it; "" where it cannot be read.
func machineID() string {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Cryptography`, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return ""
	}
	defer key.Close() //nolint:errcheck // it was only read
	guid, _, err := key.GetStringValue("MachineGuid")
	if err != nil || strings.TrimSpace(guid) == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.ToLower(strings.TrimSpace(guid))))
	return hex.EncodeToString(sum[:])
}
