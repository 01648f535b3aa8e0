package wsman

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// process is a running or ended command.
type process struct {
	id     string
	cancel context.CancelFunc
	stdin  *pipe
	out    map[string]*pipe // by stream

	mu   sync.Mutex
	done bool
	exit int
	more chan struct{} // replaced and closed at each news
}

var streams = []string{"stdout", "stderr"}

// start begins a process; ended is called with what the runner returned.
func start(run Runner, line, user string, ended func(error)) *process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{id: uuid(), cancel: cancel, stdin: newPipe(stdinHolds), out: map[string]*pipe{}, more: make(chan struct{})}
	for _, name := range streams {
		p.out[name] = newPipe(outputHolds)
	}
	go func() {
		exit, err := run.Run(ctx, Command{Line: line, Stdin: p.stdin, Stdout: stream{ctx, p, "stdout"}, Stderr: stream{ctx, p, "stderr"}, User: user})
		cancel()
		p.stdin.abandon()
		ended(err)
		p.mu.Lock()
		p.done, p.exit = true, exit
		p.mu.Unlock()
		p.news()
	}()
	return p
}

// stop ends the process as Windows terminates one.
func (p *process) stop() {
	p.cancel()
	p.stdin.close(io.ErrUnexpectedEOF)
}

func (p *process) news() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.more)
	p.more = make(chan struct{})
}

// stream is a Writer into one of the process's output streams; it waits for a client that does not receive.
type stream struct {
	ctx  context.Context
	p    *process
	name string
}

func (s stream) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		piece := rest[:min(len(rest), outputHolds/16)]
		rest = rest[len(piece):]
		if err := s.p.out[s.name].put(s.ctx, piece); err != nil {
			return 0, err
		}
		s.p.news()
	}
	return len(b), nil
}

// receive is the body of a ReceiveResponse with at most so many bytes of output, "" when there is nothing to
// say yet; the channel closes when that changes.
func (p *process) receive(most int) (string, <-chan struct{}) {
	p.mu.Lock()
	done, exit, more := p.done, p.exit, p.more
	p.mu.Unlock()
	var b strings.Builder
	left := 0
	for _, name := range streams {
		data, rest := p.out[name].take(most)
		if len(data) > 0 {
			fmt.Fprintf(&b, `<rsp:Stream Name="%s" CommandId="%s">%s</rsp:Stream>`, name, p.id, base64.StdEncoding.EncodeToString(data))
		}
		most -= len(data)
		left += rest
	}
	switch {
	case done && left == 0:
		for _, name := range streams {
			fmt.Fprintf(&b, `<rsp:Stream Name="%s" CommandId="%s" End="true"></rsp:Stream>`, name, p.id)
		}
		fmt.Fprintf(&b, `<rsp:CommandState CommandId="%s" State="%s/CommandState/Done"><rsp:ExitCode>%d</rsp:ExitCode></rsp:CommandState>`, p.id, shellURI, exit)
	case b.Len() == 0:
		return "", more
	default:
		fmt.Fprintf(&b, `<rsp:CommandState CommandId="%s" State="%s/CommandState/Running"></rsp:CommandState>`, p.id, shellURI)
	}
	return `<rsp:ReceiveResponse>` + b.String() + `</rsp:ReceiveResponse>`, more
}

// isLoss: the runner plays a fault of the network.
func isLoss(err error) bool { return errors.Is(err, ErrLost) || errors.Is(err, ErrReset) }
