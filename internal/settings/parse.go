package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// UnmarshalText reads "all" or "NAME[=host[:port]],…".
func (n *Nodes) UnmarshalText(text []byte) error {
	*n = Nodes{}
	if strings.EqualFold(strings.TrimSpace(string(text)), "all") {
		n.All = true
		return nil
	}
	names, hosts := map[string]bool{}, map[string]string{}
	var faults []error
	for item := range strings.SplitSeq(string(text), ",") {
		node, err := parseNode(strings.TrimSpace(item))
		name, host := strings.ToLower(node.Name), strings.ToLower(net.JoinHostPort(node.Host, strconv.Itoa(node.Port)))
		switch {
		case err != nil:
		case names[name]:
			err = fmt.Errorf("%q is listed twice", node.Name)
		case hosts[host] != "":
			err = fmt.Errorf("nodes %q and %q are given the same host", hosts[host], node.Name)
		}
		names[name], hosts[host] = true, node.Name
		faults = append(faults, err)
		n.List = append(n.List, node)
	}
	return oneLine(errors.Join(faults...))
}

// oneLine keeps several faults of one value in one sentence, each of them once.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	var each []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !slices.Contains(each, line) {
			each = append(each, line)
		}
	}
	return errors.New(strings.Join(each, "; "))
}

func parseNode(item string) (Node, error) {
	name, address, mapped := strings.Cut(item, "=")
	node := Node{Name: strings.TrimSpace(name), Host: strings.TrimSpace(name)}
	switch {
	case node.Name == "":
		return node, fmt.Errorf("%q has no node name", item)
	case strings.EqualFold(node.Name, "all"):
		return node, errors.New("all stands alone")
	case !mapped:
		return node, nil
	}
	address = strings.TrimSpace(address)
	u, err := url.Parse("//" + address)
	bare := err == nil && strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(address, "[")
	if err != nil || bare || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return node, fmt.Errorf("%q of node %s is not host or host:port (IPv6 in brackets)", address, node.Name)
	}
	node.Host = u.Hostname()
	if u.Port() != "" {
		if !validPort(u.Port()) {
			return node, fmt.Errorf("%q of node %s has no port between 1 and 65535", address, node.Name)
		}
		node.Port, _ = strconv.Atoi(u.Port())
	}
	return node, nil
}

// UnmarshalText reads a length, or a start and a length.
func (w *Window) UnmarshalText(text []byte) error {
	start, length, fixed := strings.Cut(string(text), "/")
	if !fixed {
		start, length = "", start
	}
	var err error
	if w.Length, err = time.ParseDuration(length); err != nil || w.Length <= 0 {
		return fmt.Errorf("%q is not a length above 0 such as 4h", length)
	}
	if !fixed {
		return nil
	}
	for _, layout := range []string{"2006-01-02T15:04Z07:00", time.RFC3339} {
		if w.Start, err = time.Parse(layout, start); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%q is not a time with its offset such as 2026-12-13T02:00+10:00", start)
}

// list reads what is separated by commas; blanks around an entry and empty entries do not count.
func list(text string) ([]string, error) {
	var entries []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			entries = append(entries, item)
		}
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%q lists nothing", text)
	}
	return entries, nil
}

// pairs reads NAME=value,….
func pairs(text string) (map[string]string, error) {
	m, seen := map[string]string{}, map[string]bool{}
	for item := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(item, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || value == "" {
			return nil, fmt.Errorf("%q is not NAME=value", strings.TrimSpace(item))
		}
		if seen[strings.ToLower(name)] {
			return nil, fmt.Errorf("%q is listed twice", name)
		}
		m[name], seen[strings.ToLower(name)] = value, true
	}
	return m, nil
}

// lookup finds a node's entry; Windows and Octopus do not tell upper from lower case in names.
func lookup[T any](m map[string]T, node string) (T, bool) {
	for name, value := range m {
		if strings.EqualFold(name, node) {
			return value, true
		}
	}
	var none T
	return none, false
}

// NodeURL is the node's own address, "" where OCTOPATCH_NODE_URLS names none.
func (s Settings) NodeURL(node string) string {
	address, _ := lookup(s.NodeURLs, node)
	return address
}

// Login is the account for a node: that of the credentials file, else the pair of variables.
func (s Settings) Login(node string) Credential {
	if c, ok := lookup(s.Credentials, node); ok {
		return c
	}
	return Credential{Username: s.Username, Password: s.Password}
}

// PerNode is the value of a setting for one node: one value for all, or NAME=value,….
func PerNode(text, node string) string {
	if !strings.Contains(text, "=") {
		return text
	}
	for item := range strings.SplitSeq(text, ",") {
		if name, value, ok := strings.Cut(item, "="); ok && strings.EqualFold(strings.TrimSpace(name), node) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

var (
	guid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	kb   = regexp.MustCompile(`^(?i:KB)?([0-9]{6,8})$`)
	hash = regexp.MustCompile(`^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$`)
	// dnsName is lenient: certificates of hosts often carry a bare computer name.
	dnsName = regexp.MustCompile(`^[A-Za-z0-9*]([A-Za-z0-9_.:-]*[A-Za-z0-9])?$`)
)

// Filter is the updates group as the phases use it.
func (s Settings) Filter() procedure.UpdateFilter {
	f := procedure.UpdateFilter{Source: s.Source, Include: numbers(s.IncludeKBs), Exclude: numbers(s.ExcludeKBs)}
	for _, c := range s.Categories {
		if id, ok := classification(c); ok && !slices.Contains(f.Classifications, id) {
			f.Classifications = append(f.Classifications, id)
		}
	}
	return f
}

// classification is the GUID of a category, by name or by GUID.
func classification(category string) (string, bool) {
	category = strings.ToLower(category)
	if guid.MatchString(category) {
		return category, true
	}
	id, ok := procedure.Classifications()[strings.ReplaceAll(category, "-", "")]
	return id, ok
}

func numbers(kbs []string) []string {
	list := []string{}
	for _, k := range kbs {
		if m := kb.FindStringSubmatch(k); m != nil {
			list = append(list, m[1])
		}
	}
	return list
}

// checkURL accepts http and https addresses without user, query, fragment and /api.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err == nil && u.User != nil:
		return errors.New("carries a user or password, which would show in logs")
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", !validPort(u.Port()):
		return fmt.Errorf("%q is not an address such as https://octopus.example.com", unnamed(text))
	case u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%q has a query or fragment", text)
	case strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/api"):
		return fmt.Errorf("%q ends with /api, which is added to it", text)
	}
	return nil
}

// unnamed drops what stands before an @: it may be a password in an address that cannot be read.
func unnamed(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return "..." + address[i:]
	}
	return address
}

func validPort(text string) bool {
	if text == "" {
		return true
	}
	port, err := strconv.Atoi(text)
	return err == nil && port >= 1 && port <= 65535
}

// readCredentials reads OCTOPATCH_WINRM_CREDENTIALS_FILE.
func readCredentials(name string) (map[string]Credential, error) {
	text, err := readText(name)
	if err != nil {
		return nil, err
	}
	var all map[string]Credential
	if err := json.Unmarshal(text, &all); err != nil || len(all) == 0 {
		return nil, errors.New("is not JSON of the form {\"NODE\": {\"username\": \"...\", \"password\": \"...\"}}")
	}
	seen := map[string]bool{}
	for _, node := range slices.Sorted(maps.Keys(all)) {
		switch c := all[node]; {
		case c.Username == "" || c.Password.IsZero():
			return nil, fmt.Errorf("lacks username or password of node %s", node)
		case seen[strings.ToLower(node)]:
			return nil, fmt.Errorf("names node %s twice", node)
		}
		seen[strings.ToLower(node)] = true
	}
	return all, nil
}
