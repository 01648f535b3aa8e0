package octopus

import (
	"context"
	"net/url"
	"slices"

	"github.com/octopatch/octopatch/internal/procedure"
)

// root is the answer of /api, which needs no key.
type root struct {
	Version        string
	InstallationID string `json:"InstallationId"`
}

func (r root) gap() string { return absent(need{"Version", r.Version != ""}) }

// serverStatus is the answer of /api/serverstatus.
type serverStatus struct {
	Maintenance *bool `json:"IsInMaintenanceMode"`
}

func (serverStatus) gap() string { return "" }

// Info reads version, installation and Maintenance Mode.
func (c *Client) Info(ctx context.Context) (procedure.ServerInfo, error) {
	r, err := ask[root](ctx, c, call{path: "/api", open: true})
	if err != nil {
		return procedure.ServerInfo{}, err
	}
	s, err := ask[serverStatus](ctx, c, call{path: "/api/serverstatus"})
	if err != nil {
		return procedure.ServerInfo{}, err
	}
	if s.Maintenance == nil { // a server that does not tell it here tells it where it is set
		on, err := c.MaintenanceMode(ctx)
		if err != nil {
			return procedure.ServerInfo{}, err
		}
		s.Maintenance = &on
	}
	return procedure.ServerInfo{Version: r.Version, InstallationID: r.InstallationID, Maintenance: *s.Maintenance}, nil
}

// user is the answer of /api/users/me.
type user struct {
	ID        string `json:"Id"`
	Username  string
	IsService bool
}

func (u user) gap() string { return absent(need{"Id", u.ID != ""}, need{"Username", u.Username != ""}) }

// permissions is the answer of /api/users/{id}/permissions.
type permissions struct {
	System   *[]string `json:"SystemPermissions"`
	Complete bool      `json:"IsPermissionsComplete"`
}

func (p permissions) gap() string { return absent(need{"SystemPermissions", p.System != nil}) }

// CurrentUser reads the account and its system permissions. It speaks of the account: a key may be restricted
// further, which only a change would show.
func (c *Client) CurrentUser(ctx context.Context) (procedure.User, error) {
	u, err := ask[user](ctx, c, call{path: "/api/users/me"})
	if err != nil {
		return procedure.User{}, err
	}
	p, err := ask[permissions](ctx, c, call{path: "/api/users/" + url.PathEscape(u.ID) + "/permissions",
		query: map[string]string{"includeSystem": "true", "spaces": "all"}})
	if err != nil {
		return procedure.User{}, err
	}
	return procedure.User{
		Name: u.Username, IsService: u.IsService,
		AdministerSystem: slices.Contains(*p.System, "AdministerSystem"), PermissionsProven: p.Complete,
	}, nil
}

// Serving asks the address that users use, once, without a key and on a new connection. A page that a balancer
// shows in Octopus' place is not Octopus, whatever its status.
func (c *Client) Serving(ctx context.Context) error {
	_, err := ask[root](ctx, c, call{path: "/api", open: true, once: true, limit: probeLimit})
	return err
}

// Installation reads the installation's id, without sending any login: it may be asked of a server that is
// not the one that the login is for.
func (c *Client) Installation(ctx context.Context) (string, error) {
	r, err := ask[root](ctx, c, call{path: "/api", open: true})
	return r.InstallationID, err
}
