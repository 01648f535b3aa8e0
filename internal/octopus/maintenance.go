package octopus

import (
	"context"
	"net/http"
)

const maintenancePath = "/api/maintenanceconfiguration"

// maintenance is the configuration of Maintenance Mode; a node's flag of the same name is drain.
type maintenance struct {
	ID string `json:"Id,omitempty"`
	On *bool  `json:"IsInMaintenanceMode"`
}

func (m maintenance) gap() string { return absent(need{"IsInMaintenanceMode", m.On != nil}) }

// MaintenanceMode reads whether the installation is in Maintenance Mode.
func (c *Client) MaintenanceMode(ctx context.Context) (bool, error) {
	m, err := ask[maintenance](ctx, c, call{path: maintenancePath})
	if err != nil {
		return false, err
	}
	return *m.On, nil
}

// SetMaintenanceMode enters or exits Maintenance Mode. The resource's id is sent back as it was read.
func (c *Client) SetMaintenanceMode(ctx context.Context, on bool) error {
	m, err := ask[maintenance](ctx, c, call{path: maintenancePath})
	if err != nil {
		return err
	}
	put := call{method: http.MethodPut, path: maintenancePath, body: maintenance{ID: m.ID, On: &on}}
	after, err := ask[maintenance](ctx, c, put)
	if err != nil {
		return err
	}
	if *after.On != on {
		return c.unreadable(put, "Maintenance Mode as it was before")
	}
	return nil
}
