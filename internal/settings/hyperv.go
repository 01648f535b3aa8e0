package settings

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// Places are hosts beside the nodes' own: one for all nodes, whose Name is empty, or one for each.
type Places []Node

// UnmarshalText reads "host[:port]" or "NODE=host[:port],…".
func (p *Places) UnmarshalText(text []byte) error {
	*p = nil
	if !strings.Contains(string(text), "=") {
		node, err := parseNode("all nodes=" + string(text))
		if strings.Contains(string(text), ",") {
			err = fmt.Errorf("%q is neither one host nor a list of NODE=host", text)
		}
		node.Name = ""
		*p = Places{node}
		return err
	}
	var faults []error
	seen := map[string]bool{}
	for item := range strings.SplitSeq(string(text), ",") {
		node, err := parseNode(strings.TrimSpace(item))
		switch {
		case err == nil && !strings.Contains(item, "="):
			err = fmt.Errorf("%q is not NODE=host", item)
		case err == nil && seen[strings.ToLower(node.Name)]:
			err = fmt.Errorf("%q is listed twice", node.Name)
		}
		seen[strings.ToLower(node.Name)] = true
		faults = append(faults, err)
		*p = append(*p, node)
	}
	return oneLine(errors.Join(faults...))
}

// Of is the place of a node.
func (p Places) Of(node string) (Node, bool) {
	for _, n := range p {
		if n.Name == "" || strings.EqualFold(n.Name, node) {
			return n, true
		}
	}
	return Node{}, false
}

// String writes them as they were read.
func (p Places) String() string {
	text := Nodes{List: p}.String()
	if len(p) == 1 && p[0].Name == "" {
		return strings.TrimPrefix(text, "=")
	}
	return text
}

// HyperVLogin is the account for the Hyper-V hosts; own is false where it is the nodes'.
func (s Settings) HyperVLogin() (c Credential, own bool) {
	if s.HyperVUsername != "" {
		return Credential{Username: s.HyperVUsername, Password: s.HyperVPassword}, true
	}
	return Credential{Username: s.Username, Password: s.Password}, false
}

func (s *Settings) checkHyperV(add adder) {
	checkPerNode("OCTOPATCH_HYPERV_FINGERPRINT", s.HyperVFingerprint, hash, "is not a SHA-256 of 64 hexadecimal digits", "copy it from the error that names the host's certificate, after comparing it with the host's own", add)
	checkPerNode("OCTOPATCH_HYPERV_SERVER_NAME", s.HyperVServerName, dnsName, "is not a name that a certificate can carry", "write it like hyperv-01.example.com", add)
	switch {
	case s.HyperVFingerprint != "" && !s.TLS:
		add("OCTOPATCH_HYPERV_FINGERPRINT", "is set, and OCTOPATCH_WINRM_TLS is false", "leave one of them out: without TLS there is no certificate")
	case s.HyperVFingerprint != "" && s.Insecure:
		add("OCTOPATCH_HYPERV_FINGERPRINT", "is set, and OCTOPATCH_WINRM_INSECURE is true", "leave one of them out")
	}
	switch {
	case s.HyperVUsername != "" && s.HyperVPassword.IsZero():
		add("OCTOPATCH_HYPERV_PASSWORD", "is not set, and OCTOPATCH_HYPERV_USERNAME is", "set it, or OCTOPATCH_HYPERV_PASSWORD_FILE")
	case s.HyperVUsername == "" && !s.HyperVPassword.IsZero():
		add("OCTOPATCH_HYPERV_USERNAME", "is not set, and OCTOPATCH_HYPERV_PASSWORD is", "set both or none of them")
	case len(s.HyperVHost) > 0 && s.HyperVUsername == "" && s.Username == "" && s.KRB5CCache == "":
		add("OCTOPATCH_HYPERV_USERNAME", "is not set, and neither is OCTOPATCH_WINRM_USERNAME", "set it to an account that may manage Hyper-V")
	}
	s.checkHyperVHost(add)
}

// checkHyperVHost: every listed node has a Hyper-V host, which is no node's host itself: it would be patched, and
// restart with the virtual machines on it.
func (s *Settings) checkHyperVHost(add adder) {
	if len(s.HyperVHost) == 0 {
		return
	}
	for _, n := range s.Nodes.List {
		if _, ok := s.HyperVHost.Of(n.Name); !ok {
			add("OCTOPATCH_HYPERV_HOST", "names no Hyper-V host for node "+n.Name, "write one host for all nodes, or NODE=host for each")
		}
		for _, place := range s.HyperVHost {
			if sameHost(place.Host, n.Host) && place.Port == n.Port {
				add("OCTOPATCH_HYPERV_HOST", fmt.Sprintf("%s is the host of node %s itself", place.Host, n.Name), "name the host that its virtual machine runs on; a node on a Hyper-V host needs another precaution")
			}
		}
	}
}

// sameHost compares names by their first label, for one may be written in full; addresses whole.
func sameHost(a, b string) bool {
	if net.ParseIP(a) != nil || net.ParseIP(b) != nil {
		return strings.EqualFold(a, b)
	}
	a, _, _ = strings.Cut(a, ".")
	b, _, _ = strings.Cut(b, ".")
	return strings.EqualFold(a, b)
}
