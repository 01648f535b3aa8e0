package windows

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const folderSecurity = "O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"

var (
	descriptor = regexp.MustCompile(`^O:([A-Z]{2}|S-[0-9-]+)G:(?:[A-Z]{2}|S-[0-9-]+)?D:([A-Z]*)((?:\([^()]*\))+)$`)
	protected  = regexp.MustCompile(`^(?:AI|AR)*P`)
	trustees   = []string{"BA", "SY", "S-1-5-32-544", "S-1-5-18"}
)

// folderState is "absent", "ours", or why the folder cannot be trusted.
func (t *twin) folderState() (string, error) {
	info, err := os.Lstat(t.folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "absent", nil
	case err != nil:
		return "", err
	}
	target, err := os.Stat(t.folder)
	switch {
	case err != nil || !target.IsDir():
		return "is a file", nil //nolint:nilerr // a link to nowhere is no directory
	case info.Mode()&(os.ModeSymlink|os.ModeIrregular) != 0:
		return "is a reparse point", nil
	}
	sddl, err := t.m.accessList(t.folder)
	if err != nil {
		return "", err
	}
	return judge(sddl), nil
}

// judge is "ours" for a descriptor that lets nobody but SYSTEM and Administrators in.
func judge(sddl string) string {
	found := descriptor.FindStringSubmatch(sddl)
	switch {
	case found == nil:
		return "has an access list that cannot be read: " + sddl
	case !slices.Contains(trustees, found[1]):
		return "is owned by " + found[1]
	case !protected.MatchString(found[2]):
		return "inherits access from its parent"
	}
	for entry := range strings.SplitSeq(strings.Trim(found[3], "()"), ")(") {
		field := strings.Split(entry, ";")
		if field[0] != "A" || !slices.Contains(trustees, field[len(field)-1]) {
			return "grants access beyond SYSTEM and Administrators: " + entry
		}
	}
	return "ours"
}

// trustFolder refuses a folder that is there and not ours; found says whether it is there.
func (t *twin) trustFolder() (found bool, err error) {
	state, err := t.folderState()
	switch {
	case err != nil:
		return false, err
	case state == "absent":
		return false, nil
	case state != "ours":
		return false, &stop{"folder", t.folder + " " + state, ""}
	}
	return true, nil
}

func (t *twin) openFolder() error {
	if err := t.m.makeDirectory(t.folder, folderSecurity); err != nil {
		return err
	}
	_, err := t.trustFolder()
	return err
}

func (t *twin) file(name string) string { return filepath.Join(t.folder, name) }

func (t *twin) exists(name string) bool {
	_, err := os.Stat(t.file(name))
	return err == nil
}

func (t *twin) write(name, text string) error {
	path := t.file(name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (t *twin) writeJSON(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return t.write(name, string(text))
}

// readWork reads one of the worker's files, nil when it is absent or not whole.
func (t *twin) readWork(name string) object {
	text, err := os.ReadFile(t.file(name))
	if err != nil {
		return nil
	}
	var o object
	if json.Unmarshal(text, &o) != nil {
		return nil
	}
	return o
}
