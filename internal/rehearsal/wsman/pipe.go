package wsman

import (
	"bytes"
	"context"
	"io"
	"sync"
)

// Sizes after which a writer has to wait for the reader, as Windows' own pipes make it wait: a client that
// sends all before it receives, or the other way round, must not get away with it here.
const (
	stdinHolds  = 64 << 10
	outputHolds = 1 << 20
)

// pipe is a bounded buffer between a process and the network.
type pipe struct {
	mu     sync.Mutex
	held   bytes.Buffer
	holds  int
	closed error // what the reader gets once the buffer is empty
	gone   bool  // the reader is gone, or both are: what is written is lost
	news   chan struct{}
}

func newPipe(holds int) *pipe { return &pipe{holds: holds, news: make(chan struct{})} }

// tell wakes all who wait; the lock must be held.
func (p *pipe) tell() {
	close(p.news)
	p.news = make(chan struct{})
}

// put writes all of b, or returns why it could not: the context's end, or that nobody reads.
func (p *pipe) put(ctx context.Context, b []byte) error {
	for {
		p.mu.Lock()
		if p.gone || p.closed != nil {
			p.mu.Unlock()
			return io.ErrClosedPipe
		}
		n := min(len(b), p.holds-p.held.Len())
		p.held.Write(b[:n])
		b = b[n:]
		if n > 0 {
			p.tell()
		}
		news := p.news
		p.mu.Unlock()
		if len(b) == 0 {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Read waits for something to read; it ends with what close said.
func (p *pipe) Read(b []byte) (int, error) {
	for {
		p.mu.Lock()
		if n, _ := p.held.Read(b); n > 0 || len(b) == 0 {
			p.tell()
			p.mu.Unlock()
			return n, nil
		}
		closed, news := p.closed, p.news
		p.mu.Unlock()
		if closed != nil {
			return 0, closed
		}
		<-news
	}
}

// take removes at most n bytes without waiting, and says how many are left.
func (p *pipe) take(n int) ([]byte, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := bytes.Clone(p.held.Next(max(0, n)))
	if len(b) > 0 {
		p.tell()
	}
	return b, p.held.Len()
}

// close lets the reader read what is there and then get err; the first one counts.
func (p *pipe) close(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed == nil {
		p.closed = err
		p.tell()
	}
}

// abandon says that nobody reads any more.
func (p *pipe) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	p.tell()
}
