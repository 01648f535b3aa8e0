package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
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
	seen := map[string]bool{}
	var faults []error
	for item := range strings.SplitSeq(string(text), ",") {
		node, err := parseNode(strings.TrimSpace(item))
		if err == nil && seen[strings.ToLower(node.Name)] {
			err = fmt.Errorf("%q is listed twice", node.Name)
		}
		seen[strings.ToLower(node.Name)] = true
		faults = append(faults, err)
		n.List = append(n.List, node)
	}
	return errors.Join(faults...)
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
	u, err := url.Parse("//" + strings.TrimSpace(address))
	if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" {
		return node, fmt.Errorf("%q of node %s is not host or host:port (IPv6 in brackets)", address, node.Name)
	}
	node.Host = u.Hostname()
	if u.Port() != "" {
		if node.Port, err = strconv.Atoi(u.Port()); err != nil || node.Port < 1 || node.Port > 65535 {
			return node, fmt.Errorf("%q of node %s has no port between 1 and 65535", address, node.Name)
		}
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

// classifications are Microsoft's GUIDs; names of categories are localised and not compared.
var classifications = map[string]string{
	"security": "0fa1201d-4330-4fa8-8ae9-b877473b6441", "critical": "e6cf1350-c01b-414d-a61f-263d14d133b4",
	"rollups": "28bc880e-0592-4cbf-8f95-c79b17911d5f", "updates": "cd5ffd1e-e932-4e3a-bf74-18bf0b1bbd83",
	"definitions": "e0789628-ce08-4437-be74-2495b842f43b", "service-packs": "68c5b0a3-d1a6-4553-ae49-01d3a7827828",
	"feature-packs": "b54e7d24-7add-428f-8b75-90a396fa584f", "tools": "b4832bd8-e735-4761-8daf-37f882276dab",
}

var (
	guid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	kb   = regexp.MustCompile(`^(?i:KB)?([0-9]{6,8})$`)
	hash = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`)
)

// Filter is the updates group as the phases use it.
func (s Settings) Filter() procedure.UpdateFilter {
	f := procedure.UpdateFilter{Source: s.Source, Include: numbers(s.IncludeKBs), Exclude: numbers(s.ExcludeKBs)}
	for _, c := range s.Categories {
		c = strings.ToLower(c)
		if id, ok := classifications[c]; ok {
			c = id
		}
		f.Classifications = append(f.Classifications, c)
	}
	return f
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

// checkURL accepts http and https addresses without user, query and fragment.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return errors.New("is not an address such as https://octopus.example.com")
	case u.User != nil:
		return errors.New("carries a user or password, which would show in logs")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("has a query or fragment")
	}
	return nil
}

// readCredentials reads OCTOPATCH_WINRM_CREDENTIALS_FILE.
func readCredentials(name string) (map[string]Credential, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var list map[string]Credential
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, errors.New("is not JSON of the form {\"NODE\": {\"username\": \"…\", \"password\": \"…\"}}")
	}
	for node, c := range list {
		if c.Username == "" || c.Password.IsZero() {
			return nil, fmt.Errorf("node %s lacks username or password", node)
		}
	}
	return list, nil
}
