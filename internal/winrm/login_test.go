package winrm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// shortLived is a connection that ends right after the answer to the login.
type shortLived struct {
	net.Conn
	over bool
}

func (c *shortLived) Read(b []byte) (int, error) {
	if c.over {
		c.Close()
		return 0, io.EOF
	}
	n, err := c.Conn.Read(b)
	c.over = bytes.HasPrefix(b[:n], []byte("HTTP/1.1 200"))
	return n, err
}

// TestClosedAfterTheLogin: a host that closes the connection between the login and the message knows nobody on the
// next one. That is no refused login, and nothing was run.
func TestClosedAfterTheLogin(t *testing.T) {
	t.Parallel()
	for _, way := range sealedWays {
		t.Run(way.String(), func(t *testing.T) {
			t.Parallel()
			var dials atomic.Int32
			_, client := host(t, echo, func(o *Options) {
				way.set(o)
				o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, network, address)
					if dials.Add(1) == 1 && err == nil {
						return &shortLived{Conn: conn}, nil
					}
					return conn, err
				}
			})
			command := Command{Line: "x", Stdin: []byte("y"), Limit: time.Hour}
			if _, err := client.Run(context.Background(), command); !errors.Is(err, procedure.ErrUnreachable) {
				t.Errorf("got %v", err)
			}
			if exit, err := client.Run(context.Background(), command); err != nil || exit.Code != 7 {
				t.Errorf("afterwards: %+v, %v", exit, err)
			}
		})
	}
}
