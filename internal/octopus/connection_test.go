package octopus_test

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/octopus"
	"github.com/octopatch/octopatch/internal/procedure"
)

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	_ = listener.Close()
	c := dial(t, url, 100)
	for what, read := range reads {
		t.Run(what, func(t *testing.T) { checkFault(t, read(t.Context(), c), procedure.ErrUnreachable, false) })
	}
	checkFault(t, c.CancelTask(t.Context(), "ServerTasks-1"), procedure.ErrUnreachable, false)
	checkFault(t, c.Serving(t.Context()), procedure.ErrUnreachable, false)
	checkFault(t, dial(t, "https://octopus.invalid", 100).CancelTask(t.Context(), "ServerTasks-1"), procedure.ErrUnreachable, false)
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld()
	server := httptest.NewUnstartedServer(w)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	trusting := func(o *octopus.Options) { o.CAFile = ca }

	c := dial(t, server.URL, 10, trusting)
	if _, err := c.Nodes(t.Context()); err != nil {
		t.Errorf("trusted by file: %v", err)
	}
	err := dial(t, server.URL, 10).CancelTask(t.Context(), "ServerTasks-1")
	checkFault(t, err, procedure.ErrUnreachable, false)
	if !strings.Contains(err.Error(), "OCTOPATCH_OCTOPUS_CA_FILE") || !strings.Contains(err.Error(), "fingerprint") {
		t.Errorf("unknown authority: %v", err)
	}
	err = dial(t, strings.Replace(server.URL, "127.0.0.1", "localhost", 1), 10, trusting).Serving(t.Context())
	checkFault(t, err, procedure.ErrUnreachable, false)
	if !strings.Contains(err.Error(), "not for localhost") {
		t.Errorf("another name: %v", err)
	}
	plain := httptest.NewServer(w)
	t.Cleanup(plain.Close)
	_, err = dial(t, strings.Replace(plain.URL, "http:", "https:", 1), 10).Nodes(t.Context())
	checkFault(t, err, procedure.ErrUnreachable, false)
	if !strings.Contains(err.Error(), "speaks no TLS") {
		t.Errorf("no TLS: %v", err)
	}
}

func TestConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	open := make(chan http.ConnState, 100)
	server := httptest.NewUnstartedServer(newWorld())
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) { open <- s }
	server.Start()
	t.Cleanup(server.Close)
	c := dial(t, server.URL, 10)
	for range 3 {
		if _, err := c.Nodes(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	began := 0
	for len(open) > 0 {
		if <-open == http.StateNew {
			began++
		}
	}
	if began != 1 {
		t.Errorf("%d connections for three calls in a row", began)
	}
	c.Close()
	for {
		select {
		case s := <-open:
			if s == http.StateClosed {
				return
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the connection stays open")
		}
	}
}

// TestProbeArrivesAnew: on a kept connection a balancer would go on sending us to a node that it has left out.
func TestProbeArrivesAnew(t *testing.T) {
	t.Parallel()
	var began atomic.Int32
	server := httptest.NewUnstartedServer(newWorld())
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			began.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c := dial(t, server.URL, 10)
	for range 3 {
		if err := c.Serving(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if began.Load() != 3 {
		t.Errorf("%d connections for three probes", began.Load())
	}
}
