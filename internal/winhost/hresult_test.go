package winhost

import (
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

// TestEveryKnownCode lists the codes of Windows Update, of component servicing and of the task scheduler that
// administrators report (wuerror.h, winerror.h, "Windows Update common errors and mitigation", and the issues of
// ansible.windows, packer-plugin-windows-update, boxstarter and PSWindowsUpdate), by what helps against them.
func TestEveryKnownCode(t *testing.T) {
	t.Parallel()
	for helps, codes := range map[procedure.Helps]string{
		procedure.HelpsNotNeeded: "00240005 00240006 00240008 80240017 80240024",
		procedure.HelpsTime: "8024401C 80244022 8024402C 80244010 8024001B 80240009 8024001E 8024401F 80244020 80244021 80244023 " +
			"80072EE2 80072EE7 80072EFD 80072EFE 80D02002 80240438 8024001F 80248007",
		procedure.HelpsReboot:  "80240016 80070BC9 8024A204",
		procedure.HelpsRestart: "8007045B",
		procedure.HelpsNobody: "80070005 8024002E 80240025 8024002F 80070422 80240032 80240044 80070070 C8000710 80073712 800F0831 800F081F 800F0922 80240020 " +
			"80240019 80240028 80240040 80240043 80070643 80070065 80070520 80070569 00041301 00041303 00041325 00000103",
	} {
		for c := range strings.FieldsSeq(codes) {
			if m, ok := hresults["0x"+c]; !ok || m.helps != helps {
				t.Errorf("0x%s: %+v, want one that %q helps against", c, m, helps)
			}
		}
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
