package settings

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPlaces: one Hyper-V host for all nodes, or one for each; what is in force reads as it was written.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, written string
		of            map[string]string // node to host; empty: none
	}{
		{"hv.example.com", "hv.example.com", map[string]string{"A": "hv.example.com", "B": "hv.example.com"}},
		{"hv:5986", "hv:5986", map[string]string{"A": "hv"}},
		{"[fd00::1]:5986", "[fd00::1]:5986", map[string]string{"A": "fd00::1"}},
		{"A=hv1, B=hv2:5985", "A=hv1,B=hv2:5985", map[string]string{"a": "hv1", "B": "hv2", "C": ""}},
	} {
		var p Places
		if err := p.UnmarshalText([]byte(c.text)); err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := p.String(); got != c.written {
			t.Errorf("%s is written as %s", c.text, got)
		}
		for node, host := range c.of {
			if got, ok := p.Of(node); got.Host != host || ok != (host != "") {
				t.Errorf("%s: node %s has %q, %v", c.text, node, got.Host, ok)
			}
		}
	}
	for _, wrong := range []string{"h,g", "A=h,g", "A=", "=h", "h:0", "h/x", "A=h,a=g", "u@h"} {
		var p Places
		if err := p.UnmarshalText([]byte(wrong)); err == nil {
			t.Errorf("%q is taken for %v", wrong, p)
		}
	}
}

// TestHyperVIsInForce: the login of the nodes serves where there is no other, and the password shows nowhere.
func TestHyperVIsInForce(t *testing.T) {
	t.Parallel()
	s, err := Load(append(good(), "OCTOPATCH_PRECAUTION=hyperv", "OCTOPATCH_HYPERV_HOST=hv", "OCTOPATCH_HYPERV_VMS=A=Octopus A"), Change)
	if c, own := s.HyperVLogin(); err != nil || c.Username != "u" || c.Password.Reveal() != "hunter2" || own {
		t.Errorf("%v, %v, %v", c, own, err)
	}
	s, err = Load(append(good(), "OCTOPATCH_PRECAUTION=hyperv", "OCTOPATCH_HYPERV_HOST=hv", "OCTOPATCH_HYPERV_USERNAME=h", "OCTOPATCH_HYPERV_PASSWORD=hunter3"), Change)
	if c, own := s.HyperVLogin(); err != nil || c.Username != "h" || c.Password.Reveal() != "hunter3" || !own {
		t.Errorf("%v, %v, %v", c, own, err)
	}
	if e := s.Effective(); e["OCTOPATCH_HYPERV_HOST"] != "hv" || e["OCTOPATCH_HYPERV_PASSWORD"] != "[redacted]" {
		t.Errorf("in force: %v", cmp.Diff(nil, e))
	}
	if list := s.Secrets(); !cmp.Equal(list[len(list)-2:len(list)-1], []string{"hunter3"}) {
		t.Errorf("%d secrets are masked", len(list))
	}
}
