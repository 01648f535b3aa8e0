package windows

import (
	"os"
	"slices"
	"strings"
	"time"
)

const imageName = "image"

var imageFiles = []string{"image.ps1", "image.json", "image-result.json"}

// imageState is running, new (it has not begun yet), over or absent.
func (t *twin) imageState() string {
	one := t.task(imageName)
	switch {
	case one == nil:
		return "absent"
	case one.state == taskRunning || one.state == taskQueued:
		return "running"
	case one.result == taskNeverRan || one.result == taskIsQueued:
		return "new"
	}
	return "over"
}

func (t *twin) removeImageFiles() error {
	for _, name := range imageFiles {
		if err := os.Remove(t.file(name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// stopImage ends a task that only looks.
func (t *twin) stopImage(order object) error {
	action, job := textOf(order, "action"), textOf(order, "job")
	if order == nil {
		action, job = "take", "?"
	}
	deadline := t.m.clock.Now().Add(time.Minute)
	for t.imageState() == "running" {
		if slices.Contains([]string{"take", "remove"}, action) || !t.m.clock.Now().Before(deadline) {
			return &stop{"busy", `the task \octopatch\image is still at work: ` + job, ""}
		}
		if err := t.m.stopTask(workerFolder, imageName); err != nil {
			return err
		}
		if err := t.sleep(time.Second); err != nil {
			return err
		}
	}
	return nil
}

func (t *twin) startImage(job string) error {
	if err := t.removeImageFiles(); err != nil {
		return err
	}
	if err := t.write("image.ps1", t.text("worker")); err != nil {
		return err
	}
	if err := t.writeJSON("image.json", object{"job": job, "action": t.text("action"), "name": t.text("name"), "description": t.text("description"), "target": t.text("target")}); err != nil {
		return err
	}
	if err := t.registerTask(imageName, ""); err != nil {
		return err
	}
	return t.m.runTask(workerFolder, imageName)
}

// completeImage answers; what the task left behind goes first, unless it is still at work.
func (t *twin) completeImage(end string, result object, code string) error {
	if end != "running" {
		if err := t.removeTask(imageName); err != nil {
			return err
		}
		if err := t.removeImageFiles(); err != nil {
			return err
		}
		if !t.exists(journalFile) && !t.exists(leaseFile) {
			if err := t.removeFolder(false); err != nil {
				return err
			}
		}
	}
	var r any // a nil object would not be null
	if result != nil {
		r = result
	}
	return t.answer(object{"state": end, "result": r, "code": code})
}

func twinImage(t *twin) error {
	if err := t.assertUnclaimed(); err != nil {
		return err
	}
	if err := t.openFolder(); err != nil {
		return err
	}
	job, order := t.text("action")+" "+t.text("name"), t.readWork("image.json")
	if t.text("action") == "stop" {
		job = "take " + t.text("name")
		if t.imageState() == "running" && textOf(order, "job") == job {
			t.m.wbadmin(process{ctx: t.ctx}, []string{"stop", "job", "-quiet"})
		} else if textOf(t.readWork("image-result.json"), "job") != job {
			return t.completeImage("idle", nil, "")
		}
		return t.followImage(job)
	}
	begun := slices.Contains([]string{"running", "new"}, t.imageState()) || textOf(t.readWork("image-result.json"), "job") == job
	if textOf(order, "job") != job || !begun {
		if err := t.stopImage(order); err != nil {
			return err
		}
		if err := t.startImage(job); err != nil {
			return err
		}
	}
	return t.followImage(job)
}

func (t *twin) followImage(job string) error {
	clock := t.m.clock
	began, renewed, asked := clock.Now(), clock.Now(), clock.Now()
	said, over, idle := "", 0, 0
	for {
		state := t.imageState()
		if result := t.readWork("image-result.json"); textOf(result, "job") == job {
			if over++; state != "running" || over >= 15 {
				return t.completeImage("done", result, "")
			}
		}
		if state == "running" || state == "new" && clock.Since(began) < 300*time.Second {
			idle = 0
		} else {
			idle++
		}
		switch {
		case idle >= 3:
			code := ""
			if one := t.task(imageName); one != nil {
				code = hresult(one.result)
			}
			return t.completeImage("died", nil, code)
		case clock.Since(began) >= t.seconds("follow"):
			return t.completeImage("running", nil, "")
		}
		if strings.HasPrefix(job, "take ") && clock.Since(asked) >= 10*time.Second {
			if now := t.m.backupJob(); now != nil && now["operation"] != said {
				said, _ = now["operation"].(string)
				t.line("progress", object{"said": said})
			}
			asked = clock.Now()
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
