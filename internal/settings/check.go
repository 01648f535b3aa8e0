package settings

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

func (s *Settings) checkUpdates(add func(name, problem, remedy string)) {
	for _, c := range s.Categories {
		if _, ok := classifications[strings.ToLower(c)]; !ok && !guid.MatchString(strings.ToLower(c)) {
			add("OCTOPATCH_CATEGORIES", fmt.Sprintf("%q is not a category", c), "use security, critical, rollups, updates, definitions, service-packs, feature-packs, tools, or a classification's GUID")
		}
	}
	for name, list := range map[string][]string{"OCTOPATCH_INCLUDE_KBS": s.IncludeKBs, "OCTOPATCH_EXCLUDE_KBS": s.ExcludeKBs} {
		for _, k := range list {
			if !kb.MatchString(k) {
				add(name, fmt.Sprintf("%q is not a KB number", k), "write it like KB5031234 or 5031234")
			}
		}
	}
}

func (s *Settings) checkWinRM(add func(name, problem, remedy string), need Need) {
	if s.Port < 0 || s.Port > 65535 {
		add("OCTOPATCH_WINRM_PORT", fmt.Sprintf("%d is not a port", s.Port), "leave it out for 5986")
	}
	for item := range strings.SplitSeq(s.Fingerprint, ",") {
		_, value, named := strings.Cut(item, "=")
		if !named {
			value = item
		}
		if value = strings.ReplaceAll(strings.TrimSpace(value), ":", ""); s.Fingerprint != "" && !hash.MatchString(value) {
			add("OCTOPATCH_WINRM_FINGERPRINT", "has a value that is not a SHA-256 of 64 hexadecimal digits", "copy it from the error that names the host's certificate, after checking it")
		}
	}
	if !s.TLS {
		add("OCTOPATCH_WINRM_TLS", "is false, and WinRM over plain HTTP needs sealed messages, which this version has not", "enable the HTTPS listener on the hosts")
	}
	if s.CredentialsFile != "" {
		list, err := readCredentials(s.CredentialsFile)
		if err != nil {
			add("OCTOPATCH_WINRM_CREDENTIALS_FILE", s.CredentialsFile+" "+err.Error(), "name a JSON file that this user may read")
		}
		s.Credentials = list
	}
	if need < Hosts {
		return
	}
	whole := !s.Nodes.All && len(s.Nodes.List) > 0
	for _, n := range s.Nodes.List {
		whole = whole && slices.ContainsFunc(keys(s.Credentials), func(k string) bool { return strings.EqualFold(k, n.Name) })
	}
	if !whole && s.Username == "" {
		add("OCTOPATCH_WINRM_USERNAME", "is not set", "set it to a local administrator of the hosts")
	}
	if !whole && s.Password.IsZero() {
		add("OCTOPATCH_WINRM_PASSWORD", "is not set", "set it, or OCTOPATCH_WINRM_PASSWORD_FILE")
	}
}

func keys(m map[string]Credential) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	return list
}

// notLoopback names a target that is not on this machine, "" when all are.
func (s *Settings) notLoopback() string {
	hosts := []string{}
	for _, n := range s.Nodes.List {
		hosts = append(hosts, n.Host)
	}
	for _, address := range append([]string{s.URL, s.StepServerURL}, values(s.NodeURLs)...) {
		if u, err := url.Parse(address); err == nil && address != "" {
			hosts = append(hosts, u.Hostname())
		}
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); h != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return h
		}
	}
	if s.Nodes.All {
		return "every node of the cluster (OCTOPATCH_NODES=all)"
	}
	return ""
}

func values(m map[string]string) []string {
	var list []string
	for _, v := range m {
		list = append(list, v)
	}
	return list
}

// pairs reads NAME=value,….
func pairs(text string) (map[string]string, error) {
	m := map[string]string{}
	for item := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(item, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || value == "" {
			return nil, fmt.Errorf("%q is not NAME=value", item)
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("%q is listed twice", name)
		}
		m[name] = value
	}
	return m, nil
}

// nearest is the known variable that takes the fewest edits to reach.
func nearest(name string, rows []Row) string {
	best, fewest := "", 1<<30
	for _, r := range rows {
		if d := edits(name, r.Variable); d < fewest {
			best, fewest = r.Variable, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
