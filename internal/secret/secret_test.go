package secret

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	s := New("hunter2")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "password", s)
	text, err := json.Marshal(map[string]any{"p": s, "q": &s})
	if err != nil {
		t.Fatal(err)
	}
	verbs := "%v %+v %#v %q %s %d %x"
	holder := struct{ Password Secret }{s}
	for _, got := range []string{fmt.Sprint(s), fmt.Sprintf(verbs, s, s, s, s, s, s, s), fmt.Sprintf("%v %+v %#v", holder, &holder, holder), log.String(), string(text)} {
		if strings.Contains(got, "hunter2") || strings.Contains(got, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("printed: %s", got)
		}
	}
	if s.Reveal() != "hunter2" || s.IsZero() || !New("").IsZero() {
		t.Error("the value itself is lost")
	}
}
