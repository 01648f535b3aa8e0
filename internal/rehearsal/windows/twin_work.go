package windows

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func twinWork(t *twin) error {
	if err := t.assertUnclaimed(); err != nil {
		return err
	}
	if err := t.openFolder(); err != nil {
		return err
	}
	if t.change() != nil {
		if _, err := t.updateJournal(nil); err != nil {
			return err
		}
	}
	if goesOn := t.isOurs("work.json") && (t.isOurs("result.json") || t.workerRuns()); !goesOn {
		if err := t.startWorker(); err != nil {
			return err
		}
	}
	return twinFollow(t)
}

// isOurs: the file is whole and of this job.
func (t *twin) isOurs(name string) bool { return textOf(t.readWork(name), "job") == t.text("job") }

func (t *twin) startWorker() error {
	if err := t.stopWorker(); err != nil {
		return err
	}
	for _, name := range []string{"progress.jsonl", "result.json"} {
		if err := os.Remove(t.file(name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	if err := t.write("worker.ps1", t.text("worker")); err != nil {
		return err
	}
	if err := t.writeJSON("work.json", object{"job": t.request["job"], "mode": t.request["mode"], "filter": t.request["filter"]}); err != nil {
		return err
	}
	if err := t.registerTask(workerName, ""); err != nil {
		return err
	}
	if err := t.m.runTask(workerFolder, workerName); err != nil {
		return err
	}
	return t.waitStarted(300 * time.Second)
}

func twinFollow(t *twin) error {
	clock := t.m.clock
	line := t.number("line")
	deadline := clock.Now().Add(t.seconds("follow"))
	sampled, activity := clock.Now(), t.activity()
	renewed := clock.Now()
	idle, over := 0, 0
	for {
		task := t.worker()
		runs := task.runs()
		mine := t.isOurs("work.json")
		if mine {
			line = t.progress(line)
		}
		ended := mine && t.isOurs("result.json")
		if ended {
			over++
		}
		if runs {
			idle = 0
		} else {
			idle++
		}
		switch {
		case ended && (!runs || over >= 15):
			return t.complete("done", line, t.readWork("result.json"), "")
		case !mine:
			return t.complete("gone", line, nil, "")
		case idle >= 3 && task != nil:
			return t.complete("died", line, nil, hresult(task.result))
		case idle >= 3:
			return t.complete("died", line, nil, "")
		case !clock.Now().Before(deadline):
			return t.complete("running", line, nil, "")
		}
		if clock.Since(sampled) >= 30*time.Second {
			now := t.activity()
			if now != activity {
				t.line("progress", object{"line": line, "alive": now})
			}
			sampled, activity = clock.Now(), now
		}
		if clock.Since(renewed) >= 240*time.Second {
			if err := t.updateLease(); err != nil {
				return err
			}
			renewed = clock.Now()
		}
		if err := t.sleep(2 * time.Second); err != nil {
			return err
		}
	}
}

// progress hands on the lines of the worker's file that are whole and new.
func (t *twin) progress(from int) int {
	text, err := os.ReadFile(t.file("progress.jsonl"))
	if err != nil {
		return from
	}
	lines := strings.Split(string(text), "\n")
	for i := from; i < len(lines)-1; i++ {
		var work object
		if json.Unmarshal([]byte(lines[i]), &work) == nil {
			t.line("progress", object{"line": i + 1, "work": work})
		}
	}
	return max(from, len(lines)-1)
}

// activity changes as long as Windows downloads or its own installer does something.
func (t *twin) activity() string {
	size, seconds := int64(0), 0.0
	if info, err := os.Stat(t.m.cbsLog()); err == nil {
		size = info.Size()
	}
	for _, p := range t.m.installers() {
		seconds += math.Floor(p.CPU)
	}
	return fmt.Sprintf("%d bytes downloaded, %d bytes in CBS.log, %.0f s of processor time", t.downloaded(), size, seconds)
}

// downloaded counts the bytes of what Windows Update has fetched.
func (t *twin) downloaded() (bytes int64) {
	_ = filepath.WalkDir(t.m.downloads(), func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			if info, err := entry.Info(); err == nil { // it may be gone by now
				bytes += info.Size()
			}
		}
		return nil
	})
	return bytes
}

// complete answers; where nothing claims what the worker left behind, it goes first.
func (t *twin) complete(state string, line int, result object, code string) error {
	if !t.flag("keep") && state != "running" && !t.exists(journalFile) && !t.exists(leaseFile) {
		if err := t.removeTask(workerName); err != nil {
			return err
		}
		if err := t.removeFolder(false); err != nil {
			return err
		}
	}
	var r any // a nil object would not be null
	if result != nil {
		r = result
	}
	return t.answer(object{"state": state, "line": line, "result": r, "code": code})
}
