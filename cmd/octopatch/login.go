package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/octopatch/octopatch/action"
	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/octopus"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

// loginOptions is who we are for the Octopus Server at an address.
func (s *session) loginOptions(url string, clk clock.Clock) octopus.Options {
	o := octopus.Options{URL: url, Key: s.settings.Key, Token: s.settings.Token, ServiceAccount: s.settings.Account, Clock: clk, Found: func(token secret.Secret) { s.mask([]string{token.Reveal()}) }}
	if github := s.github(); s.settings.Account != "" && github.CanIDToken() {
		o.IDToken = func(ctx context.Context, audience string) (secret.Secret, error) {
			id, err := github.IDToken(ctx, audience)
			s.mask([]string{id.Reveal()})
			return id, err
		}
	}
	return o
}

// github is where ID tokens come from, whatever log is written.
func (s *session) github() *action.Step { return action.New(io.Discard, s.env) }

// loginEnds is when the means to log on to Octopus end; zero is never. With a service account that is when GitHub
// gives no further ID tokens, else when the given access token ends.
func (s *session) loginEnds() (time.Time, error) {
	token := s.settings.Token
	if s.settings.Account != "" && s.github().CanIDToken() {
		token = s.github().RequestToken()
	}
	if token.IsZero() {
		return time.Time{}, nil
	}
	return octopus.TokenExpiry(token)
}

// tokenLasts refuses a change with an access token that ends before the window does and cannot be renewed: a login
// that is lost half way would leave a node out of service.
func (s *session) tokenLasts(clk clock.Clock) (ends time.Time, err error) {
	o := s.settings
	ends, err = s.loginEnds()
	if !slices.Contains([]string{"run", "rehearse", procedure.Enter}, s.command.name) { // putting back is never refused
		return time.Time{}, nil
	}
	renewed := o.Account != "" && s.github().CanIDToken()
	switch {
	case err != nil && renewed: // whether GitHub's token says when it ends is written nowhere
		return ends, procedure.Refuse("OCTOPATCH_SERVICE_ACCOUNT_ID", "ACTIONS_ID_TOKEN_REQUEST_TOKEN does not say until when access tokens can be renewed", "use OCTOPUS_API_KEY")
	case err != nil:
		return ends, procedure.Refuse("OCTOPUS_ACCESS_TOKEN", "it cannot be read when it ends: "+err.Error(), "use OCTOPUS_API_KEY")
	case ends.IsZero() || renewed:
		return ends, nil
	}
	if _, to := rules(o).Window(clk.Now()); ends.Before(to) {
		return ends, procedure.Refuse("OCTOPUS_ACCESS_TOKEN", fmt.Sprintf("ends at %s, before the window does at %s", ends.UTC().Format("2006-01-02 15:04 MST"), to.UTC().Format("2006-01-02 15:04 MST")),
			"use OCTOPUS_API_KEY, a shorter OCTOPATCH_WINDOW, or on GitHub OCTOPATCH_SERVICE_ACCOUNT_ID; the token serves plan and preflight")
	}
	return ends, nil
}
