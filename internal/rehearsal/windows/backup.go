package windows

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What the machine has for disk images besides its own volumes.
const (
	BackupShare  = `\\BACKUP\images` // lets computer accounts in, and no network logon
	BackupVolume = "E:"
	gigabyte     = int64(1) << 30
)

// bareMetal is what an image can bring back that holds the critical volumes.
const bareMetal = "Volumes, SystemState, Applications, Files, BareMetalRecovery"

// backupSet is one version at a target.
type backupSet struct {
	target, version, items string
	time                   time.Time
}

// backup is the state of Windows Server Backup.
type backup struct {
	sets    []backupSet
	foreign bool // somebody else's job runs
	percent int  // of ours; -1: none runs
	stop    context.CancelFunc
	lost    bool  // the share cannot be reached
	free    int64 // at every target
	takes   time.Duration
}

func (m *Machine) makeBackup() error {
	m.backup.percent, m.backup.free, m.backup.takes = -1, 500*gigabyte, 24*time.Minute
	for _, dir := range []string{m.feature(), m.place(BackupShare), m.place(BackupVolume)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// feature is the directory that comes with Windows Server Backup.
func (m *Machine) feature() string { return filepath.Join(m.Modules(), "WindowsServerBackup") }

// Modules is where PowerShell's own modules lie.
func (m *Machine) Modules() string {
	return filepath.Join(m.systemRoot(), "System32", "WindowsPowerShell", "v1.0", "Modules")
}

// place is where the machine keeps what a path on a share or another volume means.
func (m *Machine) place(path string) string {
	return filepath.Join(m.o.Dir, "away", filepath.FromSlash(strings.ReplaceAll(strings.ReplaceAll(strings.ToUpper(path), ":", ""), `\`, "/")))
}

// errNoShare is what Windows says of a share that it cannot get to.
var errNoShare = errors.New("The network path was not found.") //nolint:staticcheck // Windows' own words

// away is where a path leads for a process; a network logon cannot pass its credentials on to a share.
func (m *Machine) away(p process, path string) (string, error) {
	m.mu.Lock()
	lost := m.backup.lost
	m.mu.Unlock()
	path = strings.TrimRight(path, `\`)
	root := BackupVolume
	if strings.HasPrefix(path, `\\`) {
		if root = BackupShare; lost || !p.system {
			return "", errNoShare
		}
	}
	if !strings.HasPrefix(strings.ToUpper(path)+`\`, strings.ToUpper(root)+`\`) {
		return "", errNoShare
	}
	// The names in it keep their letters: a directory is listed by them.
	return filepath.Join(m.place(root), filepath.FromSlash(strings.ReplaceAll(path[len(root):], `\`, "/"))), nil
}

// shareSpace is what a share has room for.
func (m *Machine) shareSpace(p process, path string) (int64, error) {
	if _, err := m.away(p, path); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.backup.free, nil
}

// volume is one as Windows Server Backup lists it.
type volume struct {
	Path     string `json:"path"`
	Critical bool   `json:"critical"`
	Free     int64  `json:"free"`
	Total    int64  `json:"total"`
}

func (m *Machine) volumes() []volume {
	m.mu.Lock()
	defer m.mu.Unlock()
	return []volume{
		{"", true, 70 << 20, 500 << 20}, // the system partition has no letter
		{"C:", true, m.freeBytes(), 127 * gigabyte},
		{BackupVolume, false, m.backup.free, 1000 * gigabyte},
	}
}

// backupJob is what Windows Server Backup is at, or nil.
func (m *Machine) backupJob() map[string]any {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.backup.percent >= 0:
		return map[string]any{"state": "Running", "operation": fmt.Sprintf("Volume 2 (%d%%) of 2 volume(s).", m.backup.percent)}
	case m.backup.foreign:
		return map[string]any{"state": "Running", "operation": "Volume 1 (12%) of 3 volume(s)."}
	}
	return nil
}

// setView is a version as Get-WBBackupSet shows it.
type setView struct {
	Version string `json:"version"`
	Time    int64  `json:"time"`
	Items   string `json:"items"`
}

// versions are those at a target.
func (m *Machine) versions(p process, target string) ([]setView, error) {
	if _, err := m.away(p, target); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []setView{}
	for _, s := range m.backup.sets {
		if _, err := os.Stat(s.target); err == nil && s.target == m.targetLocked(target) {
			list = append(list, setView{s.version, s.time.Unix(), s.items})
		}
	}
	return list, nil
}

// targetLocked is the place of a target that can be reached.
func (m *Machine) targetLocked(target string) string {
	root := BackupVolume
	if strings.HasPrefix(target, `\\`) {
		root = BackupShare
	}
	return filepath.Join(m.place(root), filepath.FromSlash(strings.ReplaceAll(target[min(len(root), len(target)):], `\`, "/")))
}

// wbadmin is wbadmin.exe.
func (m *Machine) wbadmin(p process, args []string) (output string, exit int) {
	switch line := strings.ToLower(strings.Join(args, " ")); {
	case line == "stop job -quiet":
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.backup.stop == nil {
			return "ERROR - No operation is running.", -3
		}
		m.backup.stop()
		return "The operation was stopped.", 0
	case strings.HasPrefix(line, "start backup -backuptarget:") && len(args) == 6 && strings.HasSuffix(line, " -allcritical -vsscopy -quiet"):
		_, target, _ := strings.Cut(args[2], ":")
		return m.makeImage(p, target)
	}
	return "ERROR - The command is not complete or not correct.", -1
}

// makeImage is wbadmin start backup.
func (m *Machine) makeImage(p process, target string) (output string, exit int) {
	place, err := m.away(p, target)
	if err != nil {
		return "ERROR - " + err.Error(), -3
	}
	m.mu.Lock()
	if m.backup.percent >= 0 || m.backup.foreign {
		m.mu.Unlock()
		return "ERROR - Another backup or recovery operation is in progress.", -3
	}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	m.backup.percent, m.backup.stop = 0, cancel
	began, takes := m.clock.Now(), m.backup.takes
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.backup.percent, m.backup.stop = -1, nil
	}()
	const steps = 10
	for i := range steps {
		if m.has("image-fails") && i == steps/2 {
			return "ERROR - There is not enough disk space to create the volume shadow copy.\r\nThe backup operation stopped before completing.", -3
		}
		if m.clock.Sleep(ctx, takes/steps) != nil {
			return "The backup operation was stopped.", -2
		}
		m.mu.Lock()
		m.backup.percent = 100 * (i + 1) / steps
		m.mu.Unlock()
	}
	m.took("image", began)
	m.mu.Lock()
	defer m.mu.Unlock()
	if strings.HasPrefix(target, `\\`) { // a share keeps one version in a folder
		m.backup.sets = slices.DeleteFunc(m.backup.sets, func(s backupSet) bool { return s.target == place })
	}
	m.backup.sets = append(m.backup.sets, backupSet{place, began.UTC().Format("01/02/2006-15:04"), bareMetal, m.clock.Now().Add(m.skew())})
	if m.has("image-warns") {
		return "The backup operation completed with warnings.", -5
	}
	return "The backup operation successfully completed.", 0
}

// Images lists what lies at the targets: the folders of a name, and how many versions there are.
func (m *Machine) Images() []string {
	var names []string
	for _, root := range []string{BackupShare, BackupVolume} {
		entries, _ := os.ReadDir(m.place(root))
		for _, e := range entries {
			names = append(names, root+`\`+e.Name())
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.backup.sets {
		if _, err := os.Stat(s.target); err == nil {
			names = append(names, "a version")
		}
	}
	return names
}
