package winrm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
)

// hang runs until it is ended, unless the command line says otherwise.
func hang(ctx context.Context, c wsman.Command) (int, error) {
	if c.Line == "hang" {
		<-ctx.Done()
	}
	return 0, nil
}

// TestTurn: a call that waits for another one's end waits no longer than its own limit.
func TestTurn(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 1)
	_, c := host(t, func(ctx context.Context, cmd wsman.Command) (int, error) {
		begun <- struct{}{}
		return hang(ctx, cmd)
	})
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan error)
	go func() {
		_, err := c.Run(ctx, Command{Line: "hang", Limit: time.Hour})
		first <- err
	}()
	<-begun
	if _, err := c.Run(context.Background(), Command{Line: "x", Limit: 20 * time.Second}); !errors.Is(err, procedure.ErrUnreachable) {
		t.Errorf("got %v, want unreachable", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) || !errors.Is(err, procedure.ErrNoReply) {
		t.Errorf("the cancelled call: %v, want the interrupt, and that it is not known what was run", err)
	}
	if _, err := c.Run(context.Background(), Command{Line: "x", Limit: time.Hour}); err != nil {
		t.Error(err)
	}
}

// TestEndedCommandIsEndedOnTheHost: after the limit and after a cancel the process and its shell are gone.
func TestEndedCommandIsEndedOnTheHost(t *testing.T) {
	t.Parallel()
	for _, limit := range []time.Duration{30 * time.Second, time.Hour} {
		ended := make(chan struct{})
		s, c := host(t, func(ctx context.Context, _ wsman.Command) (int, error) {
			<-ctx.Done()
			close(ended)
			return 1, nil
		})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, err := c.Run(ctx, Command{Line: "hang", Limit: limit})
		cancel()
		if !errors.Is(err, procedure.ErrNoReply) {
			t.Errorf("got %v", err)
		}
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Error("the process still runs")
		}
		if n := s.Shells(); n != 0 {
			t.Errorf("%d shells are left", n)
		}
	}
}

// TestCloseEndsEverything: also a command that is on its way, and there is no way back.
func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 1)
	_, c := host(t, func(ctx context.Context, cmd wsman.Command) (int, error) {
		begun <- struct{}{}
		return hang(ctx, cmd)
	})
	result := make(chan error, 1)
	go func() {
		_, err := c.Run(context.Background(), Command{Line: "hang", Limit: 15 * time.Minute})
		result <- err
	}()
	<-begun
	start := time.Now()
	c.Close()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Close took %s", took)
	}
	select {
	case err := <-result:
		if !errors.Is(err, procedure.ErrNoReply) {
			t.Errorf("got %v, want no reply", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the command outlives Close")
	}
	if _, err := c.Run(context.Background(), Command{Line: "x", Limit: time.Hour}); !errors.Is(err, procedure.ErrUnreachable) {
		t.Errorf("after Close: %v", err)
	}
	c.Close()
}

// TestNothingOutlivesTheCalls: goroutines are back to where they were after good and bad calls. It counts the
// whole process's, so it is not parallel.
func TestNothingOutlivesTheCalls(t *testing.T) {
	before := runtime.NumGoroutine()
	w := &wire{}
	func() {
		s, c := hostAt(t, clock.New(time.Now(), 20), func(ctx context.Context, cmd wsman.Command) (int, error) {
			if cmd.Line == "talk" { // first, so that a second connection is opened
				for range 150 {
					_, _ = io.WriteString(cmd.Stdout, fmt.Sprintf("%09999d\n", 1))
				}
			}
			return hang(ctx, cmd)
		}, func(o *Options) { o.Dial = w.dial })
		for _, cmd := range []Command{
			{Line: "talk", Stdin: make([]byte, 1<<20), Limit: time.Hour},
			{Line: "hang", Limit: 30 * time.Second},
			{Line: "x", Limit: time.Hour},
		} {
			if _, err := c.Run(context.Background(), cmd); (err == nil) == (cmd.Line == "hang") {
				t.Errorf("%s: %v", cmd.Line, err)
			}
		}
		s.SetFaults(wsman.Faults{BlackHole: true})
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := c.Run(ctx, Command{Line: "x", Limit: time.Hour}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's end", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a cancelled call took %s", took)
		}
		c.Close()
		w.closed(t)
		s.Close()
	}()
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	buf := make([]byte, 1<<16)
	t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}
