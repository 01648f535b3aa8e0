package precaution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
)

// Image has Windows Server Backup take a disk image of the node's host: of the volumes that it can be restored from.
// A scheduled task does it as SYSTEM, so that it outlives every connection and no password is needed at a share.
type Image struct {
	Open   Open   // the node's host
	Target string // \\server\share, where each image has a folder of its own, or a volume such as E:
	Worker string // the task's script
	Clock  clock.Clock
}

var _ procedure.Provider = Image{}

const (
	followTime  = 15 * time.Minute // one command follows the task for so long
	imageLook   = 10 * time.Minute // for what looks only, or removes a folder
	reconnect   = 10 * time.Second
	startMargin = 6 * time.Minute // until the task has begun, and its answer is read
)

// imageRequest is what the script is asked for.
type imageRequest struct {
	Action      string `json:"action"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Target      string `json:"target"`
	Worker      string `json:"worker"`
	Follow      int64  `json:"follow"` // seconds
}

// imaged is its answer.
type imaged struct {
	State  string       `json:"state"` // done, running, died, idle
	Result *imageResult `json:"result"`
	Code   string       `json:"code"`
}

// imageResult is what the task says.
type imageResult struct {
	Found   bool   `json:"found"`
	Version string `json:"versionId"`
	Warning string `json:"warning"`
	Problem string `json:"problem"`
	Unfit   bool   `json:"unfit"` // no image can be taken there
	Left    []struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	} `json:"left"`
}

// Check says whether it can be believed.
func (a *imaged) Check() error {
	switch a.State {
	case "done":
		if a.Result == nil {
			return errors.New("done, and no result in it")
		}
		return nil
	case "running", "died", "idle":
		return nil
	}
	return fmt.Errorf("the state of the image is %q", a.State)
}

// ask has the task do something and follows it through as many commands as it takes. With patience it goes on asking
// where nobody answers, for what was begun goes on by itself.
func (i Image) ask(ctx context.Context, action string, p procedure.Point, patient bool, say func(string)) (imageResult, error) {
	remote, err := i.Open(p.Machine)
	if err != nil {
		return imageResult{}, err
	}
	request := imageRequest{action, p.Name, p.Description(), i.Target, i.Worker, int64(followTime / time.Second)}
	for {
		var a imaged
		err := remote.Script(ctx, "image", request, &a, followTime+startMargin, i.said(say))
		switch {
		case err == nil && a.State == "done" && a.Result.Problem != "":
			return *a.Result, i.problem(p, *a.Result)
		case err == nil && a.State == "done":
			return *a.Result, nil
		case err == nil && a.State == "idle":
			return imageResult{}, nil
		case err == nil && a.State == "died":
			return imageResult{}, &procedure.Fault{Subject: "node " + p.Node, Problem: fmt.Sprintf(`the task \octopatch\image has ended without a result (%s)`, a.Code), Remedy: "look whether the host restarted by itself, and at antivirus and application control logs"}
		case err != nil && (!procedure.Transient(err) || !patient || ctx.Err() != nil):
			return imageResult{}, err
		case err != nil:
			if err := i.Clock.Sleep(ctx, reconnect); err != nil {
				return imageResult{}, err
			}
		}
	}
}

// said hands on what Windows Server Backup says that it is at.
func (Image) said(say func(string)) func(json.RawMessage) {
	return func(raw json.RawMessage) {
		var sign struct {
			Said string `json:"said"`
		}
		if json.Unmarshal(raw, &sign) == nil && sign.Said != "" && say != nil {
			say("Windows Server Backup: " + sign.Said)
		}
	}
}

// problem is what the task says that is wrong. What is unfit is a refusal only before anything was changed.
func (Image) problem(p procedure.Point, r imageResult) error {
	return &procedure.Fault{Subject: "node " + p.Node, Problem: "disk image: " + r.Problem, Remedy: `look at the host's event log Microsoft-Windows-Backup/Operational`}
}

// Check proves that an image can be taken of the host: the feature is there and idle, and SYSTEM can write to the
// target, which is none of the volumes that the image is of and has room for them.
func (i Image) Check(ctx context.Context, m procedure.Machine) ([]procedure.Leftover, error) {
	ctx, cancel := i.Clock.WithTimeout(ctx, imageLook)
	defer cancel()
	r, err := i.ask(ctx, "check", procedure.Point{Machine: m}, false, nil)
	if r.Unfit {
		return nil, procedure.Refuse("node "+m.Node, "no disk image can be taken of it: "+r.Problem, "put that right, or choose another OCTOPATCH_PRECAUTION")
	}
	var left []procedure.Leftover
	for _, one := range r.Left {
		left = append(left, procedure.LeftoverOf(one.Name, one.Description))
	}
	return left, err
}

// Take takes the image, or goes on with one that an earlier process of the run has begun. When its time is over the
// backup is stopped: nobody would look at it any more. After an interrupt it goes on, for the next run to find.
func (i Image) Take(ctx context.Context, p procedure.Point, progress func(string)) error {
	r, err := i.ask(ctx, "take", p, true, progress)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		last, cancel := i.Clock.WithTimeout(context.WithoutCancel(ctx), imageLook)
		defer cancel()
		fault := &procedure.Fault{Kind: procedure.ErrTimeout, Subject: "node " + p.Node, Problem: "the disk image is not complete, and was stopped", Cause: err, Remedy: "allow it more with OCTOPATCH_PRECAUTION_TIMEOUT"}
		if r, err := i.ask(last, "stop", p, false, nil); err != nil && r.Problem == "" {
			fault.Problem, fault.Cause = "the disk image is not complete, and may still be at work", err
		}
		return fault
	case err != nil:
		return err
	case r.Warning != "":
		progress("the disk image is complete and holds what a bare-metal recovery needs, with warnings: " + r.Warning)
	}
	progress(fmt.Sprintf("the disk image is version %s at %s", r.Version, i.place(p)))
	return nil
}

// Find looks for the marker of that name, and for the very version that it stands for.
func (i Image) Find(ctx context.Context, p procedure.Point) (bool, error) {
	ctx, cancel := i.Clock.WithTimeout(ctx, imageLook)
	defer cancel()
	r, err := i.ask(ctx, "find", p, false, nil)
	return err == nil && r.Found, err
}

// Revert explains how an image is restored: somebody has to boot the machine from other media.
func (i Image) Revert(_ context.Context, p procedure.Point, _ func(string)) error {
	which := "the image there"
	if !i.shared() {
		which = "the image taken at or after " + p.Taken.UTC().Format("2006-01-02 15:04 MST") + " (wbadmin get versions -backupTarget:" + i.Target + " lists them)"
	}
	return procedure.Refuse("node "+p.Node, "its precaution "+p.Name+" is a disk image, and that cannot be restored from here: the machine has to boot from other media", fmt.Sprintf(
		"1. boot the host from the installation media of its Windows Server; 2. choose Repair your computer, Troubleshoot, System Image Recovery; 3. choose %s, at %s; 4. restore it, which puts back every volume that Windows needs and nothing of the database; "+
			"5. once the host is up, run %soctopatch start, and then exit, with the OCTOPATCH_STATE_DIR of this run: the journal on the host is as old as the image", which, i.place(p), procedure.With("OCTOPATCH_NODE", p.Node)))
}

// Remove removes the image's folder from a share. On a volume Windows Server Backup keeps its images as versions of
// each other, and removes the oldest itself; the command that removes one is what security software looks for in
// ransomware, so it is left to people.
func (i Image) Remove(ctx context.Context, p procedure.Point) error {
	ctx, cancel := i.Clock.WithTimeout(ctx, imageLook)
	defer cancel()
	_, err := i.ask(ctx, "remove", p, false, nil)
	if err == nil && !i.shared() {
		err = &procedure.Fault{Kind: procedure.ErrByHand, Subject: "node " + p.Node, Problem: "Windows Server Backup keeps the images on " + i.Target + " as versions of each other", Remedy: "it removes the oldest by itself when it needs their room"}
	}
	return err
}

// Rewinds nothing: only a human can go back to it.
func (Image) Rewinds() string { return procedure.RewindsNothing }

func (i Image) shared() bool { return strings.HasPrefix(i.Target, `\\`) }

// place is where the image lies.
func (i Image) place(p procedure.Point) string {
	if i.shared() {
		return i.Target + `\` + p.Name
	}
	return i.Target
}
