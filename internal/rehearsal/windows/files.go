package windows

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// guarded is a directory whose access list was set; file tells it from a later one of the same name.
type guarded struct {
	sddl string
	file fs.FileInfo
}

// inherited is what a directory below ProgramData has when nobody says otherwise.
const inherited = "O:BAG:SYD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;0x1200a9;;;BU)(A;CIID;DCLCRPCR;;;BU)"

// makeDirectory creates a directory with an access list. As with DirectoryInfo.Create, one that exists is
// left as it is and is no error.
func (m *Machine) makeDirectory(path, sddl string) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return m.guard(path, sddl)
}

func (m *Machine) guard(path, sddl string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.security[filepath.Clean(path)] = guarded{sddl: sddl, file: info}
	return nil
}

// accessList is the security descriptor of a directory.
func (m *Machine) accessList(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", com(0x80070002)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if g, ok := m.security[filepath.Clean(path)]; ok && os.SameFile(g.file, info) {
		return g.sddl, nil
	}
	return inherited, nil
}

// allFiles lists what lies below ProgramData.
func (m *Machine) allFiles() []string {
	var names []string
	_ = filepath.WalkDir(m.folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == m.folder {
			return nil //nolint:nilerr // what is gone by now is not left over
		}
		if name, err := filepath.Rel(m.folder, path); err == nil {
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	slices.Sort(names)
	return names
}
