//go:build !windows

package main

// machineID is empty: only Windows has a MachineGuid, and a runner without one is no host of Octopus Server.
func machineID() string { return "" }
