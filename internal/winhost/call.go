package winhost

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// answer is the typed answer of a script; it says itself whether it can be believed.
type answer interface{ check() error }

// call runs one script and decodes its answer.
func call[A any, P interface {
	*A
	answer
}](ctx context.Context, h *Host, script string, request any, limit time.Duration, progress func(json.RawMessage)) (A, error) {
	var a A
	raw, err := h.ask(ctx, script, request, limit, progress)
	if err != nil {
		return a, err
	}
	return a, h.believe(script, raw, &a, P(&a).check)
}

// Script runs one of the scripts for somebody who knows what to ask of it and whether its answer can be believed,
// such as a precaution. The lease goes with it as with every call.
func (h *Host) Script(ctx context.Context, name string, request any, answer interface{ Check() error }, limit time.Duration, progress func(json.RawMessage)) error {
	raw, err := h.ask(ctx, name, request, limit, progress)
	if err != nil {
		return err
	}
	return h.believe(name, raw, answer, answer.Check)
}

// believe decodes an answer and has it checked.
func (h *Host) believe(script string, raw json.RawMessage, into any, check func() error) error {
	err := decode(raw, into, false)
	if err == nil {
		err = check()
	}
	if err != nil {
		return h.unreadable(script, err)
	}
	return nil
}

// ask runs one script and returns its answer. A transport error that comes after the answer changes nothing about
// the answer.
func (h *Host) ask(ctx context.Context, script string, request any, limit time.Duration, progress func(json.RawMessage)) (json.RawMessage, error) {
	if refused := h.refused.Load(); refused != nil {
		return nil, *refused
	}
	nonce, err := newNonce()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	end := h.held.begin(h.clock, &text, script)
	stdin := encode(nonce, scripts.Text(script), text)
	h.commands.Add(1)
	r := &reply{nonce: nonce, progress: progress}
	exit, stderr, err := h.runner.Run(ctx, scripts.CommandLine, stdin, limit, r.line)
	end(r.answer != nil)
	switch {
	case r.fault != nil:
		return nil, h.fault(script, *r.fault)
	case r.broken != nil:
		return nil, h.unreadable(script, r.broken)
	case r.answer != nil:
		return r.answer, nil
	case err != nil:
		return nil, err
	}
	return nil, h.silent(script, exit, r.noise, stderr)
}

// encode is the stdin that scripts.Bootstrap reads. Lines are short: longer ones may be cut on their way.
func encode(nonce, script string, request []byte) []byte {
	var b bytes.Buffer
	b.WriteString(nonce + "\n")
	for _, part := range [][]byte{[]byte(script), request} {
		code := base64.StdEncoding.EncodeToString(part)
		for len(code) > 0 {
			n := min(len(code), 1000)
			b.WriteString(code[:n] + "\n")
			code = code[n:]
		}
		b.WriteString(".\n")
	}
	return b.Bytes()
}

func newNonce() (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("make a nonce: %w", err)
	}
	return hex.EncodeToString(b), nil
}

func (h *Host) unreadable(script string, cause error) error {
	return &procedure.Fault{Kind: procedure.ErrUnreadable, Subject: h.name, Problem: "the host's answer to " + script + " cannot be understood", Cause: cause,
		Remedy: "run octopatch preflight, and look whether something on the host changes the output of PowerShell"}
}

// silent: the script ended and said nothing. What it did is unknown.
func (h *Host) silent(script string, exit int, noise, stderr string) error {
	said := stderr
	if said == "" {
		said = noise
	}
	problem := fmt.Sprintf("PowerShell ended with %d and without an answer to %s", exit, script)
	if said != "" {
		problem += fmt.Sprintf("; it said %q", said[:min(len(said), 400)])
	}
	return &procedure.Fault{Kind: procedure.ErrNoReply, Subject: h.name, Problem: problem,
		Remedy: "look at the host's antivirus and application control logs, then run octopatch preflight"}
}
