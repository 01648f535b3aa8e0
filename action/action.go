// Package action is octopatch inside a step of GitHub Actions: masks, outputs, the step summary, annotations and
// the ID token. The shim beside it (main.mjs, post.mjs) fetches octopatch and starts it.
package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sethvargo/go-githubactions"

	"github.com/octopatch/octopatch/internal/secret"
)

// Step is the step that octopatch runs in.
type Step struct {
	action *githubactions.Action
	getenv func(string) string
}

// New is the step of this process. Commands go to w, its standard output.
func New(w io.Writer, getenv func(string) string) *Step {
	return &Step{githubactions.New(githubactions.WithWriter(w), githubactions.WithGetenv(getenv)), getenv}
}

// Input is the name of a setting's input: that of its variable, as Octopus Deploy's own actions write theirs.
func Input(variable string) string {
	switch variable {
	case "OCTOPUS_URL":
		return "server"
	case "OCTOPUS_API_KEY":
		return "api_key"
	case "OCTOPUS_ACCESS_TOKEN":
		return "access_token"
	}
	return strings.ToLower(strings.TrimPrefix(variable, "OCTOPATCH_"))
}

// Mask keeps secrets out of the job's log from here on; it comes before anything else is printed.
func (s *Step) Mask(secrets ...string) error {
	return written(func() {
		for _, secret := range secrets {
			if secret != "" {
				s.action.AddMask(secret)
			}
		}
	})
}

// Refused annotates the run with each fault of a refusal, one a line of the error's text.
func (s *Step) Refused(err error) error {
	return written(func() {
		for line := range strings.Lines(err.Error()) {
			s.action.WithFieldsMap(map[string]string{"title": "octopatch refused"}).Errorf("%s", printable(line))
		}
	})
}

// summaryMost is below the 1 MiB from which on GitHub shows nothing of a summary.
const summaryMost = 1<<20 - 1<<10

// Summary adds Markdown to the page of the run. What is too long for GitHub is cut at the end of a line.
func (s *Step) Summary(markdown string) error {
	if s.getenv("GITHUB_STEP_SUMMARY") == "" {
		return nil
	}
	if len(markdown) > summaryMost {
		cut := strings.LastIndexByte(markdown[:summaryMost], '\n') + 1
		markdown = markdown[:cut] + "\nGitHub shows no more than this; report.json has all of it.\n"
	}
	return written(func() { s.action.AddStepSummary(markdown) })
}

// CanIDToken reports whether GitHub gives this job ID tokens, which takes the permission id-token: write.
func (s *Step) CanIDToken() bool { return s.getenv(requestURL) != "" && s.getenv(requestToken) != "" }

const (
	requestURL   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	requestToken = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

// RequestToken is what the job shows to GitHub to be given ID tokens: without it no login can be renewed.
func (s *Step) RequestToken() secret.Secret { return secret.New(s.getenv(requestToken)) }

// IDToken is a token of GitHub that says which repository, workflow and environment this job is of. It is good
// for a few minutes.
func (s *Step) IDToken(ctx context.Context, audience string) (secret.Secret, error) {
	token, err := s.action.GetIDToken(ctx, audience)
	var failed *githubactions.RequestFailedError
	if errors.As(err, &failed) { // its text repeats the answer's body
		return secret.Secret{}, fmt.Errorf("GitHub refused an ID token with status %d", failed.StatusCode)
	}
	if err != nil {
		return secret.Secret{}, fmt.Errorf("GitHub gave no ID token: %w", err)
	}
	if token == "" {
		return secret.Secret{}, errors.New("GitHub gave an empty ID token")
	}
	return secret.New(token), s.Mask(token)
}

// written turns the library's panic, its answer to a closed pipe or a full disk, into an error.
func written(do func()) (err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("GitHub Actions was not told: %v", why)
		}
	}()
	do()
	return nil
}
