package windows

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// point is the machine as it was when a snapshot was taken: its disks, without its memory.
type point struct {
	name     string
	services []service
	tasks    []*task
	was      []task // as the tasks were
	folders  map[string]string
	registry map[string]*key
	updates  []update
	files    map[string][]byte // below ProgramData; a directory has none
	sddl     map[string]string
	database func() // puts back what of Octopus' database lies on the disks; nil: none of it does
}

// ErrNoPoint: there is no snapshot of that name.
var ErrNoPoint = errors.New("there is no snapshot of that name")

// Points lists the snapshots, oldest first.
func (m *Machine) Points() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, p := range m.points {
		names = append(names, p.name)
	}
	return names
}

// TakePoint takes a snapshot of the disks.
func (m *Machine) TakePoint(name string) error {
	err := m.takePoint(name)
	if err == nil {
		m.log("snapshot take", name, "applied")
	}
	return err
}

func (m *Machine) takePoint(name string) error {
	files, err := m.readFiles()
	if err != nil {
		return err
	}
	var database func()
	if m.o.SaveDatabase != nil {
		database = m.o.SaveDatabase()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.capture()
	p.name, p.files, p.database = name, files, database
	m.points = append(m.points, p)
	return nil
}

// capture is the machine as its disks hold it, without what lies below ProgramData. The caller holds the lock.
func (m *Machine) capture() *point {
	p := &point{folders: maps.Clone(m.folders), registry: map[string]*key{}, sddl: map[string]string{}}
	for _, s := range m.services {
		p.services = append(p.services, *s)
	}
	for _, t := range m.tasks {
		p.tasks, p.was = append(p.tasks, t), append(p.was, *t)
	}
	for id, k := range m.registry {
		p.registry[id] = k.copy()
	}
	for _, u := range m.updates {
		p.updates = append(p.updates, *u)
	}
	for path, g := range m.security {
		if info, err := os.Lstat(path); err == nil && os.SameFile(g.file, info) {
			p.sddl[path] = g.sddl
		}
	}
	return p
}

func (k *key) copy() *key {
	c := *k
	c.values = maps.Clone(k.values)
	return &c
}

// RemovePoint removes a snapshot; its machine goes on as it is.
func (m *Machine) RemovePoint(name string) error {
	err := m.removePoint(name)
	if err == nil {
		m.log("snapshot remove", name, "applied")
	}
	return err
}

func (m *Machine) removePoint(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.points, func(p *point) bool { return p.name == name })
	if i < 0 {
		return ErrNoPoint
	}
	m.points = slices.Delete(m.points, i, i+1)
	return nil
}

// RevertTo cuts the machine's power, whatever it does, puts its disks back and powers it on. It returns once the
// machine begins to boot.
func (m *Machine) RevertTo(name string) error {
	if !slices.Contains(m.Points(), name) {
		return ErrNoPoint
	}
	m.log("snapshot revert", name, "applied")
	err := m.applyPoint(name)
	if err == nil {
		m.powerOn()
	}
	return err
}

// powerOn lets a machine boot that is off.
func (m *Machine) powerOn() { m.spawn(m.boot) }

// applyPoint cuts the machine's power and puts its disks back; it stays off.
func (m *Machine) applyPoint(name string) error {
	m.mu.Lock()
	i := slices.IndexFunc(m.points, func(p *point) bool { return p.name == name })
	if i < 0 {
		m.mu.Unlock()
		return ErrNoPoint
	}
	p := m.points[i]
	m.power++ // a restart that is on its way ends here
	if m.pending != nil {
		m.pending()
		m.pending = nil
	}
	for _, s := range m.services {
		m.set(s, stateStopped)
	}
	m.up, m.leaving = false, true
	m.shutdown()
	m.mu.Unlock()
	if m.o.Down != nil {
		m.o.Down()
	}
	if err := m.clock.Sleep(m.life, revertTakes); err != nil {
		return err
	}
	if err := m.writeFiles(p); err != nil {
		return err
	}
	if p.database != nil {
		p.database()
	}
	m.mu.Lock()
	m.putBack(p)
	m.mu.Unlock()
	return nil
}

const revertTakes = 30 * time.Second

// putBack puts back what a disk holds. The caller holds the lock.
func (m *Machine) putBack(p *point) {
	for i, was := range p.services {
		s := m.services[i] // services come and go with nobody
		s.start, s.delayed, s.path = was.start, was.delayed, was.path
	}
	m.tasks = slices.Clone(p.tasks)
	for i, t := range m.tasks {
		*t = p.was[i]
		t.stop = nil
		if t.state == taskRunning {
			t.state = taskReady
		}
	}
	m.folders = maps.Clone(p.folders)
	m.registry = map[string]*key{}
	for id, k := range p.registry {
		m.registry[id] = k.copy()
	}
	m.dropVolatile()
	for i := range p.updates {
		installs := m.updates[i].installs
		*m.updates[i] = p.updates[i]
		m.updates[i].installs = installs // the world counts what was done, not what is left of it
	}
	m.agent = agent{}
}

// readFiles reads everything below ProgramData.
func (m *Machine) readFiles() (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(m.folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == m.folder:
			return nil
		case d.IsDir():
			files[path] = nil
			return nil
		}
		text, err := os.ReadFile(path)
		files[path] = append([]byte{}, text...)
		return err
	})
	return files, err
}

// writeFiles makes ProgramData what it was.
func (m *Machine) writeFiles(p *point) error {
	entries, err := os.ReadDir(m.folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(m.folder, e.Name())); err != nil {
			return err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(p.files)) {
		if text := p.files[path]; text == nil {
			err = os.MkdirAll(path, 0o700)
		} else {
			err = os.WriteFile(path, text, 0o600)
		}
		if err != nil {
			return err
		}
		if sddl := p.sddl[path]; sddl != "" {
			if err := m.guard(path, sddl); err != nil {
				return err
			}
		}
	}
	return nil
}
