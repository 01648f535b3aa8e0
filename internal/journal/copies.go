package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Newest is the newest copy of a node's journal, of one run or, where none is named, of the last one; nil when
// there is none. A copy that cannot be read is an error: it may be the one that counts.
func (s Store) Newest(node, run string) (*procedure.Journal, error) {
	if s.Dir == "" {
		return nil, nil
	}
	files, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(s.Dir, err)
	}
	var newest *procedure.Journal
	for _, f := range files {
		if !strings.HasSuffix(strings.ToLower(f.Name()), strings.ToLower(unsafe.ReplaceAllString("-"+node, "_"))+".json") {
			continue
		}
		name := filepath.Join(s.Dir, f.Name())
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, unreadable(name, err)
		}
		var j procedure.Journal
		if err := json.Unmarshal(text, &j); err != nil {
			return nil, unreadable(name, err)
		}
		switch {
		case !strings.EqualFold(j.Node, node) || run != "" && j.Run != run:
		case newest == nil, j.Run > newest.Run, j.Run == newest.Run && j.Counter > newest.Counter: // run ids sort by time
			newest = &j
		}
	}
	if newest != nil && newest.Format != 1 {
		return nil, unreadable(s.Dir, errors.New("the copy of run "+newest.Run+" is of another version of octopatch"))
	}
	return newest, nil
}

// told is the file that remembers that people were told of a dead-man switch that fired at that time of its host.
func (s Store) told(run, node string, at int64) string {
	return filepath.Join(s.Dir, unsafe.ReplaceAllString(fmt.Sprintf("told-%s-%s-%d", run, node, at), "_"))
}

// Told reports whether people were told of that firing before.
func (s Store) Told(run, node string, at int64) bool {
	_, err := os.Stat(s.told(run, node, at))
	return err == nil
}

// Tell remembers that they were.
func (s Store) Tell(run, node string, at int64) error {
	err := os.MkdirAll(s.Dir, 0o700)
	if err == nil {
		err = os.WriteFile(s.told(run, node, at), nil, 0o600)
	}
	if err != nil {
		return fault(s.Dir, err)
	}
	return nil
}

func unreadable(name string, err error) error {
	return &procedure.Fault{Kind: procedure.ErrRefused, Subject: "OCTOPATCH_STATE_DIR", Problem: "the copy of the journal cannot be read: " + name, Cause: err, Remedy: "make it readable, or move it away if it is no journal"}
}
