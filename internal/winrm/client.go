// Package winrm runs one command on a Windows host over WS-Management. It takes messages and their parsers
// from masterzen/winrm and brings its own loop and transport, because the library takes SOAP faults for
// success and polls a dead host for ever: here every call ends by its deadline and nothing outlives it.
package winrm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	masterzen "github.com/masterzen/winrm"
	"github.com/masterzen/winrm/soap"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

// Options say how to reach a host and who we are there.
type Options struct {
	Host        string
	Port        int
	TLS         bool
	Auth        string // ntlm or basic
	Username    string
	Password    secret.Secret
	CAPEM       []byte // authorities to trust instead of the system's
	Fingerprint string // SHA-256 of the leaf certificate, hexadecimal; trusts exactly that one
	ServerName  string // the name on the certificate, where it is not Host
	Insecure    bool
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
	Code   int
	Stderr string // decoded from CLIXML, its last 16 KB
}

// Time limits of the protocol, in the clock's time.
const (
	operationTimeout = 60 * time.Second  // the host answers "nothing yet" after it; Windows allows no more
	requestLimit     = 180 * time.Second // for one HTTP request; must exceed operationTimeout
	farewellLimit    = 15 * time.Second  // to end shell and command, also after the call was cancelled
	stdinPiece       = 100_000           // bytes of stdin in one message; base64 must stay below the envelope's size
)

// Client talks to one host over one connection. Its calls take turns.
type Client struct {
	o        Options
	url      string
	post     *transport
	params   masterzen.Parameters
	turn     sync.Mutex
	mu       sync.Mutex
	requests map[string]int
}

// New checks the options; it sends nothing.
func New(o Options) (*Client, error) {
	if !o.TLS {
		return nil, procedure.Refuse("OCTOPATCH_WINRM_TLS", "is false: over plain HTTP the messages would have to be sealed, which this version cannot", "enable the host's HTTPS listener (winrm quickconfig -transport:https)")
	}
	t, err := newTransport(o)
	if err != nil {
		return nil, err
	}
	return &Client{
		o: o, post: t, requests: map[string]int{},
		url:    "https://" + net.JoinHostPort(o.Host, strconv.Itoa(o.Port)) + "/wsman",
		params: *masterzen.NewParameters("PT60S", "en-US", 153600),
	}, nil
}

// Close ends the connection; the client may still be used and then connects anew.
func (c *Client) Close() { c.post.close() }

// Requests counts the messages sent so far, by action: Create, Command, Send, Receive, Signal, Delete.
func (c *Client) Requests() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := map[string]int{}
	for k, v := range c.requests {
		counts[k] = v
	}
	return counts
}

// Run runs the command in a shell of its own and follows it to its end. An error of kind ErrUnreachable or
// ErrDenied means that nothing was run; ErrNoReply that it is not known what was.
func (c *Client) Run(ctx context.Context, cmd Command) (Exit, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	limited, cancel := c.o.Clock.WithTimeout(ctx, cmd.Limit)
	defer cancel()
	shell, err := c.create(limited)
	if err != nil {
		return Exit{}, c.describe(limited, ctx, cmd, err, false)
	}
	defer c.farewell(ctx, "Delete", masterzen.NewDeleteShellRequest(c.url, shell, &c.params))
	id, err := c.start(limited, shell, cmd)
	if id != "" {
		defer c.farewell(ctx, "Signal", masterzen.NewSignalRequest(c.url, shell, id, &c.params))
	}
	if err != nil {
		return Exit{}, c.describe(limited, ctx, cmd, err, !notSent(err))
	}
	exit, err := c.follow(limited, shell, id, cmd)
	if err != nil {
		return exit, c.describe(limited, ctx, cmd, err, true)
	}
	return exit, nil
}

func (c *Client) create(ctx context.Context) (string, error) {
	text, err := c.send(ctx, "Create", masterzen.NewOpenShellRequest(c.url, &c.params))
	if err != nil {
		return "", err
	}
	id, err := masterzen.ParseOpenShellResponse(text)
	return id, unreadable(id, err)
}

// start begins the process and hands it its whole stdin, so that one connection is enough.
func (c *Client) start(ctx context.Context, shell string, cmd Command) (string, error) {
	if strings.Contains(cmd.Line, "]]>") {
		return "", errors.New("a command line must not hold the end of a CDATA section")
	}
	text, err := c.send(ctx, "Command", masterzen.NewExecuteCommandRequest(c.url, shell, cmd.Line, nil, &c.params))
	if err != nil {
		return "", err
	}
	id, err := masterzen.ParseExecuteCommandResponse(text)
	if err := unreadable(id, err); err != nil {
		return "", err
	}
	for rest := cmd.Stdin; len(cmd.Stdin) > 0; {
		piece := rest[:min(len(rest), stdinPiece)]
		rest = rest[len(piece):]
		if _, err := c.send(ctx, "Send", masterzen.NewSendInputRequest(c.url, shell, id, piece, len(rest) == 0, &c.params)); err != nil {
			return id, &started{err}
		}
		if len(rest) == 0 {
			break
		}
	}
	return id, nil
}

// started marks an error after the process had begun.
type started struct{ error }

func (e *started) Unwrap() error { return e.error }

// notSent: the request never reached the host, or the host turned it away, so nothing was run.
func notSent(err error) bool {
	var begun *started
	var fault *Fault
	return !errors.As(err, &begun) && (errors.As(err, &fault) || errors.Is(err, errDial) || errors.Is(err, procedure.ErrDenied))
}

// follow receives output until the process has ended.
func (c *Client) follow(ctx context.Context, shell, id string, cmd Command) (Exit, error) {
	out := &lines{each: cmd.Stdout}
	stderr := &tail{}
	for {
		text, err := c.send(ctx, "Receive", masterzen.NewGetOutputRequest(c.url, shell, id, "stdout stderr", &c.params))
		var fault *Fault
		if errors.As(err, &fault) && fault.TimedOut() {
			continue // nothing to say within the operation time-out
		}
		if err != nil {
			return Exit{Stderr: stderr.text()}, err
		}
		done, code, err := masterzen.ParseSlurpOutputErrResponse(text, out, stderr)
		if err != nil {
			return Exit{Stderr: stderr.text()}, fmt.Errorf("an answer to Receive is no XML: %w", err)
		}
		if done {
			out.end()
			return Exit{Code: code, Stderr: stderr.text()}, nil
		}
	}
}

// send posts one message with its own time limit.
func (c *Client) send(ctx context.Context, action string, message *soap.SoapMessage) (string, error) {
	defer message.Free()
	c.mu.Lock()
	c.requests[action]++
	c.mu.Unlock()
	limited, cancel := c.o.Clock.WithTimeout(ctx, requestLimit)
	defer cancel()
	return c.post.send(limited, c.url, message.String())
}

// farewell ends a shell or command as well as it can; what is left over, the host ends by its idle time-out.
func (c *Client) farewell(ctx context.Context, action string, message *soap.SoapMessage) {
	ctx, cancel := c.o.Clock.WithTimeout(context.WithoutCancel(ctx), farewellLimit)
	defer cancel()
	_, _ = c.send(ctx, action, message)
}

func unreadable(id string, err error) error {
	if err == nil && id == "" {
		err = errors.New("no id in it")
	}
	if err != nil {
		return fmt.Errorf("the answer is not the one that WS-Management promises: %w", err)
	}
	return nil
}

// describe tells the operator what happened, and the engine whether anything may have been run.
func (c *Client) describe(limited, ctx context.Context, cmd Command, err error, sent bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	subject := net.JoinHostPort(c.o.Host, strconv.Itoa(c.o.Port))
	var known *procedure.Fault
	if errors.As(err, &known) && !sent {
		return known
	}
	f := &procedure.Fault{Kind: procedure.ErrUnreachable, Subject: subject, Problem: "WinRM cannot be reached", Cause: err, Remedy: "check the host's WinRM listener, the firewall and OCTOPATCH_NODES"}
	var soapFault *Fault
	if errors.As(err, &soapFault) {
		f.Problem, f.Remedy = "WinRM answered with a fault", soapFault.Remedy()
		if soapFault.Denied() {
			f.Kind = procedure.ErrDenied
		}
	}
	if sent {
		f.Kind, f.Problem = procedure.ErrNoReply, "the connection ended before the command's answer"
		if limited.Err() != nil {
			f.Problem = fmt.Sprintf("no end of the command within %s", cmd.Limit)
		}
	}
	return f
}
