package journal

import (
	"encoding/json"
	"errors"
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
		if !strings.HasSuffix(f.Name(), unsafe.ReplaceAllString("-"+node, "_")+".json") {
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

func unreadable(name string, err error) error {
	return &procedure.Fault{Kind: procedure.ErrRefused, Subject: "OCTOPATCH_STATE_DIR", Problem: "the copy of the journal cannot be read: " + name, Cause: err, Remedy: "make it readable, or move it away if it is no journal"}
}
