package windows

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// workRun is one run of the worker.
type workRun struct {
	*twin
	filter object
	mode   string
	log    *os.File
	result object
	broken string // what is wrong with the updates that cannot be told apart
}

// passing are the errors that the worker takes for temporary.
var passing = []string{
	"0x8024401C", "0x8024401F", "0x80244020", "0x80244021", "0x80244022", "0x80244023", "0x8024402C", "0x80244010",
	"0x8024001B", "0x80240009", "0x8024001E", "0x8024001F", "0x80240438", "0x80248007", "0x8024200D", "0x800706BA",
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
		result: object{"job": textOf(order, "job"), "updates": []any{}, "outcomes": []any{}, "reboot": false, "code": "", "problem": "", "next": "", "warnings": []any{}, "free": int64(0), "need": int64(0)},
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

// stop ends the work with a problem of our own and what to do about it.
func (w *workRun) stop(next, problem string) error {
	w.result["next"] = next
	return &stop{"", problem, ""}
}

func (w *workRun) work() error {
	if !slices.Contains([]string{"scan", "download", "install"}, w.mode) {
		return &stop{"", "there is no mode " + w.mode, ""}
	}
	if err := w.m.updateClass(); err != nil {
		return err
	}
	views, err := w.search()
	if err != nil {
		return err
	}
	taken := w.choose(views)
	free, need := w.measure(taken)
	if w.mode != "install" {
		if err := w.stopBroken(); err != nil {
			return err
		}
	}
	if w.mode != "scan" {
		if free < need {
			return w.stop("free space on the system drive (Disk Cleanup, DISM /Online /Cleanup-Image /StartComponentCleanup), then run again",
				fmt.Sprintf("%d MB are free on the system drive, and the updates need some %d MB", free>>20, (need+1<<20-1)>>20))
		}
		slices.SortStableFunc(taken, func(a, b *offer) int { return rank(a.Exclusive) - rank(b.Exclusive) })
		if err := w.install(w.download(taken)); err != nil {
			return err
		}
	}
	if err := w.stopBroken(); err != nil {
		return err
	}
	if err := allow(w.system); err != nil {
		return err
	}
	if w.m.rebootRequired() {
		w.result["reboot"] = true
	}
	return w.ctx.Err()
}

// choose judges every update that is on offer.
func (w *workRun) choose(views []updateView) (taken []*offer) {
	list, seen, missing := []any{}, map[string]bool{}, 0
	for _, u := range views {
		if u.Broken {
			missing++
			continue
		}
		if seen[u.ID] {
			continue
		}
		seen[u.ID] = true
		o := &offer{updateView: u}
		o.facts = o.describe()
		skip, same := w.skip(o), strings.ToLower(o.Title+"|"+strings.Join(o.kbs(), ","))
		if skip == "" && seen[same] {
			skip = "on offer twice"
		}
		o.facts["skip"] = skip
		list = append(list, o.facts)
		if skip == "" {
			seen[same] = true
			taken = append(taken, o)
		}
	}
	w.result["updates"] = list
	w.broken = ""
	if missing > 0 {
		w.broken = fmt.Sprintf("Windows describes %d of %d updates without their Title, Categories", missing, len(views))
	}
	return taken
}

// stopBroken ends the work where updates could not be told apart.
func (w *workRun) stopBroken() error {
	if w.broken == "" {
		return nil
	}
	return w.stop("reboot the host; if it stays, install its latest cumulative update by hand (KB5040527 mends a known case), then run again", w.broken)
}

// measure is what is free on the system drive, and what the updates need there.
func (w *workRun) measure(taken []*offer) (free, need int64) {
	for _, o := range taken {
		times := int64(3)
		if o.Downloaded {
			times = 2
		}
		need += times * min(o.Bytes, 4<<30)
	}
	free = w.m.freeBytes()
	w.result["free"], w.result["need"] = free, need
	return free, need
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
		if w.ctx.Err() != nil || !again(code, try, 6) {
			return nil, err
		}
		title = fmt.Sprintf("again, attempt %d: %s", try+1, code)
		if err := w.sleep(min(time.Duration(15*try)*time.Second, time.Minute)); err != nil {
			return nil, err
		}
	}
}

// again says whether an error may be tried again after so many attempts.
func again(code string, tries, most int) bool {
	if code == "0x80248007" {
		most = 2
	}
	return tries < most && slices.Contains(passing, code)
}

func (w *workRun) searchOnce() ([]updateView, error) {
	if err := allow(w.system); err != nil {
		return nil, err
	}
	source := textOf(w.filter, "source")
	selection, ok := map[string]int{"default": 0, "wsus": 1, "windows-update": 2, "microsoft-update": 3}[source]
	switch {
	case !ok:
		return nil, &stop{"", "there is no update source " + source, ""}
	case source == "microsoft-update" && !w.m.registered(microsoftUpdate):
		return nil, w.stop("let its administrator turn on updates for other Microsoft products there, or set OCTOPATCH_UPDATE_SOURCE=default", "Microsoft Update is not registered on this host")
	}
	f, err := w.m.search(w.ctx, selection, microsoftUpdate)
	if err != nil {
		return nil, err
	}
	for _, one := range f.Warnings {
		list, _ := w.result["warnings"].([]any)
		w.result["warnings"] = append(list, hresult(uint32(one.HResult))+" "+one.Message)
	}
	return f.Updates, nil
}
