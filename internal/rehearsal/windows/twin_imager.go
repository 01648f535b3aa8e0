package windows

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// imageRun is one pass of the task that stands for imager.ps1.
type imageRun struct {
	*twin
	p      process
	order  object
	share  bool
	folder string // of the image, as Windows spells it
	where  string // what wbadmin is told
	result object
}

func twinImager(t *twin) error {
	order := t.readWork("image.json")
	target := textOf(order, "target")
	r := &imageRun{twin: t, p: process{ctx: t.ctx, system: t.system}, order: order, share: strings.HasPrefix(target, `\\`), folder: target + `\` + textOf(order, "name"), where: target,
		result: object{"job": textOf(order, "job"), "found": false, "versionId": "", "warning": "", "problem": "", "unfit": false, "left": []any{}}}
	if r.share {
		r.where = r.folder
	}
	if err := r.work(); err != nil {
		if t.ctx.Err() != nil {
			return err
		}
		r.result["problem"] = wordsOf(err)
	}
	return t.writeJSON("image-result.json", r.result)
}

func (r *imageRun) unfit(format string, a ...any) error {
	r.result["unfit"] = true
	return &stop{"", fmt.Sprintf(format, a...), ""}
}

func (r *imageRun) work() error {
	if _, err := os.Stat(r.m.feature()); err != nil {
		return r.unfit("the feature Windows Server Backup is not installed; Install-WindowsFeature Windows-Server-Backup installs it")
	}
	action, target := textOf(r.order, "action"), textOf(r.order, "target")
	if place, err := r.m.away(r.p, target); action != "check" && (err != nil || !isThere(place)) {
		return &stop{"", "SYSTEM cannot reach " + target, ""}
	}
	switch action {
	case "check":
		if err := r.assertFree(); err != nil {
			return err
		}
		if err := r.assertTarget(); err != nil {
			return err
		}
		return r.left()
	case "find":
		found, err := r.find()
		r.result["found"] = found
		return err
	case "take":
		found, err := r.find()
		if err == nil && !found {
			err = r.take()
		}
		r.result["found"] = err == nil
		return err
	case "remove":
		return r.remove()
	default:
		return &stop{"", "there is no action " + action, ""}
	}
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (r *imageRun) assertFree() error {
	if job := r.m.backupJob(); job != nil {
		return r.unfit("Windows Server Backup is at work already: %s", job["operation"])
	}
	return nil
}

func (r *imageRun) assertTarget() error {
	target := textOf(r.order, "target")
	need, free, there := int64(0), int64(0), r.share
	for _, v := range r.m.volumes() {
		if v.Critical && strings.EqualFold(v.Path, target) {
			return r.unfit("%s is one of the volumes that the image is of", target)
		}
		if v.Critical {
			need += v.Total - v.Free
		}
		if strings.EqualFold(v.Path, target) {
			there, free = true, v.Free
		}
	}
	if !there {
		return r.unfit("there is no volume %s", target)
	}
	err := r.probe(target)
	if err == nil && r.share {
		free, err = r.m.shareSpace(r.p, target)
	}
	if err != nil {
		who := ""
		if r.share {
			who = fmt.Sprintf("; the share and its folder must let the computer account %s$ write and delete", r.m.computer)
		}
		return r.unfit("SYSTEM cannot use %s: %s%s", target, err, who)
	}
	if free < need {
		return r.unfit("%s has %d GB free, and the critical volumes hold %d GB", target, free/gigabyte, (need+gigabyte-1)/gigabyte)
	}
	return nil
}

// probe makes a directory and removes it again.
func (r *imageRun) probe(target string) error {
	place, err := r.m.away(r.p, target+`\octopatch-preflight-`+r.m.computer)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(place, 0o755), os.RemoveAll(place))
}

// marker is the one in a folder, nil where there is none of this computer.
func (r *imageRun) marker(folder string) (object, error) {
	place, err := r.m.away(r.p, folder)
	if err != nil {
		return nil, nil //nolint:nilerr // Test-Path says no
	}
	text, err := os.ReadFile(filepath.Join(place, "octopatch.json"))
	if err != nil {
		return nil, nil //nolint:nilerr // it is not there
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, err
	}
	if !strings.EqualFold(textOf(o, "computer"), r.m.computer) {
		return nil, nil
	}
	return o, nil
}

func (r *imageRun) mark(state, version string) error {
	place, err := r.m.away(r.p, r.folder)
	if err != nil {
		return err
	}
	text, err := json.Marshal(object{"name": textOf(r.order, "name"), "description": textOf(r.order, "description"), "computer": r.m.computer, "state": state, "version": version})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(place, "octopatch.json"), text, 0o600)
}

// versions are those that a machine can be restored from.
func (r *imageRun) versions() ([]setView, error) {
	all, err := r.m.versions(r.p, r.where)
	return slices.DeleteFunc(all, func(s setView) bool { return !strings.Contains(s.Items, "BareMetalRecovery") }), err
}

func (r *imageRun) find() (bool, error) {
	m, err := r.marker(r.folder)
	if err != nil || m == nil || textOf(m, "state") != "complete" {
		return false, err
	}
	r.result["versionId"] = textOf(m, "version")
	all, err := r.versions()
	return slices.ContainsFunc(all, func(s setView) bool { return s.Version == textOf(m, "version") }), err
}

func (r *imageRun) left() error {
	place, err := r.m.away(r.p, textOf(r.order, "target"))
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(place)
	if err != nil {
		return err
	}
	list := []any{}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), "octopatch-") {
			continue
		}
		m, err := r.marker(textOf(r.order, "target") + `\` + e.Name())
		if err != nil {
			return err
		}
		if m != nil {
			list = append(list, object{"name": textOf(m, "name"), "description": textOf(m, "description")})
		}
	}
	r.result["left"] = list
	return nil
}

func (r *imageRun) remove() error {
	place, err := r.m.away(r.p, r.folder)
	if err != nil {
		return nil //nolint:nilerr // Test-Path says no
	}
	if _, err := os.Stat(place); err != nil {
		return nil //nolint:nilerr // it is not there
	}
	switch m, err := r.marker(r.folder); {
	case err != nil:
		return err
	case m == nil:
		return &stop{"", r.folder + " holds no marker of this computer, so it is left alone", ""}
	}
	return os.RemoveAll(place)
}

func (r *imageRun) take() error {
	if err := r.assertFree(); err != nil {
		return err
	}
	place, err := r.m.away(r.p, r.folder)
	if err != nil {
		return err
	}
	if _, err := os.Stat(place); err != nil {
		if err := os.MkdirAll(place, 0o755); err != nil {
			return err
		}
	} else if m, err := r.marker(r.folder); err != nil || m == nil {
		if err == nil {
			err = &stop{"", r.folder + " is there already, and is not of this computer", ""}
		}
		return err
	}
	if err := r.mark("taking", ""); err != nil {
		return err
	}
	began := r.m.clock.Now().Add(r.m.skew())
	output, code := r.m.wbadmin(r.p, []string{"start", "backup", "-backupTarget:" + r.where, "-allCritical", "-vssCopy", "-quiet"})
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	lines := strings.Split(output, "\r\n")
	said := fmt.Sprintf("wbadmin ended with %d: %s", code, strings.TrimRight(lines[len(lines)-1], "."))
	all, err := r.versions()
	if err != nil {
		said += "; " + err.Error()
	}
	all = slices.DeleteFunc(all, func(s setView) bool { return time.Unix(s.Time, 0).Before(began.Add(-time.Minute)) })
	if len(all) == 0 {
		if err := r.remove(); err != nil {
			return err
		}
		return &stop{"", said + ", and left no image that a machine can be restored from", ""}
	}
	if code != 0 {
		r.result["warning"] = said
	}
	version := all[len(all)-1].Version
	r.result["versionId"] = version
	return r.mark("complete", version)
}
