package winhost

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/octopatch/octopatch/internal/procedure"
)

const doneText = `{"state":"done","line":3,"code":"","result":{"job":"j1","updates":[],"outcomes":[
	{"id":"u1","title":"Rollup","kbs":["5001"],"step":"install","result":"succeeded","code":"","reboot":true,"words":"","next":"","succeeded":true},
	{"id":"u2","title":"Driver","kbs":["5002"],"step":"install","result":"failed","code":"0x80070643","reboot":false,"words":"","next":"","succeeded":false}],
	"reboot":true,"code":"","problem":"","next":""}}`

func order() procedure.WorkOrder {
	return procedure.WorkOrder{Job: "j1", Mode: procedure.WorkInstall, Keep: true, Stall: 20 * time.Minute}
}

func work(h *Host, order procedure.WorkOrder, seen *[]string) (procedure.WorkResult, error) {
	return h.Work(context.Background(), procedure.Change{Run: "r1", Counter: 1}, order, func(p procedure.WorkProgress) {
		*seen = append(*seen, p.Stage+p.KB)
	})
}

func TestWorkIsOneCommand(t *testing.T) {
	t.Parallel()
	h, f := newFake(t, func(_ int, a asked) error {
		a.say("progress", `{"line":1,"work":{"stage":"search"}}`)
		a.say("progress", `{"line":2,"work":{"stage":"install","kb":"5001"}}`)
		a.say("progress", `{"line":2,"alive":"CBS.log"}`)
		a.say("progress", `"not one of ours"`)
		a.say("answer", doneText)
		return nil
	})
	var seen []string
	got, err := work(h, order(), &seen)
	if err != nil {
		t.Fatal(err)
	}
	if h.Commands() != 1 || !cmp.Equal(seen, []string{"search", "install5001"}) {
		t.Errorf("%d commands, progress %v", h.Commands(), seen)
	}
	if !got.Reboot || got.Outcomes[0].Words != "" || got.Outcomes[1].Words != hresults["0x80070643"].words || got.Outcomes[1].Next == "" {
		t.Errorf("got %+v", got)
	}
	r := f.all[0].request
	if r["job"] != "j1" || r["mode"] != "install" || !strings.Contains(r["worker"].(string), "Microsoft.Update.Session") || r["change"] == nil {
		t.Errorf("asked %v", r)
	}
}

func TestWorkWithoutARunSendsNoChange(t *testing.T) {
	t.Parallel()
	h, f := newFake(t, func(_ int, a asked) error { a.say("answer", doneText); return nil })
	if _, err := h.Work(context.Background(), procedure.Change{}, order(), func(procedure.WorkProgress) {}); err != nil {
		t.Fatal(err)
	}
	if change, there := f.all[0].request["change"]; !there || change != nil {
		t.Errorf("the change is %v, want null", change)
	}
}

// A broken connection costs nothing: the worker is followed from the line that was seen last.
func TestWorkGoesOnAfterALostReply(t *testing.T) {
	t.Parallel()
	h, f := newFake(t, func(n int, a asked) error {
		switch n {
		case 1:
			a.say("progress", `{"line":1,"work":{"stage":"search"}}`)
			a.say("progress", `{"line":2,"work":{"stage":"install","kb":"5001"}}`)
			return noReply()
		case 2, 3:
			return unreachable()
		case 4:
			a.say("progress", `{"line":3,"work":{"stage":"install","kb":"5002"}}`)
			a.say("answer", `{"state":"running","line":3,"code":"","result":null}`)
			return nil
		}
		a.say("answer", doneText)
		return nil
	})
	var seen []string
	if _, err := work(h, order(), &seen); err != nil {
		t.Fatal(err)
	}
	if want := []string{"work", "follow", "follow", "follow", "follow"}; !cmp.Equal(f.names(), want) {
		t.Errorf("ran %v", f.names())
	}
	if want := []string{"search", "install5001", "install5002"}; !cmp.Equal(seen, want) {
		t.Errorf("progress %v, each line once", seen)
	}
	if f.all[3].request["line"] != 2.0 || f.all[4].request["line"] != 3.0 {
		t.Errorf("followed from %v and %v", f.all[3].request["line"], f.all[4].request["line"])
	}
}

// The request may be lost before it did anything: the host shows no trace, and it is sent again.
func TestWorkIsSentAgainWhenItLeftNoTrace(t *testing.T) {
	t.Parallel()
	h, f := newFake(t, func(n int, a asked) error {
		switch n {
		case 1:
			return noReply()
		case 2:
			a.say("answer", `{"state":"gone","line":0,"code":"","result":null}`)
			return nil
		}
		a.say("answer", doneText)
		return nil
	})
	var seen []string
	if _, err := work(h, order(), &seen); err != nil {
		t.Fatal(err)
	}
	if want := []string{"work", "follow", "work"}; !cmp.Equal(f.names(), want) {
		t.Errorf("ran %v", f.names())
	}
}

func TestWorkEndsWhenTheWorkerIsNeverThere(t *testing.T) {
	t.Parallel()
	h, _ := newFake(t, func(_ int, a asked) error {
		a.say("answer", `{"state":"gone","line":0,"code":"","result":null}`)
		return nil
	})
	var seen []string
	if _, err := work(h, order(), &seen); !errors.Is(err, procedure.ErrNoReply) || h.Commands() != launches {
		t.Errorf("after %d commands: %v", h.Commands(), err)
	}
}

func TestWorkerThatDied(t *testing.T) {
	t.Parallel()
	h, _ := newFake(t, func(_ int, a asked) error {
		a.say("answer", `{"state":"died","line":0,"code":"0x00041306","result":null}`)
		return nil
	})
	var seen []string
	got, err := work(h, order(), &seen)
	if err != nil || got.Code != "0x00041306" || got.Problem == "" || got.Next == "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestStuckIsNotSlow(t *testing.T) {
	t.Parallel()
	o := order()
	o.Stall = 20 * time.Minute
	silent := func(a asked) error { <-a.ctx.Done(); return context.Cause(a.ctx) }
	cases := []struct {
		name  string
		reply func(n int, a asked) error
		want  error
	}{
		{"stuck", func(n int, a asked) error {
			if n == 1 {
				return silent(a)
			}
			a.say("answer", `{"state":"running","line":0,"code":"","result":null}`)
			return nil
		}, procedure.ErrTimeout},
		{"host_is_gone", func(n int, a asked) error {
			if n == 1 {
				return silent(a)
			}
			return unreachable()
		}, procedure.ErrNoReply},
		{"ended_in_silence", func(n int, a asked) error {
			if n == 1 {
				return silent(a)
			}
			a.say("answer", doneText)
			return nil
		}, nil},
		{"slow", func(n int, a asked) error {
			for range 4 {
				time.Sleep(400 * time.Millisecond) // some seven minutes of the clock
				a.say("progress", `{"line":0,"alive":"TiWorker"}`)
			}
			a.say("answer", doneText)
			return nil
		}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, _ := newFake(t, c.reply)
			var seen []string
			if _, err := work(h, o, &seen); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestWorkResultOfAnotherJob(t *testing.T) {
	t.Parallel()
	h, _ := newFake(t, func(_ int, a asked) error {
		a.say("answer", strings.Replace(doneText, `"j1"`, `"j0"`, 1))
		return nil
	})
	var seen []string
	if _, err := work(h, order(), &seen); !errors.Is(err, procedure.ErrUnreadable) {
		t.Errorf("got %v", err)
	}
}

func TestWorkEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	h, _ := newFake(t, func(_ int, a asked) error { cancel(); return noReply() })
	if _, err := h.Work(ctx, procedure.Change{}, order(), func(procedure.WorkProgress) {}); err == nil || h.Commands() != 1 {
		t.Errorf("after %d commands: %v", h.Commands(), err)
	}
}
