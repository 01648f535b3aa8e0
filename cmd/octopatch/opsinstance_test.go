//go:build unix

package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/octopatch/octopatch/internal/rehearsal"
	"github.com/octopatch/octopatch/steptemplate"
)

var otherPackage = flag.String("package", "", "octopatch.<version>.zip of a release, to be uploaded in place of one that the test makes")

// opsInstance is as much of an Octopus Server as setting it up takes: packages, step templates, and who it is.
type opsInstance struct {
	mu        sync.Mutex
	key       string
	packages  map[string][]byte // id and version, as the file's name says
	templates []steptemplate.Template
}

// packageName is how Octopus takes id and version from a file's name.
var packageName = regexp.MustCompile(`^(\w+(?:[_.-]\w+)*?)\.(\d+(?:\.\d+){0,3}(?:-[0-9A-Za-z.-]+)?)\.zip$`)

func (o *opsInstance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case r.URL.Path == "/api":
		fmt.Fprint(w, `{"Application": "Octopus Deploy", "Version": "2026.3.1", "InstallationId": "11111111-2222-4333-8444-555555555555", "Links": {}}`)
	case r.Header.Get("X-Octopus-ApiKey") != o.key:
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodPost && r.URL.Path == "/api/Spaces-1/packages/raw":
		files, err := r.MultipartReader()
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		part, err := files.NextPart()
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		name := packageName.FindStringSubmatch(part.FileName())
		if name == nil {
			http.Error(w, part.FileName()+" names no package and version", http.StatusBadRequest)
			return
		}
		o.packages[name[1]+" "+name[2]], _ = io.ReadAll(part) // a short one does not open
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPost && r.URL.Path == "/api/Spaces-1/actiontemplates":
		var t steptemplate.Template
		if err := json.NewDecoder(r.Body).Decode(&t); err != nil || t.Name == "" {
			http.Error(w, "no template", http.StatusBadRequest)
			return
		}
		o.templates = append(o.templates, t)
		w.WriteHeader(http.StatusCreated)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// TestOpsInstance: the set-up of the README, as written, and then a step out of what was uploaded and imported.
func TestOpsInstance(t *testing.T) {
	for _, program := range []string{"bash", "openssl", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not on PATH", program)
		}
	}
	steadily(t, func(t *attempt) {
		ops := &opsInstance{key: "API-OPS0123456789", packages: map[string][]byte{}}
		server := httptest.NewServer(ops)
		t.Cleanup(server.Close)
		bash := workers()["bash"]
		dir := t.TempDir()
		release(t, dir, bash)
		asWritten(t, dir, "ops.sh", "", []string{"OPS_URL=" + server.URL, "OPS_API_KEY=" + ops.key}, "bash", "-e").wants(t, 0)
		ops.mu.Lock()
		var uploaded []byte
		for name, text := range ops.packages {
			if strings.HasPrefix(name, "octopatch ") {
				uploaded = text
			}
		}
		ops.mu.Unlock()
		if len(ops.templates) != 2 || len(ops.packages) != 1 || uploaded == nil {
			t.Fatalf("the ops instance has %d templates, and packages %d", len(ops.templates), len(ops.packages))
		}
		for i, template := range steptemplate.Templates() {
			if ops.templates[i].Script() != template.Script() || !slices.Equal(parameterNames(ops.templates[i]), parameterNames(template)) {
				t.Errorf("%s is another one there", template.Name)
			}
		}
		target := newWorld(t, rehearsal.Options{Nodes: 1})
		variables := stepVariables(t, &bash, target)
		variables["OctoPatch.Command"], variables["Octopus.Web.ServerUri"] = "preflight", server.URL
		variables["Octopus.Action.Package[OctoPatch.Package].ExtractedPath"] = extracted(t, uploaded)
		got := bash.start(t, variables).end()
		if s := listen(t, got.out); got.exit != 0 || s.outputs["result"] != "done" {
			t.Errorf("exit code %d, outputs %v\n%s%s", got.exit, s.outputs, got.out, got.errs)
		}
	})
}

func parameterNames(t steptemplate.Template) []string {
	var names []string
	for _, p := range t.Parameters {
		names = append(names, p.Name)
	}
	return names
}

// release puts into the folder what a release holds for an ops instance.
func release(t *attempt, dir string, w worker) {
	t.Helper()
	for _, template := range steptemplate.Templates() {
		text, err := os.ReadFile(filepath.Join("../../steptemplate", template.File()))
		if err != nil {
			t.Fatal(err)
		}
		writeAll(t, dir, map[string]string{template.File(): string(text)})
	}
	if *otherPackage != "" {
		text, err := os.ReadFile(*otherPackage)
		if err != nil {
			t.Fatal(err)
		}
		writeAll(t, dir, map[string]string{filepath.Base(*otherPackage): string(text)})
		return
	}
	text, err := os.ReadFile(program(t.T))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64", "windows_amd64.exe", "windows_arm64.exe"} {
		file, err := z.Create("octopatch_" + name)
		if err == nil && name == w.as {
			_, err = file.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	writeAll(t, dir, map[string]string{"octopatch.1.2.3.zip": b.String()})
}

// extracted unpacks a package as Octopus does, without the right to execute.
func extracted(t *attempt, text []byte) string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range z.File {
		file, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(file)
		if err != nil || strings.Contains(f.Name, "/") {
			t.Fatalf("%s: %v", f.Name, err)
		}
		writeAll(t, dir, map[string]string{f.Name: string(content)})
	}
	return dir
}
