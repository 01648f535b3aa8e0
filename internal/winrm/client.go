// Package winrm runs one command on a Windows host over WS-Management. It takes its messages from
// masterzen/winrm and brings its own loop, reader and transport, because the library takes SOAP faults for
// success, polls a dead host for ever and does not pass on the context: here every call ends by its deadline
// and nothing outlives it. It imports procedure, clock and secret.
package winrm

import (
	"context"
	"errors"
	"maps"
	"net"
	"strconv"
	"sync"
	"time"

	masterzen "github.com/masterzen/winrm"
	"github.com/masterzen/winrm/soap"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/secret"
)

// Options say how to reach a host and who we are there.
type Options struct {
	Host        string
	Port        int
	TLS         bool
	Auth        string // ntlm, kerberos or basic; without TLS not basic, and every message is sealed
	Username    string // name, DOMAIN\name, .\name or name@domain; with a CCache none is needed
	Password    secret.Secret
	CAPEM       []byte // authorities to trust instead of the system's
	Fingerprint string // SHA-256 of the leaf certificate, hexadecimal, colons allowed; trusts exactly that one
	ServerName  string // the name on the certificate and in the Kerberos ticket, where it is not Host
	Insecure    bool   // trust any certificate
	KRB5Conf    string // file; "": /etc/krb5.conf
	CCache      string // file with tickets, instead of a password
	Keytab      string // file with the account's keys, instead of a password
	Clock       clock.Clock
	Dial        func(ctx context.Context, network, address string) (net.Conn, error) // nil: TCP
}

// Command is one process on the host.
type Command struct {
	Line   string
	Stdin  []byte
	Stdout func(line string) // for each complete line as it arrives; may be nil
	Limit  time.Duration
}

// Exit is how a process ended.
type Exit struct {
	Code   int    // -1 when the host did not say
	Stderr string // decoded from CLIXML, its last 16 KB
}

// Time limits of the protocol, in the clock's time.
const (
	operationTimeout = 60 * time.Second // the host answers "nothing yet" after it; Windows allows no more (MaxTimeoutms)
	requestLimit     = operationTimeout + 15*time.Second
	farewellLimit    = 4 * time.Second // to end command and shell, also after the call was cancelled: an interrupt has 5 s
)

var errTurn = errors.New("another command is still at work on the host")

// leastWall is the least that a request may take on the wall: a fast clock does not make the wire faster.
const leastWall = time.Second

// Client talks to one host. Its calls take turns, so that a wrong password is tried once and not in parallel.
type Client struct {
	o      Options
	url    string
	params masterzen.Parameters
	dialer *dialer

	// Two connections at most: the second one receives while the first one is still busy sending stdin.
	first, second *lane

	turn    chan struct{}   // holds one token
	closing context.Context // only its end is used: Close ends the calls that are on their way
	close   context.CancelFunc

	mu       sync.Mutex
	requests map[string]int
}

// New checks the options; it sends nothing.
func New(o Options) (*Client, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	d, err := newDialer(o)
	if err != nil {
		return nil, err
	}
	var t *tickets
	if o.Auth == "kerberos" {
		if t, err = newTickets(o); err != nil {
			return nil, err
		}
	}
	scheme := "https://"
	if !o.TLS {
		scheme = "http://"
	}
	c := &Client{
		o: o, dialer: d, requests: map[string]int{}, turn: make(chan struct{}, 1),
		url: scheme + o.address() + "/wsman",
		// 150 KB is what the oldest Windows allows for an envelope; it bounds the host's answers too.
		params: *masterzen.NewParameters("PT60S", "en-US", 153600),
	}
	c.closing, c.close = context.WithCancel(context.Background())
	c.first, c.second = newLane(d, c.url, t), newLane(d, c.url, t)
	return c, nil
}

func (o *Options) address() string { return net.JoinHostPort(o.Host, strconv.Itoa(o.Port)) }

// Close ends the calls that are on their way and the connections; the client is of no use afterwards.
func (c *Client) Close() {
	c.close()
	c.turn <- struct{}{} // every call ends soon, for all of its waits end with closing
	defer func() { <-c.turn }()
	c.first.close()
	c.second.close()
}

// Requests counts the messages sent so far, by action: Create, Command, Send, Receive, Signal, Delete.
func (c *Client) Requests() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.requests)
}

// Run runs the command in a shell of its own and follows it to its end. An error of kind ErrUnreachable,
// ErrDenied or ErrRefused means that nothing was run; ErrNoReply that it is not known what was.
func (c *Client) Run(ctx context.Context, cmd Command) (Exit, error) {
	if err := cmd.check(); err != nil {
		return Exit{}, err
	}
	limited, cancel := c.o.Clock.WithTimeout(ctx, cmd.Limit)
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)()
	call := &call{Client: c, cmd: cmd, outer: ctx}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-limited.Done():
	}
	if limited.Err() != nil || c.closing.Err() != nil { // another command had its turn all the while
		return Exit{}, call.describe(limited, errTurn)
	}
	defer call.farewell(ctx)
	exit, err := call.run(limited)
	if err != nil {
		call.err = call.describe(limited, err)
		return exit, call.err
	}
	return exit, nil
}

// send posts one message with its own time limit and returns the host's good answer.
func (c *Client) send(ctx context.Context, on *lane, action string, message *soap.SoapMessage) (*answer, error) {
	defer message.Free()
	c.mu.Lock()
	c.requests[action]++
	c.mu.Unlock()
	limited, cancel := c.within(ctx, requestLimit)
	defer cancel()
	body, err := on.post(limited, message.String())
	if err != nil {
		return nil, err
	}
	return readAnswer(body, action)
}

// within limits ctx to d of the clock's time, but leaves the wire its time.
func (c *Client) within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, max(c.o.Clock.Wall(d), leastWall))
}
