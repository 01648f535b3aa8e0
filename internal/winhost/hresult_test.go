package winhost

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
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
		if m := explain(c); m.words == "" || m.next == "" || m.helps != procedure.HelpsNobody {
			t.Errorf("%q: %+v", c, m)
		}
	}
}

// TestEveryKnownCode: testdata/codes.txt lists the codes that were met, by what helps against them.
func TestEveryKnownCode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/codes.txt")
	if err != nil {
		t.Fatal(err)
	}
	met := 0
	for line := range strings.Lines(string(text)) {
		code, helps, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		met++
		if helps == "nobody" {
			helps = ""
		}
		if m, ok := hresults[code]; !ok || m.helps != procedure.Helps(helps) {
			t.Errorf("%s: %+v, want one that %q helps against", code, m, helps)
		}
	}
	if met < 55 {
		t.Errorf("only %d codes are listed", met)
	}
}

// What the worker tries again is what passes by itself, and nothing else.
func TestTheWorkerTriesAgainWhatPassesByItself(t *testing.T) {
	t.Parallel()
	_, list, ok := strings.Cut(scripts.Text("worker"), "$Passing = @(")
	list, _, ends := strings.Cut(list, ")")
	if !ok || !ends {
		t.Fatal("the worker has no list of errors that pass")
	}
	tried := regexp.MustCompile(`0x[0-9A-F]{8}`).FindAllString(list, -1)
	for _, c := range tried {
		if hresults[c].helps != procedure.HelpsTime {
			t.Errorf("%s is tried again, and does not pass by itself: %+v", c, hresults[c])
		}
	}
	for c, m := range hresults {
		if m.helps == procedure.HelpsTime && !slices.Contains(tried, c) {
			t.Errorf("%s passes by itself, and the worker does not try again", c)
		}
	}
}

func TestPolicyInWords(t *testing.T) {
	t.Parallel()
	unset := policy{NoAutoUpdate: -1, AUOptions: -1, Day: -1, Hour: -1, AlwaysReboot: -1, Deadline: -1, NoInternet: -1}
	if u := unset.policy(); len(u.Restarts) > 0 || u.NoInternet {
		t.Errorf("nothing is set, and yet %+v", u)
	}
	off := policy{NoAutoUpdate: 1, AUOptions: 4, AlwaysReboot: 1, Deadline: 1}
	if u := off.policy(); len(u.Restarts) > 0 {
		t.Errorf("updates are off, and yet %+v", u)
	}
	odd := policy{AUOptions: 4, Day: 9, Hour: 24}
	if u := odd.policy(); len(u.Restarts) != 1 || u.Restarts[0] != "AUOptions 4: it installs by itself at times of its own" {
		t.Errorf("%+v", u)
	}
}
