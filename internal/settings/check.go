package settings

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
)

// adder takes a fault: which variable, what is wrong with it, and what to do.
type adder func(name, problem, remedy string)

// check is everything that a type cannot say.
func (s *Settings) check(vars map[string]string, need Need) []error {
	var faults []error
	add := func(name, problem, remedy string) { faults = append(faults, refuse(name, problem, remedy)) }
	s.checkTags(vars, add)
	s.checkAddresses(add)
	s.checkUpdates(add)
	s.checkWinRM(add)
	s.checkRun(add)
	s.checkPrecaution(vars, add)
	s.checkNeed(vars, need, add)
	if vars["OCTOPATCH_REHEARSAL_CLOCK"] != "" && s.RehearsalClock != (clock.Clock{}) {
		if far := s.notLoopback(); far != "" {
			add("OCTOPATCH_REHEARSAL_CLOCK", "is set, and "+far+" is not a loopback address", "leave it out: it is for rehearsals only")
		}
	}
	if s.RehearsalSnapshots != "" {
		if far := s.notLoopback(); far != "" {
			add("OCTOPATCH_REHEARSAL_SNAPSHOTS", "is set, and "+far+" is not a loopback address", "leave it out: it is for rehearsals only")
		}
	}
	return faults
}

// checkTags enforces oneof, min and max.
func (s *Settings) checkTags(vars map[string]string, add adder) {
	for field := range reflect.TypeFor[Settings]().Fields() {
		name, tag := field.Tag.Get("env"), field.Tag.Get
		value := reflect.ValueOf(*s).FieldByIndex(field.Index)
		if vars[name] == "" {
			continue
		}
		if valid := tag("oneof"); valid != "" && !slices.Contains(strings.Fields(valid), value.String()) {
			problem := fmt.Sprintf("%q is not one of %s", value.String(), strings.ReplaceAll(valid, " ", ", "))
			add(name, problem, tag("help"))
		}
		if low := tag("min"); low != "" && !within(value, low, tag("max")) {
			add(name, fmt.Sprintf("%s is not between %s and %s", vars[name], low, tag("max")), tag("help"))
		}
	}
}

// within compares a number, or a duration, with the limits of its tags; NaN is within none.
func within(value reflect.Value, low, high string) bool {
	if d, ok := value.Interface().(time.Duration); ok {
		a, errA := time.ParseDuration(low)
		b, errB := time.ParseDuration(high)
		return errA == nil && errB == nil && d >= a && d <= b
	}
	n := value
	if n.CanInt() {
		n = reflect.ValueOf(float64(n.Int()))
	}
	a, errA := strconv.ParseFloat(low, 64)
	b, errB := strconv.ParseFloat(high, 64)
	return errA == nil && errB == nil && n.Float() >= a && n.Float() <= b
}

func (s *Settings) checkAddresses(add adder) {
	for name, value := range map[string]string{"OCTOPUS_URL": s.URL, "OCTOPATCH_STEP_SERVER_URL": s.StepServerURL} {
		if value != "" {
			if err := checkURL(value); err != nil {
				add(name, err.Error(), "write it like https://octopus.example.com")
			}
		}
	}
	for node, address := range s.NodeURLs {
		if err := checkURL(address); err != nil {
			add("OCTOPATCH_NODE_URLS", "node "+node+": "+err.Error(), "write it like "+node+"=https://node.example.com")
		}
	}
	checkAuthority("OCTOPATCH_OCTOPUS_CA_FILE", s.CAFile, add)
	checkAuthority("OCTOPATCH_WINRM_CA_FILE", s.WinRMCAFile, add)
}

// checkAuthority reads the file now, so that a wrong one does not end the run at the first host.
func checkAuthority(name, file string, add adder) {
	if file == "" {
		return
	}
	text, err := readText(file)
	switch {
	case err != nil:
		add(name, file+" "+err.Error(), "name a PEM file that this user may read")
	case !x509.NewCertPool().AppendCertsFromPEM(text):
		add(name, file+" holds no certificate in PEM form", "export the authority's certificate as Base64 X.509")
	}
}

func (s *Settings) checkUpdates(add adder) {
	for _, c := range s.Categories {
		if _, ok := classification(c); !ok {
			add("OCTOPATCH_CATEGORIES", fmt.Sprintf("%q is not a category", c), "use security, critical, rollups, updates, definitions, servicepacks, featurepacks, tools, or a classification's GUID")
		}
	}
	for name, kbs := range map[string][]string{"OCTOPATCH_INCLUDE_KBS": s.IncludeKBs, "OCTOPATCH_EXCLUDE_KBS": s.ExcludeKBs} {
		for _, k := range kbs {
			if !kb.MatchString(k) {
				add(name, fmt.Sprintf("%q is not a KB number", k), "write it like KB5031234 or 5031234")
			}
		}
	}
}

func (s *Settings) checkWinRM(add adder) {
	checkPerNode("OCTOPATCH_WINRM_FINGERPRINT", s.Fingerprint, hash, "is not a SHA-256 of 64 hexadecimal digits", "copy it from the error that names the host's certificate, after comparing it with the host's own", add)
	checkPerNode("OCTOPATCH_WINRM_SERVER_NAME", s.ServerName, dnsName, "is not a name that a certificate can carry", "write it like octo-01.example.com", add)
	if s.Insecure && s.Fingerprint+s.WinRMCAFile != "" {
		add("OCTOPATCH_WINRM_INSECURE", "is true, and a fingerprint or an authority to trust is given as well", "leave it out: what is given would not be looked at")
	}
	s.checkPlain(add)
	s.checkKerberos(add)
	if s.CredentialsFile == "" {
		return
	}
	var err error
	if s.Credentials, err = readCredentials(s.CredentialsFile); err != nil {
		add("OCTOPATCH_WINRM_CREDENTIALS_FILE", s.CredentialsFile+" "+err.Error(), "name a JSON file that this user may read")
	}
}

// checkPlain: without TLS nothing goes out in clear, and nothing is given that only TLS would look at.
func (s *Settings) checkPlain(add adder) {
	if s.TLS {
		return
	}
	if s.Auth == "basic" {
		add("OCTOPATCH_WINRM_TLS", "is false, and OCTOPATCH_WINRM_AUTH=basic would send the password in clear", "enable the HTTPS listener on the hosts, or use ntlm or kerberos, which seal every message")
	}
	for name, given := range map[string]bool{"OCTOPATCH_WINRM_FINGERPRINT": s.Fingerprint != "", "OCTOPATCH_WINRM_CA_FILE": s.WinRMCAFile != "", "OCTOPATCH_WINRM_INSECURE": s.Insecure} {
		if given {
			add(name, "is set, and OCTOPATCH_WINRM_TLS is false", "leave one of them out: without TLS there is no certificate")
		}
	}
}

// checkKerberos: its files can be read, and there is one secret and not two.
func (s *Settings) checkKerberos(add adder) {
	for name, file := range map[string]string{"OCTOPATCH_WINRM_KRB5_CONF": s.KRB5Conf, "OCTOPATCH_WINRM_KRB5_CCACHE": s.KRB5CCache, "OCTOPATCH_WINRM_KRB5_KEYTAB": s.KRB5Keytab} {
		if file == "" {
			continue
		}
		if s.Auth != "kerberos" {
			add(name, "is set, and OCTOPATCH_WINRM_AUTH is "+s.Auth, "set OCTOPATCH_WINRM_AUTH to kerberos, or leave this out")
		}
		text, err := os.Open(strings.TrimPrefix(file, "FILE:"))
		if err != nil {
			add(name, file+" "+unreadable(err).Error(), "name a file that this user may read")
			continue
		}
		text.Close()
	}
	switch {
	case s.KRB5CCache != "" && s.KRB5Keytab != "":
		add("OCTOPATCH_WINRM_KRB5_CCACHE", "is set, and so is OCTOPATCH_WINRM_KRB5_KEYTAB", "keep one of them")
	case s.KRB5CCache != "" && (s.Username != "" || !s.Password.IsZero()):
		add("OCTOPATCH_WINRM_KRB5_CCACHE", "names the account, and OCTOPATCH_WINRM_USERNAME or OCTOPATCH_WINRM_PASSWORD is set as well", "keep one of them")
	case s.KRB5Keytab != "" && !s.Password.IsZero():
		add("OCTOPATCH_WINRM_KRB5_KEYTAB", "is set, and so is OCTOPATCH_WINRM_PASSWORD", "keep one of them")
	}
}

// checkPerNode checks one value for all, or NAME=value,….
func checkPerNode(name, text string, valid *regexp.Regexp, problem, remedy string, add adder) {
	values := map[string]string{"": text}
	if strings.Contains(text, "=") {
		var err error
		if values, err = pairs(text); err != nil {
			add(name, err.Error(), "write one value for all nodes, or NAME=value,...")
		}
	}
	for node, value := range values {
		if value != "" && !valid.MatchString(value) {
			add(name, fmt.Sprintf("%s%q %s", prefix(node), value, problem), remedy)
		}
	}
}

func prefix(node string) string {
	if node == "" {
		return ""
	}
	return "node " + node + ": "
}

// runID is what run ids are made of; they become parts of file names.
var runID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// account is what a service account's id, or an audience that stands for it, may be made of.
var account = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:/._-]{0,199}$`)

func (s *Settings) checkRun(add adder) {
	for name, id := range map[string]string{"OCTOPATCH_RUN_ID": s.RunID, "OCTOPATCH_TAKEOVER": s.Takeover} {
		if id != "" && !runID.MatchString(id) {
			add(name, fmt.Sprintf("%q is not a run id", id), "copy it from octopatch status, or leave it out to begin a new run")
		}
	}
	if s.Deadman > 0 && s.Deadman < 15*time.Minute {
		add("OCTOPATCH_DEADMAN", fmt.Sprintf("%s is shorter than a run may be silent", short(s.Deadman)), "set it to 15m or more, or to 0 for no dead-man switch")
	}
	if !s.Key.IsZero() && !s.Token.IsZero() {
		add("OCTOPUS_API_KEY", "is set, and so is OCTOPUS_ACCESS_TOKEN", "keep one of them")
	}
	if !s.Key.IsZero() && s.Account != "" {
		add("OCTOPUS_API_KEY", "is set, and so is OCTOPATCH_SERVICE_ACCOUNT_ID", "keep one of them")
	}
	if s.Account != "" && !account.MatchString(s.Account) {
		add("OCTOPATCH_SERVICE_ACCOUNT_ID", fmt.Sprintf("%q is not the id of a service account", s.Account), "copy it from the service account's OpenID Connect page in Octopus, a GUID")
	}
}

// checkNeed refuses what the command cannot do without.
func (s *Settings) checkNeed(vars map[string]string, need Need, add adder) {
	if need >= Octopus {
		if s.URL == "" {
			add("OCTOPUS_URL", "is not set", "set it to the address of your Octopus Server, such as https://octopus.example.com")
		}
		if s.Key.IsZero() && s.Token.IsZero() && s.Account == "" {
			add("OCTOPUS_API_KEY", "is not set, and neither is OCTOPUS_ACCESS_TOKEN", "set one of them, or OCTOPUS_API_KEY_FILE, or on GitHub OCTOPATCH_SERVICE_ACCOUNT_ID")
		}
	}
	if need >= Hosts {
		if vars["OCTOPATCH_NODES"] == "" {
			add("OCTOPATCH_NODES", "is not set, and unset never means all", "list the nodes in patch order, NAME=host,..., or set it to all")
		}
		s.checkLogins(add)
	}
	if need >= Change && s.Precaution == "" {
		add("OCTOPATCH_PRECAUTION", "is not set, and a precaution must be chosen", "set it to none if your own backup is the precaution")
	}
}

// checkLogins: every listed node has a login, from the credentials file or from the pair.
func (s *Settings) checkLogins(add adder) {
	whole := !s.Nodes.All && len(s.Nodes.List) > 0
	for _, n := range s.Nodes.List {
		_, ok := lookup(s.Credentials, n.Name)
		whole = whole && ok
	}
	whole = whole || s.KRB5CCache != ""
	if !whole && s.Username == "" {
		add("OCTOPATCH_WINRM_USERNAME", "is not set", "set it to a local administrator of the hosts")
	}
	if !whole && s.Password.IsZero() && s.KRB5Keytab == "" {
		add("OCTOPATCH_WINRM_PASSWORD", "is not set", "set it, or OCTOPATCH_WINRM_PASSWORD_FILE")
	}
}

// notLoopback names a target that is not on this machine, "" when all are.
func (s *Settings) notLoopback() string {
	hosts := []string{}
	for _, n := range s.Nodes.List {
		hosts = append(hosts, n.Host)
	}
	for _, n := range s.HyperVHost {
		hosts = append(hosts, n.Host)
	}
	addresses := []string{s.URL, s.StepServerURL, s.VSphereURL, s.RehearsalSnapshots}
	for _, address := range s.NodeURLs {
		addresses = append(addresses, address)
	}
	for _, address := range addresses {
		if u, err := url.Parse(address); err == nil && address != "" {
			hosts = append(hosts, u.Hostname())
		}
	}
	slices.Sort(hosts)
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
