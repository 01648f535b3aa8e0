package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	workerFolder = `\octopatch`
	workerName   = "worker"
)

// worker is our scheduled task, nil when it is absent; a copy, so that it can be looked at without the lock.
func (p *process) worker() *task {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	t := p.m.findTask(workerFolder, workerName)
	if t == nil {
		return nil
	}
	c := *t
	return &c
}

func (p *process) stopWorker() error {
	for range 60 {
		t := p.worker()
		if t == nil || !t.running {
			return nil
		}
		if w := p.readWork("work.json"); w == nil || w["mode"] == "install" {
			job := "?"
			if w != nil {
				job = fmt.Sprint(w["job"])
			}
			return &stop{"busy", fmt.Sprintf("the worker of job %s is still installing", job), ""}
		}
		p.m.StopTask(workerFolder, workerName)
		if err := p.sleep(time.Second); err != nil {
			return err
		}
	}
	return &stop{"busy", "the worker does not end", ""}
}

func twinWork(p *process) error {
	if err := p.openFolder(); err != nil {
		return err
	}
	if p.change() != nil {
		if _, err := p.updateJournal(nil); err != nil {
			return err
		}
	}
	job := p.request["job"]
	same := p.readWork("work.json")["job"] == job
	done := same && p.readWork("result.json")["job"] == job
	t := p.worker()
	if !done && (!same || t == nil || !t.running) {
		if err := p.startWorker(); err != nil {
			return err
		}
	}
	return twinFollow(p)
}

func (p *process) startWorker() error {
	if err := p.stopWorker(); err != nil {
		return err
	}
	for _, name := range []string{"progress.jsonl", "result.json"} {
		if err := os.Remove(p.file(name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	work, err := json.Marshal(object{"job": p.request["job"], "mode": p.request["mode"], "filter": p.request["filter"]})
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"worker.ps1": p.text("worker"), "work.json": string(work)} {
		if err := writeText(p.file(name), text); err != nil {
			return err
		}
	}
	p.m.RegisterTask(workerFolder, workerName, systemRoot+`\System32\WindowsPowerShell\v1.0\powershell.exe`, "")
	return p.m.RunTask(workerFolder, workerName)
}

func twinFollow(p *process) error {
	from, _ := p.request["line"].(float64)
	line := int(from)
	deadline := p.m.clock.Now().Add(p.seconds("follow"))
	sampled, activity := p.m.clock.Now(), p.activity()
	idle, over := 0, 0
	for {
		t := p.worker()
		runs := t != nil && t.running
		mine := p.readWork("work.json")["job"] == p.request["job"]
		if mine {
			line = p.progress(line)
		}
		result := p.readWork("result.json")
		ended := mine && result["job"] == p.request["job"]
		if ended {
			over++
		}
		if ended && (!runs || over >= 15) {
			return p.complete("done", line, result, "")
		}
		if !mine {
			return p.complete("gone", line, nil, "")
		}
		if runs {
			idle = 0
		} else if idle++; idle >= 3 {
			code := ""
			if t != nil {
				code = fmt.Sprintf("0x%08X", t.Result)
			}
			return p.complete("died", line, nil, code)
		}
		if !p.m.clock.Now().Before(deadline) {
			return p.complete("running", line, nil, "")
		}
		if p.m.clock.Since(sampled) >= 30*time.Second {
			if now := p.activity(); now != activity {
				p.line("progress", object{"line": line, "alive": now})
				activity = now
			}
			sampled = p.m.clock.Now()
		}
		if err := p.sleep(2 * time.Second); err != nil {
			return err
		}
	}
}

// progress hands on the lines of the worker's file that are new.
func (p *process) progress(from int) int {
	text, err := readText(p.file("progress.jsonl"))
	if err != nil {
		return from
	}
	lines := strings.Split(text, "\n")
	for i := from; i < len(lines)-1; i++ {
		var work object
		if json.Unmarshal([]byte(lines[i]), &work) == nil {
			p.line("progress", object{"line": i + 1, "work": work})
		}
	}
	return max(from, len(lines)-1)
}

func (p *process) activity() string {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	return fmt.Sprintf("%d bytes in CBS.log, %d s of processor time", p.m.update.cbsLog, int(p.m.update.cpu))
}

func (p *process) complete(state string, line int, result object, code string) error {
	keep, _ := p.request["keep"].(bool)
	if _, err := os.Stat(p.journalPath()); !keep && state != "running" && os.IsNotExist(err) {
		_ = p.m.DeleteTask(workerFolder, workerName) // absent is as good
		if err := p.removeFolder(); err != nil {
			return err
		}
	}
	var r any
	if result != nil {
		r = result
	}
	return p.answer(object{"state": state, "line": line, "result": r, "code": code})
}

// ---- the worker itself ----

type workRun struct {
	p      *process
	filter object
	mode   string
	log    *os.File
	result object
}

// passing are the errors that the worker takes for temporary.
var passing = []string{"0x8024401C", "0x8024401F", "0x80244020", "0x80244021", "0x80244022", "0x80244023", "0x8024402C", "0x80244010", "0x8024001B", "0x80240009", "0x8024001E", "0x8024001F", "0x80240438", "0x80248007", "0x80072EE2", "0x80072EE7", "0x80072EFD", "0x80072EFE", "0x80D02002"}

func twinWorker(p *process) error {
	order := p.readWork("work.json")
	log, err := os.OpenFile(p.file("progress.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	filter, _ := order["filter"].(object)
	w := &workRun{p: p, filter: filter, log: log, result: object{"job": order["job"], "updates": []any{}, "outcomes": []any{}, "reboot": false, "code": "", "problem": "", "next": ""}}
	w.mode, _ = order["mode"].(string)
	if err := w.work(); err != nil {
		if p.ctx.Err() != nil {
			return err
		}
		code, message := uint32(0x80131501), err.Error()
		if e, ok := asWindows(err); ok {
			code, message = e.Code, e.Message
		}
		w.result["code"], w.result["problem"] = fmt.Sprintf("0x%08X", code), message
	}
	text, err := json.Marshal(w.result)
	if err != nil {
		return err
	}
	return writeText(p.file("result.json"), string(text))
}

func (w *workRun) stage(stage string, u *Update, index, count, percent int) {
	title, kb := "", ""
	if u != nil {
		title, kb = u.Title, u.KB
	}
	text, err := json.Marshal(object{"stage": stage, "title": title, "kb": kb, "index": index, "count": count, "percent": percent})
	if err == nil {
		fmt.Fprintf(w.log, "%s\n", text)
	}
}

func (w *workRun) work() error {
	updates, err := w.search()
	if err != nil {
		return err
	}
	var taken []*Update
	list := []any{}
	facts := map[string]object{}
	for i := range updates {
		u := &updates[i]
		skip := w.skip(u)
		facts[u.ID] = u.facts(skip)
		list = append(list, facts[u.ID])
		if skip == "" {
			taken = append(taken, u)
		}
	}
	w.result["updates"] = list
	if w.mode != "scan" {
		slices.SortStableFunc(taken, func(a, b *Update) int { return boolInt(b.Exclusive) - boolInt(a.Exclusive) })
		if err := w.install(w.download(taken, facts)); err != nil {
			return err
		}
	}
	w.p.m.mu.Lock()
	defer w.p.m.mu.Unlock()
	if w.p.m.update.rebootRequired {
		w.result["reboot"] = true
	}
	return w.p.ctx.Err()
}

// asWindows is the error with an HRESULT behind err.
func asWindows(err error) (*winError, bool) {
	var e *winError
	ok := errors.As(err, &e)
	return e, ok
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (w *workRun) search() ([]Update, error) {
	for try := 1; ; try++ {
		w.stage("search", nil, 0, 0, 0)
		updates, err := w.p.m.Search(w.p.ctx, w.p.system)
		e, ok := asWindows(err)
		if err == nil || !ok || try >= 6 || !slices.Contains(passing, fmt.Sprintf("0x%08X", e.Code)) {
			return updates, err
		}
		if err := w.p.sleep(min(time.Duration(15*try)*time.Second, time.Minute)); err != nil {
			return nil, err
		}
	}
}

var titleKB = regexp.MustCompile(`\bKB(\d{6,})`)

func (u *Update) kbs() []string {
	if u.KB != "" {
		return []string{u.KB}
	}
	if m := titleKB.FindStringSubmatch(u.Title); m != nil {
		return []string{m[1]}
	}
	return []string{}
}

func (u *Update) facts(skip string) object {
	return object{"id": u.ID, "title": u.Title, "kbs": u.kbs(), "bytes": u.Bytes, "classification": u.Class, "definition": u.Class == classDefinition, "downloaded": u.Downloaded, "skip": skip}
}

var product = regexp.MustCompile(`\b(SQL Server|Exchange Server)\b`)

// skip is the reason why an update is not taken.
func (w *workRun) skip(u *Update) string {
	for _, kb := range u.kbs() {
		if slices.Contains(texts(w.filter["exclude"]), kb) {
			return "excluded: KB" + kb
		}
	}
	if u.UserInput {
		return "may ask somebody at the screen"
	}
	for _, kb := range u.kbs() {
		if slices.Contains(texts(w.filter["include"]), kb) {
			return ""
		}
	}
	found := product.FindString(u.Product)
	if found == "" {
		found = product.FindString(u.Title)
	}
	switch {
	case u.Driver:
		return "driver"
	case u.BrowseOnly:
		return "optional"
	case found != "":
		return "product: " + found
	case !slices.Contains(texts(w.filter["classifications"]), u.Class):
		return "classification not chosen: " + u.Class
	}
	return ""
}

func (w *workRun) download(taken []*Update, facts map[string]object) []*Update {
	var ready []*Update
	for i, u := range taken {
		o := w.step(u, "download", i+1, len(taken))
		ok, _ := o["succeeded"].(bool)
		facts[u.ID]["downloaded"] = ok
		if ok {
			ready = append(ready, u)
		}
		if !ok || w.mode == "download" {
			w.add(o)
		}
	}
	return ready
}

func (w *workRun) add(o object) {
	list, _ := w.result["outcomes"].([]any)
	w.result["outcomes"] = append(list, o)
}

func (w *workRun) install(ready []*Update) error {
	if w.mode == "download" {
		return nil
	}
	for i, u := range ready {
		o := w.step(u, "install", i+1, len(ready))
		if w.p.ctx.Err() != nil {
			return w.p.ctx.Err()
		}
		w.add(o)
		reboot, _ := o["reboot"].(bool)
		if reboot {
			w.result["reboot"] = true
		}
		if reboot && u.Exclusive {
			return nil
		}
	}
	return nil
}

// step hands one update to the agent, and again where the error passes by itself.
func (w *workRun) step(u *Update, step string, index, count int) object {
	again := []string{"0x80240009"}
	if step == "download" {
		again = passing
	}
	for try := 1; ; try++ {
		w.stage(step, u, index, count, (index-1)*100/count)
		o := w.once(u, step)
		code, _ := o["code"].(string)
		if ok, _ := o["succeeded"].(bool); ok || try >= 4 || !slices.Contains(again, code) {
			w.stage(step, u, index, count, index*100/count)
			return o
		}
		if w.p.sleep(time.Duration(30*try)*time.Second) != nil {
			return o
		}
	}
}

func (w *workRun) once(u *Update, step string) object {
	do := w.p.m.Download
	if step == "install" {
		do = w.p.m.Install
	}
	out, err := do(w.p.ctx, w.p.system, u.ID)
	if e, ok := asWindows(err); ok {
		out = Outcome{4, e.Code, false}
	}
	result := map[int]string{2: "succeeded", 3: "succeeded-with-errors", 4: "failed", 5: "aborted"}[out.ResultCode]
	if result == "" {
		result = "failed"
	}
	code := ""
	if out.HResult != 0 {
		code = fmt.Sprintf("0x%08X", out.HResult)
	}
	return object{"id": u.ID, "title": u.Title, "kbs": u.kbs(), "step": step, "result": result, "code": code, "reboot": out.Reboot, "words": "", "next": "", "succeeded": out.ResultCode == 2 || out.ResultCode == 3}
}
