//go:build windows

// Octopus.Server stands for Octopus Server on a Windows host that is tested: a real service that says which node it
// is, as far as octopatch asks it.
package main

import (
	"fmt"
	"net/http"
	"os"
	"slices"

	"golang.org/x/sys/windows/svc"
)

const address = "127.0.0.1:8085"

func main() {
	node := "OCTO-01"
	switch {
	case slices.Contains(os.Args, "show-configuration"):
		fmt.Printf(`{"Octopus.Server.NodeName": %q, "Octopus.WebPortal.ListenPrefixes": "http://%s/", "Octopus.Storage.ExternalDatabaseConnectionString": "Data Source=SQL01;Password=nobody-may-see-this"}`, node, address)
	case slices.Contains(os.Args, "run"):
		http.HandleFunc("/api/octopusservernodes/ping", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"Name": %q, "Version": "2026.3.4711"}`, node)
		})
		go func() { _ = http.ListenAndServe(address, nil) }() //nolint:gosec // on a machine that is thrown away
		if err := svc.Run("OctopusDeploy: Test", service{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(2)
	}
}

type service struct{}

// Execute runs until the service controller says stop.
func (service) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	running := svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	status <- running
	for r := range requests {
		switch r.Cmd {
		case svc.Interrogate:
			status <- running
		case svc.Stop, svc.Shutdown:
			status <- svc.Status{State: svc.StopPending}
			return false, 0
		}
	}
	return false, 0
}
