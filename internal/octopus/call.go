package octopus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

// Limits of a request, in the clock's time.
const (
	requestLimit  = 30 * time.Second // for one attempt
	pingLimit     = 10 * time.Second // for one attempt at a node
	probeLimit    = 30 * time.Second // for the probe of what users see: a browser waits at least that long
	retryPatience = 45 * time.Second // no new attempt of a read begins later
	// A server that limits the rate has not executed the request, so a change may be sent again as well.
	throttlePatience = 2 * time.Minute // in all, for one call
	throttleDefault  = 5 * time.Second // where no Retry-After came
	throttleTimes    = 5
	idleLimit        = 60 * time.Second // below the 120 s after which Windows closes an idle connection (HTTP.sys)
	bodyLimit        = 64 << 20         // bytes
)

// pauseBefore is how long a read waits before it is repeated; after two repeats the answer is no.
func pauseBefore(repeat int) (time.Duration, bool) {
	switch repeat {
	case 1:
		return time.Second, true
	case 2:
		return 3 * time.Second, true
	}
	return 0, false
}

// call is one request.
type call struct {
	method string // empty: GET
	path   string // from the base address on
	query  map[string]string
	body   any
	open   bool          // asks what everybody may know, so no key travels
	also   []int         // statuses besides 2xx that are answers
	limit  time.Duration // for one attempt; 0: requestLimit
	once   bool          // neither repeated nor waited for, on a connection of its own
	sent   secret.Secret // the key or token of the attempt, so that no text repeats it
}

func (q call) change() bool { return q.method != "" }

func (q call) String() string {
	if q.method == "" {
		return http.MethodGet + " " + q.path
	}
	return q.method + " " + q.path
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// outcome is how one attempt ended: with an answer when fault is nil.
type outcome struct {
	answer    answer
	fault     *procedure.Fault
	again     bool          // the same read may succeed in a moment
	throttled time.Duration // not executed; the server asks to wait that long
}

// do sends a request, and sends it again where that does no harm and may help.
func (c *Client) do(ctx context.Context, q call) (answer, error) {
	began := c.clock.Now()
	repeats, waits := 0, 0
	for {
		o := c.attempt(ctx, q)
		if o.fault == nil {
			return o.answer, nil
		}
		spent := c.clock.Since(began)
		pause, more := pauseBefore(repeats + 1)
		switch {
		case q.once || ctx.Err() != nil:
			return answer{}, o.fault
		case o.throttled > 0 && waits < throttleTimes && spent+o.throttled <= throttlePatience:
			pause = o.throttled
			waits++
			c.warn(fmt.Sprintf("%s limits the rate of requests; waiting %s as it asks", c.at.url, pause.Round(time.Millisecond)))
		case o.again && !q.change() && more && spent+pause <= retryPatience:
			repeats++
		default:
			return answer{}, o.fault
		}
		if c.clock.Sleep(ctx, pause) != nil {
			return answer{}, o.fault
		}
	}
}

// attempt sends a request once.
func (c *Client) attempt(ctx context.Context, q call) outcome {
	limit := q.limit
	if limit == 0 {
		limit = requestLimit
	}
	limited, cancel := c.clock.WithTimeout(ctx, limit)
	defer cancel()
	// Once its headers may have left, a change may have been executed. Before that it certainly was not.
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(limited, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	client := c.api
	if q.once {
		client = c.probe
	}
	r := client.R().SetContext(traced).SetQueryParams(q.query)
	if !q.open {
		name, prefix, value, err := c.login.header(limited)
		if err != nil {
			f := c.noToken(err)
			return outcome{fault: f, again: errors.Is(f, procedure.ErrUnreachable)}
		}
		q.sent = value
		r.SetHeader(name, prefix+value.Reveal())
	}
	if q.body != nil {
		r.SetHeader("Content-Type", "application/json").SetBody(q.body)
	}
	method := q.method
	if method == "" {
		method = http.MethodGet
	}
	resp, err := r.Execute(method, c.at.url+q.path)
	if resp == nil || resp.RawResponse == nil {
		return c.unanswered(ctx, q, err, sent.Load(), limit)
	}
	if err != nil {
		return c.brokenOff(ctx, q, resp.StatusCode(), err, limit)
	}
	a := answer{status: resp.StatusCode(), header: resp.Header(), body: resp.Body()}
	if a.status/100 == 2 || slices.Contains(q.also, a.status) {
		return outcome{answer: a}
	}
	return c.refused(q, a)
}

// retryAfter is how long a server that limits the rate asks to wait: seconds, or a date by its own clock.
func (c *Client) retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return max(time.Second, time.Duration(seconds)*time.Second)
	}
	if until, err := http.ParseTime(text); err == nil {
		now, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			now = c.clock.Now()
		}
		return max(time.Second, until.Sub(now))
	}
	return throttleDefault
}
