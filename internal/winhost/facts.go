package winhost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// windowsFacts is the operating system as scripts describe it.
type windowsFacts struct {
	Boot     string `json:"boot"`
	BootTime int64  `json:"bootTime"`
	Caption  string `json:"caption"`
	Build    string `json:"build"`
	UBR      int    `json:"ubr"`
}

func (w windowsFacts) check() error {
	if w.Boot == "" || strings.Trim(w.Boot, "0123456789") != "" {
		return fmt.Errorf("the boot time is %q", w.Boot)
	}
	if w.Build == "" || w.BootTime <= 0 {
		return errors.New("no build or boot time in it")
	}
	return nil
}

func (w windowsFacts) windows() procedure.Windows {
	return procedure.Windows{Boot: w.Boot, Caption: w.Caption, Build: w.Build, UBR: w.UBR}
}

// probed is the answer of probe.
type probed struct {
	Computer   string       `json:"computer"`
	FQDN       string       `json:"fqdn"`
	MachineID  string       `json:"machineId"`
	PowerShell string       `json:"powershell"`
	Time       int64        `json:"time"`
	Windows    windowsFacts `json:"windows"`
	FreeBytes  int64        `json:"freeBytes"`
	Pending    []string     `json:"pending"`
	Soft       []string     `json:"soft"`
	Busy       string       `json:"busy"`
	Policy     *policy      `json:"policy"`
	Agents     []string     `json:"agents"`
	Instances  []struct {
		Service   procedure.Service `json:"service"`
		Name      string            `json:"name"`
		Node      string            `json:"node"`
		Prefixes  []string          `json:"prefixes"`
		Version   string            `json:"version"`
		LocalData bool              `json:"localData"`
		OnDisks   []string          `json:"onDisks"`
	} `json:"instances"`
	Watchdogs []procedure.Watchdog `json:"watchdogs"`
	Folder    string               `json:"folder"`
	Journal   *procedure.Journal   `json:"journal"`
	Copy      *procedure.Journal   `json:"copy"`
	Lease     *procedure.Lease     `json:"lease"`
	Deadman   *procedure.Armed     `json:"deadman"`
}

func (p *probed) check() error {
	switch {
	case p.Computer == "":
		return errors.New("no computer name in it")
	case p.Folder == "":
		return errors.New("it does not say what our folder is like")
	case p.Pending == nil || p.Instances == nil || p.Watchdogs == nil || p.Agents == nil:
		return errors.New("a list is missing")
	case p.Policy == nil:
		return errors.New("no policy in it")
	case p.Time <= 0 || p.FreeBytes < 0:
		return errors.New("the time or the free space could not be read")
	}
	for _, i := range p.Instances {
		if i.Service.Name == "" || i.Service.State == "" || i.Service.Start == "" {
			return fmt.Errorf("half a service: %q", i.Service.Name)
		}
		if i.OnDisks == nil {
			return errors.New("it does not say what lies on the disks")
		}
	}
	for _, j := range []*procedure.Journal{p.Journal, p.Copy} {
		if j == nil {
			continue
		}
		if err := checkJournal(*j); err != nil {
			return err
		}
	}
	return errors.Join(checkLease(p.Lease), p.Windows.check())
}

// Probe reads the facts of the host in one command.
func (h *Host) Probe(ctx context.Context) (procedure.HostFacts, error) {
	p, err := call[probed](ctx, h, "probe", agentsRequest{agentNames()}, readLimit, nil)
	if err != nil {
		return procedure.HostFacts{}, err
	}
	facts := procedure.HostFacts{
		Computer: p.Computer, FQDN: p.FQDN, MachineID: p.MachineID, PowerShell: p.PowerShell,
		Time: time.Unix(p.Time, 0), BootTime: time.Unix(p.Windows.BootTime, 0), Windows: p.Windows.windows(), FreeBytes: p.FreeBytes,
		Pending: p.Pending, Soft: p.Soft, Busy: p.Busy, Policy: p.Policy.policy(), Agents: agents(p.Agents), Watchdogs: p.Watchdogs, Folder: p.Folder, Journal: p.Journal, Copy: p.Copy, Lease: p.Lease, Deadman: p.Deadman,
	}
	for _, i := range p.Instances {
		facts.Instances = append(facts.Instances, procedure.Instance(i))
	}
	return facts, nil
}

// healthy is the answer of health.
type healthy struct {
	Windows  windowsFacts        `json:"windows"`
	Services []procedure.Service `json:"services"`
	Pending  []string            `json:"pending"`
	Ping     struct {
		Status  int    `json:"status"`
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"ping"`
	PingError string `json:"pingError"`
}

func (a *healthy) check() error {
	if a.Services == nil || a.Pending == nil {
		return errors.New("a list is missing")
	}
	for _, s := range a.Services {
		if s.Name == "" || s.State == "" {
			return fmt.Errorf("half a service: %q", s.Name)
		}
	}
	if a.Ping.Status == 0 && a.PingError == "" {
		return errors.New("neither a ping nor why there is none")
	}
	return a.Windows.check()
}

// Health reads what decides whether the node is healthy.
func (h *Host) Health(ctx context.Context, services, prefixes []string) (procedure.HostHealth, error) {
	request := struct {
		Services []string `json:"services"`
		Prefixes []string `json:"prefixes"`
	}{some(services), some(prefixes)}
	a, err := call[healthy](ctx, h, "health", request, readLimit, nil)
	if err != nil {
		return procedure.HostHealth{}, err
	}
	return procedure.HostHealth{
		Windows: a.Windows.windows(), BootTime: time.Unix(a.Windows.BootTime, 0), Services: a.Services, Pending: a.Pending,
		Ping: procedure.NodePing(a.Ping), PingError: a.PingError,
	}, nil
}
