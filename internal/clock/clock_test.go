package clock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestClockRunsFaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(time.Now(), 100)
		began := c.Now()
		time.Sleep(time.Second)
		if got := c.Since(began); got != 100*time.Second {
			t.Errorf("after a second of wall time: %s, want 100s", got)
		}
		wall := time.Now()
		if err := c.Sleep(context.Background(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(wall); got != 600*time.Millisecond {
			t.Errorf("a simulated minute took %s of wall time, want 600ms", got)
		}
	})
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		ctx, cancel := c.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		if err := c.Sleep(ctx, 0); err == nil {
			t.Error("no sleep at all must still see that the context has ended")
		}
	})
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"1700000000.5,10": true, "1700000000, 0.5": true, "": false, "1700000000": false, "x,1": false, "1700000000,0": false,
		"1700000000,-1": false, "1700000000,NaN": false, "0,1": false, "NaN,1": false, "1e300,1": false,
	} {
		c, err := Parse(text)
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil {
			if again, err := Parse(c.String()); err != nil || again != c {
				t.Errorf("%q reads back as %v, %v; want %v", c, again, err, c)
			}
		}
	}
}
