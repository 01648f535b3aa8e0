package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// textOf is a file of the repository.
func textOf(t *testing.T, name string) string {
	t.Helper()
	return strings.ReplaceAll(readAll(t, filepath.Join("../..", filepath.FromSlash(name))), "\r\n", "\n")
}

// jobOf is what a workflow says of one job, without its comments.
func jobOf(t *testing.T, workflow, job string) string {
	t.Helper()
	_, rest, found := strings.Cut(workflow, "\n  "+job+":")
	if !found {
		t.Fatalf("no job %s", job)
	}
	if end := regexp.MustCompile(`\n  [a-z]+:`).FindStringIndex(rest); end != nil {
		rest = rest[:end[0]]
	}
	return regexp.MustCompile(`(?m) +#.*$`).ReplaceAllString(rest, "")
}

// inOrder fails for the first of texts that does not come after the one before.
func inOrder(t *testing.T, in string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		_, rest, found := strings.Cut(in, text)
		if !found {
			t.Errorf("%q is not there, or not in this order", text)
			return
		}
		in = rest
	}
}

// TestWorkflowsAreClosed: every workflow pins what it uses by commit, says its rights, has a limit for each job, keeps
// its token out of the checkout, and pastes no expression into a script.
func TestWorkflowsAreClosed(t *testing.T) {
	var names []string
	for _, pattern := range []string{"../../.github/workflows/*.yml", "../../.github/examples/*.yml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		names = append(names, found...)
	}
	uses := regexp.MustCompile(`uses: (.*)`)
	pinned := regexp.MustCompile(`^[\w-]+(/[\w-]+)+@[0-9a-f]{40} # \S`)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		workflow := string(text)
		for _, use := range uses.FindAllStringSubmatch(workflow, -1) {
			if !pinned.MatchString(use[1]) {
				t.Errorf("%s: %s is not pinned by a commit, with its version behind", name, use[1])
			}
		}
		if !regexp.MustCompile(`(?m)^permissions:( \{\}|\n  contents: read)$`).MatchString(workflow) {
			t.Errorf("%s gives rights to all its jobs", name)
		}
		if jobs, limits := strings.Count(workflow, "runs-on: "), strings.Count(workflow, "timeout-minutes: "); jobs == 0 || jobs != limits {
			t.Errorf("%s: %d jobs and %d limits", name, jobs, limits)
		}
		if strings.Count(workflow, "actions/checkout@") != strings.Count(workflow, "persist-credentials: false") {
			t.Errorf("%s leaves its token in the checkout", name)
		}
		if strings.Contains(workflow, "pull_request_target") {
			t.Errorf("%s runs strangers' changes with rights", name)
		}
	}
	for _, name := range []string{"ci.yml", "windows.yml", "release.yml"} {
		for _, block := range runBlocks(t, name) {
			if strings.Contains(block, "${{") {
				t.Errorf("%s pastes an expression into a script: %s", name, block)
			}
		}
	}
}

// TestReleaseOrder: a release is a draft until its binaries are those of the tag and are attested, and only this job
// may write.
func TestReleaseOrder(t *testing.T) {
	workflow := textOf(t, ".github/workflows/release.yml")
	job := jobOf(t, workflow, "release")
	inOrder(t, job, "environment: release\n", "permissions:\n      contents: write\n      id-token: write\n      attestations: write\n    steps:", "actions/checkout@", "goreleaser/v2@v2.16.0", "syft/cmd/syft@v1.38.0", "cosign/v3/cmd/cosign@v3.1.3",
		`test "v$(cat action/version)" = "$GITHUB_REF_NAME"`, "goreleaser release --clean\n", "diff action/checksums.txt -\n", "actions/attest-build-provenance@", "subject-checksums: dist/checksums.txt", `gh release edit "$GITHUB_REF_NAME" --draft=false`)
	if !strings.Contains(workflow, "concurrency: {group: release, cancel-in-progress: false}") || strings.Count(workflow, "\n  release:") != 1 {
		t.Error("two releases may run at once")
	}
	config := textOf(t, ".goreleaser.yaml")
	inOrder(t, config, "release:\n  draft: true", "sboms:", "artifacts: archive", "signs:", "artifacts: checksum", "cmd: cosign", `sign-blob, "--bundle=${signature}", --yes, "${artifact}"`)
}

// TestMonthlyExampleIsGuarded: what act accepts and does not enforce is there to be enforced by GitHub: approval by
// the installation's environment, one run at a time for each installation, and no job is cancelled by the next.
func TestMonthlyExampleIsGuarded(t *testing.T) {
	workflow := textOf(t, ".github/examples/monthly.yml")
	run, plan, due := jobOf(t, workflow, "run"), jobOf(t, workflow, "plan"), jobOf(t, workflow, "due")
	inOrder(t, run, "if: needs.due.outputs.what == 'run'\n", "fail-fast: false", "matrix: {installation: [emea, apac]}\n", "environment: ${{ matrix.installation }}\n",
		`concurrency: {group: "octopatch-${{ matrix.installation }}", cancel-in-progress: false}`, "permissions: {id-token: write}\n", "phase: run\n", "window: 4h\n")
	inOrder(t, plan, "if: needs.due.outputs.what == 'plan'\n", "fail-fast: false", "environment: ${{ matrix.installation }}-plan\n", "permissions: {id-token: write}\n", "phase: plan\n")
	if !strings.HasPrefix(workflow[strings.Index(workflow, "\npermissions"):], "\npermissions: {}\n") || strings.Contains(due, "secrets.") {
		t.Error("a job has rights or secrets that it has no use for")
	}
	crons := regexp.MustCompile(`cron: "([^"]+)"`).FindAllStringSubmatch(workflow, -1)
	if !slices.EqualFunc(crons, []string{"0 6 * * 4", "0 2 * * 0"}, func(found []string, want string) bool { return found[1] == want }) {
		t.Errorf("it is due at %v", crons)
	}
}
