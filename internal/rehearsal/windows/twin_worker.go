package windows

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// workRun is one run of the worker.
type workRun struct {
	*twin
	filter object
	mode   string
	log    *os.File
	result object
}

// passing are the errors that the worker takes for temporary.
var passing = []string{
	"0x8024401C", "0x8024401F", "0x80244020", "0x80244021", "0x80244022", "0x80244023", "0x8024402C", "0x80244010",
	"0x8024001B", "0x80240009", "0x8024001E", "0x8024001F", "0x80240438", "0x80248007",
	"0x80072EE2", "0x80072EE7", "0x80072EFD", "0x80072EFE", "0x80D02002",
}

func twinWorker(t *twin) error {
	order := t.readWork("work.json")
	log, err := os.OpenFile(t.file("progress.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	w := &workRun{
		twin: t, filter: objectOf(order, "filter"), mode: textOf(order, "mode"), log: log,
		result: object{"job": textOf(order, "job"), "updates": []any{}, "outcomes": []any{}, "reboot": false, "code": "", "problem": "", "next": ""},
	}
	if err := w.work(); err != nil {
		if t.ctx.Err() != nil {
			return err // the machine went down, or the task was ended
		}
		var own *stop
		if !errors.As(err, &own) {
			w.result["code"] = errorCode(err)
		}
		w.result["problem"] = wordsOf(err)
	}
	return t.writeJSON("result.json", w.result)
}

func (w *workRun) stage(stage, title, kb string, index, count, percent int) {
	text, err := json.Marshal(object{"stage": stage, "title": title, "kb": kb, "index": index, "count": count, "percent": percent})
	if err == nil {
		fmt.Fprintf(w.log, "%s\n", text)
	}
}

func (w *workRun) work() error {
	if !slices.Contains([]string{"scan", "download", "install"}, w.mode) {
		return &stop{"", "there is no mode " + w.mode, ""}
	}
	if err := w.m.updateClass(); err != nil {
		return err
	}
	found, err := w.search()
	if err != nil {
		return err
	}
	var taken []*offer
	list, seen := []any{}, map[string]bool{}
	for _, u := range found {
		if seen[u.ID] {
			continue
		}
		seen[u.ID] = true
		o := &offer{updateView: u}
		o.facts = o.describe()
		skip := w.skip(o)
		o.facts["skip"] = skip
		list = append(list, o.facts)
		if skip == "" {
			taken = append(taken, o)
		}
	}
	w.result["updates"] = list
	if w.mode != "scan" {
		slices.SortStableFunc(taken, func(a, b *offer) int { return rank(a.Exclusive) - rank(b.Exclusive) })
		if err := w.install(w.download(taken)); err != nil {
			return err
		}
	}
	if err := allow(w.system); err != nil {
		return err
	}
	if w.m.rebootRequired() {
		w.result["reboot"] = true
	}
	return w.ctx.Err()
}

// rank puts exclusive updates first: they are mostly what the others need.
func rank(exclusive bool) int {
	if exclusive {
		return 0
	}
	return 1
}

// search asks again after an error that passes by itself.
func (w *workRun) search() ([]updateView, error) {
	title := ""
	for try := 1; ; try++ {
		w.stage("search", title, "", 0, 0, 0)
		found, err := w.searchOnce()
		if err == nil {
			return found, nil
		}
		code := errorCode(err)
		if w.ctx.Err() != nil || try >= 6 || !slices.Contains(passing, code) {
			return nil, err
		}
		title = fmt.Sprintf("again, attempt %d: %s", try+1, code)
		if err := w.sleep(min(time.Duration(15*try)*time.Second, time.Minute)); err != nil {
			return nil, err
		}
	}
}

func (w *workRun) searchOnce() ([]updateView, error) {
	if err := allow(w.system); err != nil {
		return nil, err
	}
	switch source := textOf(w.filter, "source"); source {
	case "default", "wsus", "windows-update":
	case "microsoft-update":
		return nil, &stop{"", "Microsoft Update is not registered on this host", ""}
	default:
		return nil, &stop{"", "there is no update source " + source, ""}
	}
	found, err := w.m.search(w.ctx)
	if err != nil {
		return nil, err
	}
	return w.m.views(found), nil
}
