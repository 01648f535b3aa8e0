package settings

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// collect takes the variables that are ours, reads those that name a file, and refuses unknown ones. Empty
// means unset.
func collect(environ []string) (map[string]string, []error) {
	rows := Table()
	vars, files := map[string]string{}, map[string]string{}
	var faults []error
	for _, item := range environ {
		name, value, _ := strings.Cut(item, "=")
		if strings.TrimSpace(value) == "" {
			continue
		}
		switch row, file := find(rows, name); {
		case row == nil:
			if strings.HasPrefix(strings.ToUpper(name), "OCTOPATCH_") {
				faults = append(faults, refuse(name, "is not a setting of octopatch", "did you mean "+nearest(name, rows)+"? octopatch settings lists them all"))
			}
		case file:
			files[row.Variable] = strings.TrimSpace(value)
		case row.Secret: // a password may begin or end with a blank
			vars[name] = value
		default:
			vars[name] = strings.TrimSpace(value)
		}
	}
	for name, file := range files {
		if vars[name] != "" {
			faults = append(faults, refuse(name, "is set, and so is "+name+"_FILE", "keep one of them"))
			continue
		}
		value, err := readSecret(file)
		if err != nil {
			faults = append(faults, refuse(name+"_FILE", file+" "+err.Error(), "name a file that this user may read, with the value as its only line"))
			continue
		}
		vars[name] = value
	}
	for _, row := range rows {
		if row.Secret && strings.ContainsFunc(vars[row.Variable], unicode.IsControl) {
			faults = append(faults, refuse(row.Variable, "has a line break or another control character in it", "set it again; a file with "+row.Variable+"_FILE may end with a line break"))
		}
	}
	return vars, faults
}

// find returns the row of a variable, and whether the name is that of its file.
func find(rows []Row, name string) (row *Row, file bool) {
	for i, r := range rows {
		if slices.Contains(r.Variables(), name) {
			return &rows[i], false
		}
		if r.Secret && r.Variable+fileSuffix == name {
			return &rows[i], true
		}
	}
	return nil, false
}

const (
	fileSuffix = "_FILE"
	mostBytes  = 64 << 10 // of a file with secrets: the whole of a file named by mistake is not read
)

// readText reads a small text file. Notepad and PowerShell put a byte order mark first or write UTF-16: the
// one is dropped and the other refused, since a password read wrongly ten times locks an account.
func readText(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, unreadable(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, mostBytes+1))
	switch {
	case err != nil:
		return nil, unreadable(err)
	case len(text) > mostBytes:
		return nil, fmt.Errorf("is larger than %d KB", mostBytes>>10)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, errors.New("is not UTF-8 text")
	}
	return text, nil
}

// unreadable says why, without the name, which the caller has said already.
func unreadable(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}

func readSecret(name string) (string, error) {
	text, err := readText(name)
	if err != nil {
		return "", err
	}
	value := strings.TrimRight(string(text), "\r\n")
	switch {
	case strings.TrimSpace(value) == "":
		return "", errors.New("is empty")
	case strings.ContainsAny(value, "\r\n"):
		return "", errors.New("has more than one line")
	}
	return value, nil
}

// inOrder sorts faults as the table does, so that the same environment always gives the same text.
func inOrder(faults []error) []error {
	place := map[string]int{}
	for i, r := range Table() {
		place[r.Variable+fileSuffix] = i + 1
		for _, name := range r.Variables() {
			place[name] = i + 1
		}
	}
	slices.SortStableFunc(faults, func(a, b error) int {
		return cmp.Or(cmp.Compare(place[subject(a)], place[subject(b)]), cmp.Compare(a.Error(), b.Error()))
	})
	return faults
}

// nearest is the known variable that takes the fewest edits to reach.
func nearest(name string, rows []Row) string {
	name = strings.ToUpper(name)
	best, fewest := "", 1<<30
	for _, r := range rows {
		known := r.Variables()
		if r.Secret {
			known = append(known, r.Variable+fileSuffix)
		}
		for _, k := range known {
			if d := edits(name, k); d < fewest {
				best, fewest = k, d
			}
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
