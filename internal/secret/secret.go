// Package secret holds values that must never be printed: whatever formats, logs or encodes a Secret
// gets "[redacted]". Everything may import it; it imports the standard library only.
package secret

import (
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a password, key or token. The zero value is "not set".
type Secret struct{ value string }

// New wraps value.
func New(value string) Secret { return Secret{value} }

// Reveal returns the value itself: call it only where it goes on the wire.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether nothing is set.
func (s Secret) IsZero() bool { return s.value == "" }

// String is "[redacted]", or nothing when nothing is set.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return redacted
}

// Format keeps every verb from showing the value, also those that look into structs.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue keeps structured logs from showing the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps encoders from showing the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the value as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	s.value = string(text)
	return nil
}
