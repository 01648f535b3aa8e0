package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/precaution"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/settings"
	"github.com/octopatch/octopatch/internal/winhost"
	"github.com/octopatch/octopatch/internal/winrm"
)

// open makes the way to a node's host, once.
func (w *wired) open(node, host string) (*winhost.Host, error) {
	o := w.settings
	login, port := o.Login(node), 0
	for _, n := range o.Nodes.List {
		if strings.EqualFold(n.Name, node) {
			port = n.Port
		}
	}
	cache, keytab := o.KRB5CCache, o.KRB5Keytab
	if !login.Password.IsZero() { // of the credentials file, which overrides what is said for all
		cache, keytab = "", ""
	}
	return w.reach(node, node, winrm.Options{
		Host: host, Port: port, Username: login.Username, Password: login.Password, CCache: cache, Keytab: keytab,
		Fingerprint: settings.PerNode(o.Fingerprint, node), ServerName: settings.PerNode(o.ServerName, node),
	})
}

// hyperV makes the way to the Hyper-V host of a node, once for all nodes on it.
func (w *wired) hyperV(m procedure.Machine) (precaution.Remote, error) {
	o := w.settings
	place, ok := o.HyperVHost.Of(m.Node)
	if !ok {
		return nil, procedure.Refuse("OCTOPATCH_HYPERV_HOST", "names no Hyper-V host for node "+m.Node, "write one host for all nodes, or NODE=host for each")
	}
	login, own := o.HyperVLogin()
	cache, keytab := o.KRB5CCache, o.KRB5Keytab
	if own {
		cache, keytab = "", ""
	}
	address := net.JoinHostPort(strings.ToLower(place.Host), strconv.Itoa(place.Port))
	host, err := w.reach("hyperv "+address, fmt.Sprintf("Hyper-V host %s", place.Host), winrm.Options{
		Host: place.Host, Port: place.Port, Username: login.Username, Password: login.Password, CCache: cache, Keytab: keytab,
		Fingerprint: settings.PerNode(o.HyperVFingerprint, m.Node), ServerName: settings.PerNode(o.HyperVServerName, m.Node),
	})
	if err != nil {
		return nil, inHyperVTerms(err, own)
	}
	return hyperVHost{host, own}, nil
}

// hyperVHost is a Hyper-V host; own: its login is its own, and not the nodes'.
type hyperVHost struct {
	*winhost.Host
	own bool
}

// Script runs a script there.
func (h hyperVHost) Script(ctx context.Context, name string, request any, answer interface{ Check() error }, limit time.Duration, progress func(json.RawMessage)) error {
	return inHyperVTerms(h.Host.Script(ctx, name, request, answer, limit, progress), h.own)
}

// inHyperVTerms names the settings of the Hyper-V host where a fault of WinRM names those of the nodes.
func inHyperVTerms(err error, own bool) error {
	var f *procedure.Fault
	if !errors.As(err, &f) {
		return err
	}
	names := []string{"OCTOPATCH_NODES", "OCTOPATCH_HYPERV_HOST", "OCTOPATCH_WINRM_FINGERPRINT", "OCTOPATCH_HYPERV_FINGERPRINT", "OCTOPATCH_WINRM_SERVER_NAME", "OCTOPATCH_HYPERV_SERVER_NAME"}
	if own {
		names = append(names, "OCTOPATCH_WINRM_USERNAME", "OCTOPATCH_HYPERV_USERNAME", "OCTOPATCH_WINRM_PASSWORD", "OCTOPATCH_HYPERV_PASSWORD")
	}
	words, told := strings.NewReplacer(names...), *f
	told.Subject, told.Problem, told.Remedy = words.Replace(f.Subject), words.Replace(f.Problem), words.Replace(f.Remedy)
	return &told
}

// reach makes the way to a Windows machine, once for each key; what is said of all of them is added to the options.
func (w *wired) reach(key, name string, options winrm.Options) (*winhost.Host, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.hosts[key]; ok {
		return known, nil
	}
	o := w.settings
	switch {
	case options.Port != 0:
	case o.Port != 0:
		options.Port = o.Port
	case o.TLS:
		options.Port = 5986
	default:
		options.Port = 5985
	}
	options.TLS, options.Auth, options.CAPEM, options.Insecure, options.Clock, options.KRB5Conf = o.TLS, o.Auth, w.hostCA, o.Insecure, w.clock, o.KRB5Conf
	client, err := winrm.New(options)
	if err != nil {
		return nil, err
	}
	w.clients = append(w.clients, client)
	w.hosts[key] = winhost.New(name, winhost.OverWinRM(client), w.clock)
	return w.hosts[key], nil
}
