package windows

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

func twinHealth(t *twin) error {
	ping, faults := noPing(), []string{}
	for _, prefix := range t.list("prefixes") {
		address, header := pingAddress(prefix)
		if address == "" {
			faults = append(faults, prefix+": not understood")
			continue
		}
		answer, err := t.ping(address, header)
		if err == nil {
			ping, faults = answer, nil
			break
		}
		faults = append(faults, fmt.Sprintf("%s: %v", address, err))
	}
	if ping["status"] == 0 && len(faults) == 0 {
		faults = []string{"the instance has no listen prefix"}
	}
	names, err := t.heldToo(t.list("services"))
	if err != nil {
		return err
	}
	services := []object{}
	for _, name := range names {
		s, err := t.m.look(name)
		if err != nil {
			return err
		}
		services = append(services, s.facts(nil))
	}
	return t.answer(object{"windows": t.m.windowsFacts(), "services": services, "pending": t.m.hardPending(), "ping": ping, "pingError": strings.Join(faults, "; ")})
}

func noPing() object { return object{"status": 0, "name": "", "version": ""} }

// heldToo adds what this run stopped besides, such as dependents: it must be back as well.
func (t *twin) heldToo(names []string) ([]string, error) {
	state, err := t.folderState()
	if err != nil || state != "ours" {
		return names, err
	}
	j, err := t.readJournal()
	if err != nil {
		return nil, err
	}
	for _, s := range objects(objectOf(j, "host")["services"]) {
		if name := textOf(s, "name"); !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	return names, nil
}

var (
	listenPrefix = regexp.MustCompile(`(?i)^(https?)://(\[[^\]]+\]|[^:/]+)(?::(\d+))?(/.*)?$`)
	literal      = regexp.MustCompile(`^(?:\d{1,3}(?:\.\d{1,3}){3}|\[.+\])$`)
)

// pingAddress turns a listen prefix into an address on this host and the name for the Host header, if any.
func pingAddress(prefix string) (address, header string) {
	found := listenPrefix.FindStringSubmatch(prefix)
	if found == nil {
		return "", ""
	}
	scheme, name, port, path := found[1], found[2], found[3], found[4]
	if port != "" {
		port = ":" + port
	}
	target := "localhost"
	switch {
	case literal.MatchString(name) && name != "0.0.0.0":
		target = name
	case !slices.Contains([]string{"+", "*", "localhost", "0.0.0.0"}, strings.ToLower(name)):
		header = name + port
	}
	return fmt.Sprintf("%s://%s%s%s/api/octopusservernodes/ping", scheme, target, port, strings.TrimRight(path, "/")), header
}

// ping asks the instance on the host itself, over real HTTP.
func (t *twin) ping(address, header string) (object, error) {
	ctx, cancel := context.WithTimeout(t.ctx, 20*time.Second) // the wall's: .NET does not know of a faster clock
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	r.Host = header
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // as the script
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != 200 && response.StatusCode != 418 {
		return nil, fmt.Errorf("HTTP %d", response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	var body struct{ Name, Version string }
	if err := json.Unmarshal(text, &body); err != nil {
		return nil, err
	}
	return object{"status": response.StatusCode, "name": body.Name, "version": body.Version}, nil
}
