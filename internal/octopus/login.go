package octopus

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/secret"
)

// login is who we are: an API key, or where access tokens come from.
type login struct {
	key    secret.Secret
	tokens func(context.Context) (secret.Secret, error)
}

func newLogin(o Options) (login, error) {
	if !o.Token.IsZero() && o.TokenSource == nil {
		o.TokenSource = func(context.Context) (secret.Secret, error) { return o.Token, nil }
	} else if !o.Token.IsZero() {
		return login{}, procedure.Refuse(settingToken, "is given although access tokens are fetched", "unset one of the two")
	}
	switch {
	case o.Key.IsZero() && o.TokenSource == nil:
		return login{}, procedure.Refuse(settingKey, "is not set, and "+settingToken+" neither", "set one of them")
	case !o.Key.IsZero() && o.TokenSource != nil:
		return login{}, procedure.Refuse(settingKey, "is set together with "+settingToken, "unset one of the two")
	case !printable(o.Key):
		return login{}, procedure.Refuse(settingKey, "holds a space, line break or other character that no API key has", "copy the key again")
	case !printable(o.Token):
		return login{}, procedure.Refuse(settingToken, "holds a space, line break or other character that no access token has", "copy the token again")
	}
	return login{key: o.Key, tokens: o.TokenSource}, nil
}

// header is the HTTP header that proves who we are, and the secret in it.
func (l login) header(ctx context.Context) (name, prefix string, value secret.Secret, err error) {
	if !l.key.IsZero() {
		return "X-Octopus-ApiKey", "", l.key, nil
	}
	token, err := l.tokens(ctx)
	if err == nil && (token.IsZero() || !printable(token)) {
		err = errors.New("it is empty or holds a character that no access token has")
	}
	return "Authorization", "Bearer ", token, err
}

// setting is the variable that holds the key or token.
func (l login) setting() string {
	if l.key.IsZero() {
		return settingToken
	}
	return settingKey
}

func printable(s secret.Secret) bool {
	return !strings.ContainsFunc(s.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' })
}

// TokenExpiry reads when an access token ends. It trusts the token: the server is the one who checks it.
func TokenExpiry(token secret.Secret) (time.Time, error) {
	refuse := func(problem string) (time.Time, error) {
		return time.Time{}, procedure.Refuse(settingToken, problem, "give the access token as Octopus issued it, or use "+settingKey)
	}
	parts := strings.Split(token.Reveal(), ".")
	if len(parts) != 3 {
		return refuse("is not a JSON web token")
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return refuse("is not a JSON web token: its middle part is not base64")
	}
	var claims struct {
		Exp *float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return refuse("is not a JSON web token: its middle part is not JSON")
	}
	const year9999 = 253402300799
	if claims.Exp == nil || *claims.Exp <= 0 || *claims.Exp > year9999 {
		return refuse("does not say when it ends")
	}
	whole, part := math.Modf(*claims.Exp)
	return time.Unix(int64(whole), int64(part*1e9)), nil
}
