package precaution

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/rehearsal/windows"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

func newImage(t *testing.T, faults, target string) (Image, *windows.Machine) {
	m, open, clk := newHost(t, faults)
	return Image{Open: open, Target: target, Worker: scripts.Text("imager"), Clock: clk}, m
}

// nothingLeft holds the host against what every call must leave: no file, no task.
func nothingLeft(t *testing.T, m *windows.Machine) {
	t.Helper()
	if s := m.Snapshot(); len(s.Tasks) > 0 || len(s.Files) > 0 {
		t.Errorf("left on the host: %q, %q", s.Tasks, s.Files)
	}
}

// TestImage takes, finds and removes images at a share and on a volume, and prints what lies there in between.
func TestImage(t *testing.T) {
	t.Parallel()
	for _, target := range []string{windows.BackupShare, strings.ToLower(windows.BackupShare), windows.BackupVolume} {
		t.Run(target[:2], func(t *testing.T) {
			t.Parallel()
			i, m := newImage(t, "", target)
			ctx, p := context.Background(), point("1", "run1")
			p.Expires = p.Taken.Add(72 * time.Hour)
			check := func(want ...procedure.Leftover) {
				t.Helper()
				if left, err := i.Check(ctx, p.Machine); err != nil || !slices.Equal(left, want) {
					t.Errorf("check: %v, %v; want %v", left, err, want)
				}
				nothingLeft(t, m)
			}
			check()
			if found, err := i.Find(ctx, p); found || err != nil {
				t.Errorf("found before it was taken: %t, %v", found, err)
			}
			var mu sync.Mutex
			var said []string
			progress := func(text string) {
				mu.Lock()
				defer mu.Unlock()
				said = append(said, text)
			}
			for range 2 { // the second time finds it
				if err := i.Take(ctx, p, progress); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("taken: %q; progress: %q", m.Images(), said)
			if text := strings.Join(said, "\n"); !strings.Contains(text, "Windows Server Backup: Volume 2 (") || !strings.Contains(text, "the disk image is version ") {
				t.Errorf("progress: %q", said)
			}
			if found, err := i.Find(ctx, p); !found || err != nil {
				t.Errorf("not found: %v", err)
			}
			check(procedure.Leftover{Name: p.Name, Expires: p.Expires})
			err := i.Revert(ctx, p, quiet)
			wants(t, err, procedure.ErrRefused, "the machine has to boot from other media")
			wants(t, err, procedure.ErrRefused, "OCTOPATCH_NODE=OCTO-01 octopatch start, and then exit")
			for range 2 { // the second time there is nothing to remove
				if shared := target[0] == '\\'; shared {
					wants(t, i.Remove(ctx, p), nil, "")
				} else {
					wants(t, i.Remove(ctx, p), procedure.ErrByHand, "as versions of each other")
				}
			}
			t.Logf("removed: %q", m.Images())
			if found, err := i.Find(ctx, p); found || err != nil {
				t.Errorf("found after it was removed: %t, %v", found, err)
			}
			check()
		})
	}
}

func TestImageRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, target, says string }{
		{"system_drive", "C:", "C: is one of the volumes that the image is of"},
		{"no_volume", "Q:", "there is no volume Q:"},
		{"no_share", `\\NOBODY\images`, `SYSTEM cannot use \\NOBODY\images: The network path was not found.; the share and its folder must let the computer account OCTO-01$ write and delete`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i, m := newImage(t, "", c.target)
			_, err := i.Check(context.Background(), machine("1"))
			wants(t, err, procedure.ErrRefused, c.says)
			nothingLeft(t, m)
			found, err := i.Find(context.Background(), point("1", "run1"))
			if c.name == "no_share" && (found || err == nil) { // what cannot be reached is not gone
				t.Errorf("found %t, %v", found, err)
			}
		})
	}
	i, m := newImage(t, "", windows.BackupShare)
	if err := os.RemoveAll(filepath.Join(m.Modules(), "WindowsServerBackup")); err != nil {
		t.Fatal(err)
	}
	_, err := i.Check(context.Background(), machine("1"))
	wants(t, err, procedure.ErrRefused, "Install-WindowsFeature Windows-Server-Backup installs it")
}

// TestImageThreeWays: what takes and removes fails before and after it was applied; it is asked for again or found,
// and there is one image.
func TestImageThreeWays(t *testing.T) {
	t.Parallel()
	for name, fate := range map[string]windows.Fate{"unapplied": windows.Unapplied, "lost": windows.Lost} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i, m := newImage(t, "", windows.BackupShare)
			ctx, p := context.Background(), point("1", "run1")
			m.Inject("image", 1, fate)
			wants(t, i.Take(ctx, p, quiet), nil, "") // it goes on asking, for what was begun goes on by itself
			want := []string{windows.BackupShare + `\` + p.Name, "a version"}
			if got := m.Images(); !slices.Equal(got, want) {
				t.Errorf("images %q, want %q", got, want)
			}
			next := 3 // the image takes longer than one command follows it
			if fate == windows.Unapplied {
				next = 4
			}
			m.Inject("image", next, fate)
			wants(t, i.Remove(ctx, p), procedure.ErrNoReply, "no answer")
			found, err := i.Find(ctx, p)
			if err != nil || found != (fate == windows.Unapplied) {
				t.Errorf("found %t, %v", found, err)
			}
			wants(t, i.Remove(ctx, p), nil, "")
			if got := m.Images(); len(got) > 0 {
				t.Errorf("images %q", got)
			}
			nothingLeft(t, m)
		})
	}
}

// TestImageFails: what fails leaves nothing behind; what ends with warnings is good and says so.
func TestImageFails(t *testing.T) {
	t.Parallel()
	i, m := newImage(t, "image-fails", windows.BackupShare)
	ctx, p := context.Background(), point("1", "run1")
	wants(t, i.Take(ctx, p, quiet), nil, "and left no image that a machine can be restored from")
	if got := m.Images(); len(got) > 0 {
		t.Errorf("images %q", got)
	}
	nothingLeft(t, m)

	i, _ = newImage(t, "image-warns", windows.BackupVolume)
	var said []string
	wants(t, i.Take(ctx, p, func(text string) { said = append(said, text) }), nil, "")
	if !strings.Contains(strings.Join(said, "\n"), "with warnings: wbadmin ended with -5: The backup operation completed with warnings") {
		t.Errorf("progress %q", said)
	}
}

// TestImageTakesTooLong: when the time is over the backup is stopped and nothing of it is left; after an interrupt it
// goes on, and whoever comes next goes on with it.
func TestImageTakesTooLong(t *testing.T) {
	t.Parallel()
	i, m := newImage(t, "", windows.BackupShare)
	p := point("1", "run1")
	ctx, cancel := i.Clock.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	wants(t, i.Take(ctx, p, quiet), procedure.ErrTimeout, "the disk image is not complete, and was stopped")
	if got := m.Images(); len(got) > 0 {
		t.Errorf("images %q", got)
	}
	nothingLeft(t, m)

	interrupted, interrupt := context.WithCancel(context.Background())
	i.Clock.AfterFunc(10*time.Minute, interrupt)
	if err := i.Take(interrupted, p, quiet); err == nil || errors.Is(err, procedure.ErrTimeout) {
		t.Fatalf("got %v", err)
	}
	wants(t, i.Take(context.Background(), point("1", "run2"), quiet), nil, `the task \octopatch\image is still at work: take octopatch-run1-OCTO-01`)
	wants(t, i.Take(context.Background(), p, quiet), nil, "")
	if got := m.Images(); !slices.Equal(got, []string{windows.BackupShare + `\` + p.Name, "a version"}) {
		t.Errorf("images %q", got)
	}
	nothingLeft(t, m)
}

// lastMoment is a host whose image is complete when the time for it is over.
type lastMoment struct{ asked []string }

func (l *lastMoment) Script(ctx context.Context, _ string, request any, answer interface{ Check() error }, _ time.Duration, _ func(json.RawMessage)) error {
	l.asked = append(l.asked, request.(imageRequest).Action)
	if len(l.asked) == 1 {
		<-ctx.Done()
	}
	*answer.(*imaged) = imaged{State: "done", Result: &imageResult{Found: true, Version: "11/25/2026-21:00"}}
	return nil
}

// TestImageInTheLastMoment: an image that is complete is none that took too long, and is not stopped.
func TestImageInTheLastMoment(t *testing.T) {
	t.Parallel()
	host := &lastMoment{}
	i := Image{Open: func(procedure.Machine) (Remote, error) { return host, nil }, Target: "E:"}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := i.Take(ctx, point("1", "run1"), func(string) {}); err != nil || !slices.Equal(host.asked, []string{"take"}) {
		t.Errorf("take: %v; asked %q", err, host.asked)
	}
}
