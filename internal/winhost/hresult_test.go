package winhost

import (
	"regexp"
	"testing"
)

func TestCodesHaveWordsAndANextStep(t *testing.T) {
	t.Parallel()
	code := regexp.MustCompile(`^0x[0-9A-F]{8}$`) // as the scripts write them
	for c, m := range hresults {
		if !code.MatchString(c) || m.words == "" || m.next == "" {
			t.Errorf("%s: %+v", c, m)
		}
	}
	for _, c := range []string{"", "0xDEADBEEF"} {
		if m := explain(c); m.words == "" || m.next == "" {
			t.Errorf("%q: %+v", c, m)
		}
	}
}
