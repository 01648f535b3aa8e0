package octopus_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/octopatch/octopatch/internal/octopus"
	"github.com/octopatch/octopatch/internal/procedure"
)

// changes are all that the adapter changes in the world.
var changes = map[string]struct {
	do      func(context.Context, *octopus.Client) error
	applied func(*world) bool
	begin   func(*world)
}{
	"drain": {
		do:      func(ctx context.Context, c *octopus.Client) error { return c.SetDrain(ctx, "WEB 1", true) },
		applied: func(w *world) bool { return w.drained },
	},
	"undrain": {
		do:      func(ctx context.Context, c *octopus.Client) error { return c.SetDrain(ctx, "WEB 1", false) },
		applied: func(w *world) bool { return !w.drained },
		begin:   func(w *world) { w.drained = true },
	},
	"maintenance on": {
		do:      func(ctx context.Context, c *octopus.Client) error { return c.SetMaintenanceMode(ctx, true) },
		applied: func(w *world) bool { return w.maintenance },
	},
	"maintenance off": {
		do:      func(ctx context.Context, c *octopus.Client) error { return c.SetMaintenanceMode(ctx, false) },
		applied: func(w *world) bool { return !w.maintenance },
		begin:   func(w *world) { w.maintenance = true },
	},
	"cancel": {
		do:      func(ctx context.Context, c *octopus.Client) error { return c.CancelTask(ctx, "ServerTasks-1") },
		applied: func(w *world) bool { return w.tasks[0].State == "Cancelling" },
	},
}

type strike = func(http.ResponseWriter, *http.Request) bool

// only strikes changes; reads go through.
func only(f strike) strike {
	return func(w http.ResponseWriter, r *http.Request) bool { return r.Method != http.MethodGet && f(w, r) }
}

func answering(status int, kind, text string) strike {
	return func(w http.ResponseWriter, _ *http.Request) bool { reply(w, status, kind, text); return true }
}

// hang holds the answer back until the client has gone.
func hang(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }

// half begins an answer and breaks the connection.
func half(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Content-Length", "500")
	_, _ = w.Write([]byte(`{"Id":"` + key))
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// TestChanges: each change works, fails unapplied and fails applied, and is never sent twice.
func TestChanges(t *testing.T) {
	t.Parallel()
	const page = "<html>" + key + "</html>"
	cases := map[string]struct {
		before, after strike
		applied       bool
		want          error // nil: success
		plain         bool  // a Fault without a kind
	}{
		"works":                     {applied: true},
		"lost_unapplied":            {before: only(cut), want: procedure.ErrNoReply},
		"lost_applied":              {after: only(cut), applied: true, want: procedure.ErrNoReply},
		"slow_unapplied":            {before: only(hang), want: procedure.ErrNoReply},
		"slow_applied":              {after: only(hang), applied: true, want: procedure.ErrNoReply},
		"half_applied":              {after: only(half), applied: true, want: procedure.ErrNoReply},
		"500_unapplied":             {before: only(answering(500, "application/json", `{"ErrorMessage":"Deadlock"}`)), want: procedure.ErrNoReply},
		"502_applied":               {after: only(answering(502, "text/html", page)), applied: true, want: procedure.ErrNoReply},
		"503_unapplied":             {before: only(answering(503, "text/html", page)), want: procedure.ErrNoReply},
		"504_applied":               {after: only(answering(504, "text/html", page)), applied: true, want: procedure.ErrNoReply},
		"html_unapplied":            {before: only(answering(200, "text/html", page)), want: procedure.ErrUnreadable},
		"cut_json_applied":          {after: only(answering(200, "application/json", `{"Id":"`+key)), applied: true, want: procedure.ErrUnreadable},
		"400_unapplied":             {before: only(answering(400, "application/json", `{"ErrorMessage":"Not so."}`)), plain: true},
		"409_unapplied":             {before: only(answering(409, "application/json", `{"ErrorMessage":"Changed meanwhile."}`)), want: procedure.ErrUnreachable},
		"401_unapplied":             {before: only(answering(401, "application/json", `{"ErrorMessage":"Who?"}`)), want: procedure.ErrDenied},
		"403_unapplied":             {before: only(answering(403, "text/html", page)), want: procedure.ErrDenied},
		"404_of_a_stranger":         {before: only(answering(404, "text/html", page)), want: procedure.ErrUnreadable},
		"redirected_elsewhere":      {before: only(redirect("https://elsewhere.example/login?key=" + key)), want: procedure.ErrUnreachable},
		"429_until_patience_is_out": {before: only(limited("40")), want: procedure.ErrUnreachable},
	}
	for what, change := range changes {
		for name, tc := range cases {
			t.Run(what+"/"+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld()
				w.tasks = []task{{"ServerTasks-1", "Executing", ""}}
				if change.begin != nil {
					change.begin(w)
				}
				w.before, w.after = tc.before, tc.after
				speed := 100.0
				if name == "429_until_patience_is_out" {
					speed = 1000
				}
				err := change.do(t.Context(), serve(t, w, speed))
				checkFault(t, err, tc.want, tc.plain)
				w.with(func(w *world) {
					if got := change.applied(w); got != tc.applied {
						t.Errorf("applied: %t, want %t", got, tc.applied)
					}
					if w.taskCap != 5 {
						t.Errorf("the task cap became %d", w.taskCap)
					}
				})
				if sent := w.count("PUT") + w.count("POST"); sent != 1 && !strings.HasPrefix(name, "429") {
					t.Errorf("sent %d times", sent)
				}
			})
		}
	}
}

func redirect(to string) strike {
	return func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, to, http.StatusFound)
		return true
	}
}

func limited(after string) strike {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", after)
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
}

// checkFault: the kind is the wanted one, there is a remedy, and no secret is in the text.
func checkFault(t *testing.T, err, want error, plain bool) {
	t.Helper()
	if want == nil && !plain {
		if err != nil {
			t.Errorf("error: %v", err)
		}
		return
	}
	var fault *procedure.Fault
	if !errors.As(err, &fault) {
		t.Errorf("not a Fault: %v", err)
		return
	}
	if fault.Kind != want {
		t.Errorf("kind %v, want %v: %v", fault.Kind, want, err)
	}
	if fault.Subject == "" || fault.Remedy == "" {
		t.Errorf("no subject or no remedy: %v", err)
	}
	if strings.Contains(err.Error(), "CANARY") {
		t.Errorf("a secret or a body in: %v", err)
	}
}

func TestTaskCapAndFalseAreSent(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 7} {
		w := newWorld()
		w.taskCap, w.drained = limit, true
		c := serve(t, w, 20)
		if err := c.SetDrain(t.Context(), "web 1", false); err != nil {
			t.Fatal(err)
		}
		if w.drained || w.taskCap != limit {
			t.Errorf("drained %t, task cap %d, want %d", w.drained, w.taskCap, limit)
		}
	}
}

func TestChangeOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := serve(t, w, 20)
	checkFault(t, c.SetDrain(t.Context(), "WEB 9", true), nil, true)
	checkFault(t, c.CancelTask(t.Context(), "ServerTasks-9"), nil, true)
	if w.writes != 0 {
		t.Errorf("%d writes", w.writes)
	}
}

// TestSuccessThatIsNone: an answer of 200 that shows the world unchanged is no success.
func TestSuccessThatIsNone(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.before = only(func(out http.ResponseWriter, r *http.Request) bool {
		r.Method = http.MethodGet // like a proxy that turns a PUT into a GET
		status, text := w.act(r, nil)
		return answering(status, "application/json", text)(out, r)
	})
	c := serve(t, w, 20)
	checkFault(t, c.SetDrain(t.Context(), "WEB 1", true), procedure.ErrUnreadable, false)
	checkFault(t, c.SetMaintenanceMode(t.Context(), true), procedure.ErrUnreadable, false)
}

func TestChangeGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld()
	ctx, cancel := context.WithCancelCause(t.Context())
	signal := errors.New("interrupted")
	w.before = only(func(http.ResponseWriter, *http.Request) bool { cancel(signal); return false })
	w.after = only(hang)
	c := serve(t, w, 1)
	err := c.SetMaintenanceMode(ctx, true)
	checkFault(t, err, procedure.ErrNoReply, false)
	if !errors.Is(err, signal) {
		t.Errorf("the cause is not told: %v", err)
	}
	checkFault(t, c.SetMaintenanceMode(ctx, true), nil, true) // its read was not begun any more
}

func TestThrottledChangeIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"", "2", "soon", "Sun, 06 Nov 1994 08:49:37 GMT"} {
		w, warnings, turned := newWorld(), 0, 0
		w.before = only(func(out http.ResponseWriter, r *http.Request) bool {
			turned++
			return turned < 3 && limited(after)(out, r)
		})
		c := serve(t, w, 200, func(o *octopus.Options) { o.Warn = func(string) { warnings++ } })
		if err := c.SetMaintenanceMode(t.Context(), true); err != nil || !w.maintenance || w.writes != 1 {
			t.Errorf("%q: %v, %d writes", after, err, w.writes)
		}
		if warnings != 2 {
			t.Errorf("%q: %d warnings", after, warnings)
		}
	}
}
