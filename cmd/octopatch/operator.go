package main

import (
	"context"
	"strings"

	"github.com/octopatch/octopatch/internal/engine"
	"github.com/octopatch/octopatch/internal/operator"
	"github.com/octopatch/octopatch/internal/precaution"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/settings"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// commandRunner runs the operator's own commands: with our environment, but without our secrets; what they print is
// cleaned of those and of what sounds like secrets of theirs.
func (s *session) commandRunner() operator.Runner {
	hidden := operator.Secrets(s.environ)
	s.out.Hide(hidden...)
	s.errs.Hide(hidden...)
	return operator.Runner{Environ: operator.Inherit(s.environ, settings.Holds), Mask: s.out.Clean}
}

// hook is the engine's way to the hooks; nil where there are none.
func (s *session) hook(runner operator.Runner) func(context.Context, engine.Moment) error {
	o := s.settings
	if len(o.HookBefore)+len(o.HookAfter) == 0 {
		return nil
	}
	return func(ctx context.Context, m engine.Moment) error {
		line, setting := o.HookBefore[m.Phase], "OCTOPATCH_HOOK_BEFORE_"
		if m.When == engine.After {
			line, setting = o.HookAfter[m.Phase], "OCTOPATCH_HOOK_AFTER_"
		}
		if line == "" {
			return nil
		}
		facts := operator.Facts(m.Machine, m.Run)
		facts["OCTOPATCH_PHASE"], facts["OCTOPATCH_TOPOLOGY"] = m.Phase, string(m.Topology)
		if m.When == engine.After {
			facts["OCTOPATCH_RESULT"], facts["OCTOPATCH_REASON"] = string(m.Result.Kind), strings.ReplaceAll(s.out.Clean(m.Result.Reason), "\x00", "")
		}
		return runner.Run(ctx, operator.Command{Setting: setting + strings.ToUpper(m.Phase), Line: line, Facts: facts, Limit: o.HookTimeout, Say: m.Say})
	}
}

// patcher is nil where Windows Update patches.
func (s *session) patcher(runner operator.Runner) procedure.Patcher {
	if s.settings.PatchCommand == "" {
		return nil
	}
	return operator.Patcher{Runner: runner, Line: s.settings.PatchCommand, Limit: s.settings.PatchCommandTimeout}
}

// provider is the precaution that OCTOPATCH_PRECAUTION names; nil for none.
func (s *session) provider(runner operator.Runner, w *wired) (procedure.Provider, error) {
	o := s.settings
	onNode := func(m procedure.Machine) (precaution.Remote, error) {
		h, err := w.open(m.Node, m.Host)
		if err != nil {
			return nil, err
		}
		return h, nil
	}
	switch o.Precaution {
	case "image":
		return precaution.Image{Open: onNode, Target: o.ImageTarget, Worker: scripts.Text("imager"), Clock: w.clock}, nil
	case "restore-point":
		return precaution.RestorePoint{Open: onNode, Clock: w.clock, Limit: o.PrecautionTimeout}, nil
	case "command":
		lines := precaution.Lines{Take: o.PrecautionTake, Verify: o.PrecautionVerify, Revert: o.PrecautionRevert, Remove: o.PrecautionRemove}
		return precaution.Command{Runner: runner, Lines: lines, Limit: o.PrecautionTimeout}, nil
	case "hyperv":
		return &precaution.HyperV{Open: w.hyperV, VMs: o.HyperVVMs, Limit: o.PrecautionTimeout, Say: func(node, text string) {
			s.sink.Event(procedure.Event{Type: procedure.Progress, Time: w.clock.Now(), Node: node, Message: text})
		}}, nil
	case "vsphere":
		ca, err := readFile(o.VSphereCAFile, "OCTOPATCH_VSPHERE_CA_FILE")
		return precaution.VSphere{
			URL: o.VSphereURL, Username: o.VSphereUsername, Password: o.VSpherePassword, CAPEM: ca, Fingerprint: o.VSphereFingerprint,
			Datacenter: o.VSphereDatacenter, VMs: o.VSphereVMs, Memory: o.VSphereMemory, Quiesce: o.VSphereQuiesce,
		}, err
	}
	return nil, nil
}
