// Package octopus is the REST client for exactly the calls that patching needs. It tells a change that was
// turned away from one whose answer was lost, and it never logs a header or a body.
package octopus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-resty/resty/v2"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

// The settings that the remedies name.
const (
	settingURL      = "OCTOPUS_URL"
	settingKey      = "OCTOPUS_API_KEY"
	settingToken    = "OCTOPUS_ACCESS_TOKEN"
	settingCA       = "OCTOPATCH_OCTOPUS_CA_FILE"
	settingNodeURLs = "OCTOPATCH_NODE_URLS"
)

// Options says where the Octopus Server is and who we are. One of Key, Token, TokenSource and ServiceAccount is set.
type Options struct {
	URL   string // the address of the web portal; may end in a virtual directory
	Key   secret.Secret
	Token secret.Secret
	// ServiceAccount and IDToken, both or none: access tokens are had for ID tokens, and renewed; Token is the first
	// one, where it is given.
	ServiceAccount string
	IDToken        func(ctx context.Context, audience string) (secret.Secret, error)
	Found          func(secret.Secret) // is told of each access token before it is used; may be nil
	// TokenSource hands out the access token for each request, for tokens that are renewed.
	TokenSource func(context.Context) (secret.Secret, error)
	CAFile      []byte            // PEM certificates that are trusted besides the system's; may be empty
	NodeURLs    map[string]string // node name → the address of that node itself
	Clock       clock.Clock
	Warn        func(string) // may be nil
}

// Client talks to one Octopus Server. Its methods may be called from any goroutine.
type Client struct {
	at    address
	nodes map[string]address // by lower-case node name
	login login
	clock clock.Clock
	warn  func(string)
	api   *resty.Client
	probe *resty.Client // a new connection for each request, as a user who arrives would have
}

var (
	_ procedure.Cluster = (*Client)(nil)
	_ procedure.Server  = (*Client)(nil)
)

// address is a base URL without a trailing slash, and the setting that it comes from.
type address struct{ url, setting string }

// New checks the options; it sends nothing.
func New(o Options) (*Client, error) {
	c := &Client{nodes: map[string]address{}, clock: o.Clock, warn: o.Warn}
	if c.warn == nil {
		c.warn = func(string) {}
	}
	var err error
	if c.at, err = c.parseAddress(settingURL, o.URL); err != nil {
		return nil, err
	}
	for name, text := range o.NodeURLs {
		if c.nodes[strings.ToLower(name)], err = c.parseAddress(settingNodeURLs, text); err != nil {
			return nil, err
		}
	}
	if err = checkAccount(o); err != nil {
		return nil, err
	}
	if o.ServiceAccount != "" && o.IDToken != nil {
		o.TokenSource = newExchange(c, o).access
		o.Token = secret.Secret{}
	}
	if c.login, err = newLogin(o); err != nil {
		return nil, err
	}
	roots, err := trusted(o.CAFile)
	if err != nil {
		return nil, err
	}
	c.api = newResty(roots, c.clock, false)
	c.probe = newResty(roots, c.clock, true)
	return c, nil
}

// NodeURL is the address of the node itself, if it was given.
func (c *Client) NodeURL(node string) (string, bool) {
	at, ok := c.nodes[strings.ToLower(node)]
	return at.url, ok
}

// Via is the same client, sending its calls to the node's own address instead of OCTOPUS_URL: a load balancer
// has no healthy member left when its only server is drained. It is false when the node's address is not known.
func (c *Client) Via(node string) (*Client, bool) {
	at, ok := c.nodes[strings.ToLower(node)]
	if !ok {
		return nil, false
	}
	near := *c
	near.at = at
	return &near, true
}

// Close closes the connections that are kept for later calls; clients made by Via share them.
func (c *Client) Close() {
	c.api.GetClient().CloseIdleConnections()
	c.probe.GetClient().CloseIdleConnections()
}

func (c *Client) parseAddress(setting, text string) (address, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	const remedy = "write it like https://octopus.example.com, with its virtual directory if it has one"
	switch {
	case err != nil: // the error would repeat the text, and with it a password that somebody wrote into it
		return address{}, procedure.Refuse(setting, "is not an address", remedy)
	case u.User != nil:
		return address{}, procedure.Refuse(setting, "holds a user name or password", "leave it out; "+settingKey+" or "+settingToken+" says who we are")
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return address{}, procedure.Refuse(setting, "is not an http or https address", remedy)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return address{}, procedure.Refuse(setting, "holds more than the address of the web portal", remedy)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		c.warn(setting + " is not https: key and answers cross the network to " + u.Host + " in the clear")
	}
	return address{url: strings.TrimRight(u.String(), "/"), setting: setting}, nil
}

func loopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

func trusted(pem []byte) (*x509.CertPool, error) {
	if len(pem) == 0 {
		return nil, nil // nil is the system's pool
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, procedure.Refuse(settingCA, "holds no certificate", "it needs PEM text that begins with -----BEGIN CERTIFICATE-----")
	}
	return roots, nil
}

// newResty makes a client without a cookie jar (a balancer's cookie would pin us to one node), without HTTP/2
// (a connection that died with its host would be used until it times out: https://github.com/golang/go/issues/36026),
// and without redirects (they would carry the key elsewhere, and turn a PUT into a GET that answers 200).
func newResty(roots *x509.CertPool, clk clock.Clock, fresh bool) *resty.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     clk.Wall(idleLimit),
		MaxIdleConnsPerHost: 2,
		DisableKeepAlives:   fresh,
		Protocols:           protocols,
	}
	r := resty.NewWithClient(&http.Client{Transport: transport})
	r.SetLogger(silent{}).SetDisableWarn(true)
	r.SetHeader("User-Agent", "octopatch").SetHeader("Accept", "application/json")
	r.SetResponseBodyLimit(bodyLimit)
	r.SetRedirectPolicy(resty.RedirectPolicyFunc(func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }))
	return r
}

// silent keeps resty from writing anything anywhere.
type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}
