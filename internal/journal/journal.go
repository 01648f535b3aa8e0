// Package journal keeps the runner's side of a run: its id, its owner's name, and a copy of each node's
// run.json. The truth is on the hosts; the copy is for the day on which a host cannot be read.
package journal

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// NewRun makes a run id that sorts by time and that no other runner makes: "20261213-020000-9f3c".
func NewRun(now time.Time) string {
	var b [2]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never fails since Go 1.24
	return fmt.Sprintf("%s-%x", now.UTC().Format("20060102-150405"), b)
}

// NewNonce tells this process from every other one, also of the same owner.
func NewNonce() string {
	var b [8]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

// TaskVariable holds the id of the Octopus task whose step this is. Octopus gives a step's process no such variable by
// itself; the step template sets it.
const TaskVariable = "OCTOPUS_TASK_ID"

// Owner names who runs this: repository, run and job on GitHub, the Octopus task, or user@machine.
func Owner(getenv func(string) string, machine string) string {
	if repository := getenv("GITHUB_REPOSITORY"); repository != "" {
		return strings.Join([]string{repository, getenv("GITHUB_RUN_ID"), getenv("GITHUB_JOB")}, "/")
	}
	if task := getenv(TaskVariable); task != "" {
		return task
	}
	user := getenv("USER")
	if user == "" {
		user = getenv("USERNAME")
	}
	if user == "" {
		user = "somebody"
	}
	return user + "@" + machine
}

// unsafe is what a node's name may hold and a file's name should not.
var unsafe = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// Store keeps copies of journals in a directory; without a directory it keeps nothing.
type Store struct{ Dir string }

// Keep replaces the copy of this node's journal.
func (s Store) Keep(j procedure.Journal) error {
	if s.Dir == "" {
		return nil
	}
	text, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fault(s.Dir, err)
	}
	name := filepath.Join(s.Dir, unsafe.ReplaceAllString(j.Run+"-"+j.Node, "_")+".json")
	file, err := os.CreateTemp(s.Dir, ".journal-*")
	if err != nil {
		return fault(s.Dir, err)
	}
	_, err = file.Write(append(text, '\n'))
	if err := errors.Join(err, file.Close()); err != nil {
		return fault(file.Name(), errors.Join(err, os.Remove(file.Name())))
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return fault(name, err)
	}
	return nil
}

func fault(name string, err error) error {
	return &procedure.Fault{Subject: "OCTOPATCH_STATE_DIR", Problem: "the copy of the journal cannot be written to " + name, Cause: err, Remedy: "make the directory writable, or leave the variable out"}
}
