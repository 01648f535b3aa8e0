package windows

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

const ourImage = "octopatch-r1-OCTO-01"

// image is what a run asks about disk images.
func image(action, target string) step {
	return step{"image", map[string]any{"action": action, "name": ourImage, "description": "octopatch: node OCTO-01", "target": target, "worker": scripts.Text("imager"), "follow": 1200}}
}

// imageCells ask for each action, at a share and at a volume.
func imageCells(s state) []cell {
	var list []cell
	add := func(name, action, target string) {
		one := image(action, target)
		if s.lease != "" {
			one = leased(one, s.lease)
		}
		list = append(list, cell{name, one})
	}
	for _, action := range []string{"check", "take", "find", "remove", "stop"} {
		add("imager "+action, action, BackupShare)
	}
	if s.narrow {
		return list
	}
	for _, action := range []string{"check", "take", "find", "remove"} {
		add("image "+action+" E:", action, BackupVolume)
	}
	if s.name == imageStates()[0].name {
		add("image check C:", "check", "C:")
		add("image check Q:", "check", "Q:")
	}
	return list
}

func withBackup(f func(b *backup)) func(testing.TB, *Machine) {
	return locked(func(m *Machine) { f(&m.backup) })
}

// withImage is a marker in the folder of a name, and a version that it may stand for.
func withImage(target, name, computer, state string, version bool) func(testing.TB, *Machine) {
	return func(t testing.TB, m *Machine) {
		dir := filepath.Join(m.place(target), name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if computer != "" {
			text := `{"name":"` + name + `","description":"octopatch: node, expires 2026-12-13T02:00:00Z","computer":"` + computer + `","state":"` + state + `","version":"11/25/2026-10:00"}`
			if err := os.WriteFile(filepath.Join(dir, "octopatch.json"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if target == BackupVolume {
			dir = m.place(target)
		}
		if version {
			withBackup(func(b *backup) {
				b.sets = append(b.sets, backupSet{dir, "11/25/2026-10:00", bareMetal, time.Unix(1764064800, 0)})
			})(t, m)
		}
	}
}

// withOrder is the task of an earlier process, with what it left.
func withOrder(number int, result uint32, job, action string, ended bool) func(testing.TB, *Machine) {
	files := map[string]any{"image.json": map[string]any{"job": job, "action": action, "name": ourImage, "target": BackupShare}}
	if ended {
		files["image-result.json"] = map[string]any{"job": job, "found": true, "versionId": "", "warning": "", "problem": "", "unfit": false, "left": []any{}}
	}
	return both(withTask(number, result, files), locked(func(m *Machine) { m.findTask(workerFolder, workerName).name = imageName }))
}

// imageStates are what a host can be like that is asked for a disk image.
func imageStates() []state {
	return []state{
		{name: "Windows Server Backup"},
		{narrow: true, name: "no Windows Server Backup", prepare: func(t testing.TB, m *Machine) {
			if err := os.Remove(m.feature()); err != nil {
				t.Fatal(err)
			}
		}},
		{narrow: true, name: "share not there", prepare: withBackup(func(b *backup) { b.lost = true })},
		{name: "too little room", prepare: withBackup(func(b *backup) { b.free = 20 * gigabyte })},
		{narrow: true, name: "backup at work", prepare: withBackup(func(b *backup) { b.foreign = true })},
		{name: "image fails", faults: "image-fails"},
		{narrow: true, name: "image with warnings", faults: "image-warns"},
		{name: "image taken", prepare: both(withImage(BackupShare, ourImage, "OCTO-01", "complete", true), withImage(BackupVolume, ourImage, "OCTO-01", "complete", true))},
		{name: "image begun", prepare: both(withImage(BackupShare, ourImage, "OCTO-01", "taking", false), withImage(BackupVolume, ourImage, "OCTO-01", "taking", false))},
		{name: "version vanished", prepare: both(withImage(BackupShare, ourImage, "OCTO-01", "complete", false), withImage(BackupVolume, ourImage, "OCTO-01", "complete", false))},
		{narrow: true, name: "version of files only", prepare: both(withImage(BackupShare, ourImage, "OCTO-01", "complete", true), withBackup(func(b *backup) { b.sets[0].items = "Volumes, Files" }))},
		{name: "image of another computer", prepare: both(withImage(BackupShare, ourImage, "SQL01", "complete", true), withImage(BackupVolume, ourImage, "SQL01", "complete", true))},
		{name: "folder of nobody", prepare: both(withImage(BackupShare, ourImage, "", "", false), withImage(BackupVolume, ourImage, "", "", false))},
		{name: "images of earlier runs", prepare: both(withImage(BackupShare, "octopatch-r0-OCTO-01", "OCTO-01", "complete", true), withImage(BackupShare, "octopatch-r0-OCTO-02", "OCTO-02", "complete", true),
			withImage(BackupShare, "somebody-else", "OCTO-01", "complete", false), withImage(BackupVolume, "octopatch-r00-OCTO-01", "OCTO-01", "taking", false))},
		{narrow: true, name: "image being taken", prepare: withOrder(taskRunning, taskStillRuns, "take "+ourImage, "take", false)},
		{narrow: true, name: "another image being taken", prepare: withOrder(taskRunning, taskStillRuns, "take octopatch-r0-OCTO-01", "take", false)},
		{narrow: true, name: "a look under way", prepare: withOrder(taskRunning, taskStillRuns, "check octopatch-r0-OCTO-01", "check", false)},
		{narrow: true, name: "answer not fetched", prepare: withOrder(taskReady, 0, "take "+ourImage, "take", true)},
		{narrow: true, name: "image task died", prepare: withOrder(taskReady, taskKilled, "take "+ourImage, "take", false)},
		{narrow: true, name: "image task never ran", prepare: withOrder(taskReady, taskNeverRan, "find "+ourImage, "find", false)},
		{narrow: true, name: "image in another's lease", prepare: withLease("other", 0, false)},
		{narrow: true, name: "image in our lease", prepare: withLease("mine", 0, false), lease: "mine"},
		{narrow: true, name: "image, lease taken over", prepare: withLease("other", 0, false), lease: "mine"},
		{narrow: true, name: "image, foreign folder", faults: "foreign-folder"},
	}
}
